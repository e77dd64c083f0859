// Deadlines: the only place that races work against a timer. Each error names what took too long. A deadline ends the
// wait, never the work: where the work holds a connection, the caller closes that. Invariant: time in which this process
// did not run does not count, so that a stall is not taken for the absence of PostgreSQL, Redis or a client.

/** A step that fires late counts as its planned length: a stall costs at most one step. */
const steps = 10
const maxStepMs = 250

/** A time after which every `race` rejects. Dispose it as soon as the work is done. */
export class Deadline implements Disposable {
  readonly #expiry = Promise.withResolvers<never>()
  #timer: Timer

  /** @param toError makes the rejection when the time is up; effects of being late belong here too. */
  constructor(timeoutMs: number, toError: () => Error) {
    this.#expiry.promise.catch(() => {}) // it may expire between two races
    const stepMs = Math.max(1, Math.min(Math.ceil(timeoutMs / steps), maxStepMs))
    let left = Math.ceil(timeoutMs / stepMs)
    // Between two steps the event loop reads its sockets: an answer that arrived during a stall is seen.
    const step = (): void => {
      left -= 1
      if (left > 0) this.#timer = setTimeout(step, stepMs)
      else this.#expiry.reject(toError())
    }
    this.#timer = setTimeout(step, stepMs)
  }

  /** Settles as `work` does, or rejects when the time is up or `fail` is called. */
  race<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#expiry.promise])
  }

  /** Ends the wait before its time. */
  fail(reason: Error): void {
    this.#expiry.reject(reason)
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer)
  }
}

export class TimedOut extends Error {
  override readonly name = 'TimedOut'
}

const tooLong = (what: string, timeoutMs: number): TimedOut =>
  new TimedOut(`${what} took longer than ${timeoutMs} ms`)

/**
 * Rejects when `work` takes longer than `timeoutMs`; the work itself continues.
 * @param toError makes the rejection from a `TimedOut` whose text names `what`; that error itself by default.
 */
export const withTimeout = async <T>(
  timeoutMs: number,
  what: string,
  work: Promise<T>,
  toError: (late: Error) => Error = (late) => late,
): Promise<T> => {
  using deadline = new Deadline(timeoutMs, () => toError(tooLong(what, timeoutMs)))
  return await deadline.race(work)
}

/** Resolves when `work` has settled, or after `timeoutMs`: for closing, where late means abandoned. Never rejects late. */
export const settledWithin = async (timeoutMs: number, work: Promise<unknown>): Promise<void> => {
  const { promise: expired, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, timeoutMs)
  try {
    await Promise.race([work, expired])
  } finally {
    clearTimeout(timer)
  }
}

/** Calls `probe` every `everyMs` until it returns something other than undefined. */
export const until = async <T>(
  timeoutMs: number,
  what: string,
  probe: () => T | undefined | Promise<T | undefined>,
  everyMs = 10,
): Promise<T> => {
  const endsAt = performance.now() + timeoutMs
  for (;;) {
    const answer = await probe()
    if (answer !== undefined) return answer
    if (performance.now() > endsAt) throw tooLong(what, timeoutMs)
    await Bun.sleep(everyMs)
  }
}
