// When a foreground command should end: the first INT, TERM or HUP, or the end of the launcher that started it.
// Ctrl-C arrives twice, from the terminal and from the launcher, so what follows within a second is the same.

export interface Interruption {
  /** Resolves with the reason once. */
  readonly first: Promise<string>
  /** Resolves when a second signal arrives after the first second: stop waiting for an orderly end. */
  readonly second: Promise<void>
}

const sameForMs = 1_000
const launcherPollMs = 500

/** @param launcher the process id the launcher passed down, if there is one. */
export const watchInterruption = (launcher: string | undefined): Interruption => {
  const first = Promise.withResolvers<string>()
  const second = Promise.withResolvers<void>()
  let firstAt = Number.NaN
  const ask = (reason: string): void => {
    if (Number.isNaN(firstAt)) {
      firstAt = performance.now()
      first.resolve(reason)
    } else if (performance.now() - firstAt > sameForMs) second.resolve()
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => ask(signal))
  if (launcher !== undefined) {
    const timer = setInterval(() => {
      if (process.ppid === Number(launcher)) return
      clearInterval(timer)
      ask('the launcher is gone')
    }, launcherPollMs)
    timer.unref()
  }
  return { first: first.promise, second: second.promise }
}
