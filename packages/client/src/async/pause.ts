// Pauses that end early when their owner stops. Invariant: a pause never rejects; its caller checks the signal, as loops
// do anyway.
import { withAnySignal } from './signals.ts'

/** Resolves after `ms` or when the signal aborts, whichever comes first. */
export const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) return resolve()
    const end = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    signal.addEventListener('abort', end, { once: true })
  })

/** A pause that `wake` ends early. */
export class InterruptiblePause {
  #wake: (() => void) | null = null

  /** Resolves after `ms`, when woken, or when the signal aborts. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    const woken = new AbortController()
    this.#wake = () => woken.abort()
    await withAnySignal([signal, woken.signal], (either) => pause(ms, either))
    this.#wake = null
  }

  wake(): void {
    this.#wake?.()
  }
}
