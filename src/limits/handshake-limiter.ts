// How many handshakes are under way in this process: upgrades and subscriptions being joined. Whoever comes when it
// is full is told when to come back, so that a storm of reconnects is served in turn instead of by nobody.

/**
 * The pace at which those who were turned away are told to come back. Too fast only turns some away again, which is
 * cheap and puts them further behind; too slow leaves the process idle. 5,000 sockets after kill -9 on two cores:
 * all live after 4 s with 0.5 ms, 7 s with 1 ms, 5 to 12 s at the pace measured meanwhile, 9 to 17 s untold.
 */
const everyMs = 0.5
const maxWaitMs = 5_000
const minSpreadMs = 500

export class HandshakeLimiter {
  #inside = 0
  /** Who was turned away and was not yet due at `#countedAt`. */
  #awaited = 0
  #countedAt = 0

  constructor(
    private readonly most: number,
    private readonly now: () => number = () => performance.now(),
  ) {}

  get inProgress(): number {
    return this.#inside
  }

  /** Null where it is full; otherwise `using` the answer leaves again. */
  tryEnter(): Disposable | null {
    if (this.#inside >= this.most) return null
    this.#inside += 1
    let isInside = true
    return {
      [Symbol.dispose]: () => {
        if (isInside) this.#inside -= 1
        isInside = false
      },
    }
  }

  /** Between which milliseconds from now one more who is turned away may come: behind those before, within 10 s. */
  nextRetryWindow(): [number, number] {
    const now = this.now()
    this.#awaited = Math.max(0, this.#awaited - (now - this.#countedAt) / everyMs) + 1
    this.#countedAt = now
    const from = Math.min(maxWaitMs, Math.round(this.#awaited * everyMs))
    return [from, Math.max(minSpreadMs, 2 * from)]
  }
}
