// Stalls on purpose, where a stall is the subject of a test: of this process, and of others.

/** Keeps the event loop of this process in one turn. */
export const blockEventLoop = (ms: number): void => Bun.sleepSync(ms)

/** Stops a process for a moment, as a machine without a free CPU does. */
export const stopFor = async (pid: number, ms: number): Promise<void> => {
  process.kill(pid, 'SIGSTOP')
  try {
    await Bun.sleep(ms)
  } finally {
    process.kill(pid, 'SIGCONT')
  }
}
