// A token bucket: full at first, refilled evenly, never above its capacity. The clock comes from the caller.

export class TokenBucket {
  #tokens: number
  #refilledAt: number | null = null

  /** @param capacity the largest burst. @param perSecond tokens that return a second. */
  constructor(
    private readonly capacity: number,
    private readonly perSecond: number,
  ) {
    this.#tokens = capacity
  }

  /** Tokens at `nowMs` of `performance.now()`, which must not go back. */
  refill(nowMs: number): number {
    const seconds = (nowMs - (this.#refilledAt ?? nowMs)) / 1000
    this.#refilledAt = nowMs
    this.#tokens = Math.min(this.capacity, this.#tokens + seconds * this.perSecond)
    return this.#tokens
  }

  /** Takes tokens that `refill` has shown to be there. */
  spend(tokens: number): void {
    this.#tokens -= tokens
  }
}
