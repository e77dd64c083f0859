// Traffic at a steady pace, for scenarios in which something else happens meanwhile. The pace is the load itself; no
// assertion waits for it.

export interface PacedLoad {
  /** Ends the load. Resolves when the last run is over; rejects with the first failure, which ended the load too. */
  stop(): Promise<void>
}

/** Runs `action` every `everyMs` ms, one run at a time: a tick during a run is skipped. */
export const startPacedLoad = (everyMs: number, action: () => unknown): PacedLoad => {
  let isRunning = false
  let lastRun: Promise<void> = Promise.resolve()
  const timer = setInterval(() => {
    if (isRunning) return
    isRunning = true
    lastRun = (async () => {
      await action()
      isRunning = false
    })()
    lastRun.catch(() => clearInterval(timer)) // the failure itself is rethrown by `stop`
  }, everyMs)
  return {
    async stop() {
      clearInterval(timer)
      await lastRun
    },
  }
}
