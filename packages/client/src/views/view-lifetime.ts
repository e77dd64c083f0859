// How long a view lives: from its first holder until the last one releases it or it stops. Invariant: it ends once, with
// the error that every later read of `ready` and `error` reports.
import { deferred } from '../async/deferred.ts'
import type { StoppedError } from '../errors.ts'

export class ViewLifetime {
  #holders = 0
  /** Closed by its holders, not with the whole client. */
  #isReleased = false
  #isLoaded = false
  #error: StoppedError | null = null
  readonly #ready = deferred<void>()
  readonly #ended = new AbortController()

  /** @param released called when the last holder has released the view. */
  constructor(private readonly released: () => void) {
    this.#ready.promise.catch(() => {}) // a caller that awaits `ready` receives the rejection
  }

  /** Aborts with `error` when the view ends. */
  get signal(): AbortSignal {
    return this.#ended.signal
  }

  get error(): StoppedError | null {
    return this.#error
  }

  /** Whether the view has had a state. */
  get isLoaded(): boolean {
    return this.#isLoaded
  }

  /**
   * Resolves with the first state, and when the program closes the view before that: closing is no failure, and an
   * effect that awaits it has no handler for it. Rejects with StoppedError for any other end, and where it is first
   * read after the whole client was closed.
   */
  get ready(): Promise<void> {
    const isTooLate = this.#error?.reason === 'closed' && !this.#isReleased && !this.#isLoaded
    if (!isTooLate) return this.#ready.promise
    const late = Promise.reject<void>(this.#error)
    late.catch(() => {})
    return late
  }

  /** Adds a holder, until it releases or its signal aborts. */
  retain(signal: AbortSignal | undefined): void {
    this.#holders += 1
    if (signal?.aborted) this.release()
    else signal?.addEventListener('abort', () => this.release(), { once: true, signal: this.#ended.signal })
  }

  release(): void {
    this.#holders -= 1
    if (this.#holders > 0) return
    this.#isReleased = true
    this.released()
  }

  loaded(): void {
    this.#isLoaded = true
    this.#ready.resolve()
  }

  end(error: StoppedError): void {
    this.#error = error
    this.#ended.abort(error)
    if (error.reason === 'closed') this.#ready.resolve()
    else this.#ready.reject(error)
  }
}
