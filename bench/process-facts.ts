// Memory and CPU time of a process, read from the system.
import { readFileSync } from 'node:fs'

/** Resident memory in bytes. */
export const residentBytes = (pid: number): number => {
  const { stdout } = Bun.spawnSync(['ps', '-o', 'rss=', '-p', String(pid)])
  return Number(stdout.toString().trim()) * 1024
}

/** User and system time in milliseconds, to 10 ms; NaN where there is no /proc. */
export const cpuMs = (pid: number): number => {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
    return (Number(fields[11]) + Number(fields[12])) * 10
  } catch {
    return Number.NaN
  }
}

const rounds = 4
const settleMs = 400

/** Resident memory of a process with `collect.ts` in it, after a garbage collection. */
export const settledBytes = async (pid: number): Promise<number> => {
  let least = Infinity
  for (let round = 0; round < rounds; round += 1) {
    process.kill(pid, 'SIGUSR2')
    await Bun.sleep(settleMs)
    least = Math.min(least, residentBytes(pid))
  }
  return least
}
