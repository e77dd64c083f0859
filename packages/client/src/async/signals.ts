// Abort signals: waiting until one aborts, and joining several. No listener stays on a long-lived signal.

/** Awaits a shared promise until the signal aborts; the promise continues for its other callers. */
export const waitFor = <T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> =>
  signal === undefined
    ? promise
    : new Promise((resolve, reject) => {
        const abort = (): void => reject(reasonOf(signal))
        if (signal.aborted) abort()
        signal.addEventListener('abort', abort, { once: true })
        promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
      })

/** Runs with a signal that aborts with any of those given. `AbortSignal.any` keeps a reference in each long-lived one. */
export const withAnySignal = async <T>(
  signals: readonly AbortSignal[],
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> => {
  const any = new AbortController()
  const leave = signals.map((signal) => {
    const abort = (): void => any.abort(signal.reason)
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort)
    return () => signal.removeEventListener('abort', abort)
  })
  try {
    return await run(any.signal)
  } finally {
    for (const one of leave) one()
  }
}

/** Throws the signal's reason, as an error in any case, once it has aborted. */
export const throwIfAborted = (signal: AbortSignal | undefined): void => {
  if (signal?.aborted) throw reasonOf(signal)
}

const reasonOf = (signal: AbortSignal): Error =>
  signal.reason instanceof Error ? signal.reason : new DOMException('Aborted', 'AbortError')
