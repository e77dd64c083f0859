// Waits that end with the caller's signal, and full jitter, so that clients do not reconnect in step.

/** Full jitter: anything up to a cap that doubles from `from` to `to` with each failure (1 is the first). */
export const fullJitterMs = (failures: number, from: number, to: number): number =>
  Math.random() * Math.min(to, from * 2 ** Math.min(failures - 1, 30))

/** Resolves after `ms`; rejects with the signal's reason. */
export const sleep = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    if (signal.aborted) return reject(reasonOf(signal))
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', abort)
      resolve()
    }, ms)
    const abort = (): void => {
      clearTimeout(timer)
      reject(reasonOf(signal))
    }
    signal.addEventListener('abort', abort, { once: true })
  })

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

/** A wait that `wake` ends early. */
export class InterruptibleSleep {
  #wake: (() => void) | null = null

  /** Resolves after `ms`, or when woken. Rejects with the signal's reason. */
  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    const woken = new AbortController()
    this.#wake = () => woken.abort()
    try {
      await withAnySignal([signal, woken.signal], (either) => sleep(ms, either))
    } catch (error) {
      if (!woken.signal.aborted || signal.aborted) throw error
    } finally {
      this.#wake = null
    }
  }

  wake(): void {
    this.#wake?.()
  }
}

const reasonOf = (signal: AbortSignal): Error =>
  signal.reason instanceof Error ? signal.reason : new DOMException('Aborted', 'AbortError')
