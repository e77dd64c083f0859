// Resident memory of a process in bytes; 0 for one that is gone.

export const residentBytes = (pid: number): number =>
  Number(
    Bun.spawnSync(['ps', '-o', 'rss=', '-p', String(pid)])
      .stdout.toString()
      .trim(),
  ) * 1024
