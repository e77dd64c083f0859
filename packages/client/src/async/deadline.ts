// The deadline of a wait. Invariant: its signal aborts with a TimeoutError when the time is up, and its owner clears it
// as soon as the wait ends, so that no timer outlives the work.

export class Deadline {
  readonly #late = new AbortController()
  readonly #timer: ReturnType<typeof setTimeout>

  constructor(timeoutMs: number) {
    this.#timer = setTimeout(() => this.#late.abort(new DOMException('no answer', 'TimeoutError')), timeoutMs)
  }

  get signal(): AbortSignal {
    return this.#late.signal
  }

  clear(): void {
    clearTimeout(this.#timer)
  }
}
