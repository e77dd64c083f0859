// Limits the handshakes in progress in this process: upgrades and joins of subscriptions. A refused client receives a
// retry window behind those refused before it, so that a storm of reconnects is spread instead of repeated.

/**
 * Milliseconds between two retries that refused clients are sent. Too short refuses some again, which is cheap and
 * moves them further back; too long leaves the process idle. 5,000 sockets after kill -9 on two cores: all live after
 * 4 s with 0.5 ms, 7 s with 1 ms, 5 to 12 s at the rate measured meanwhile, 9 to 17 s without a retry window.
 */
const retryEveryMs = 0.5
const maxWaitMs = 5_000
const minSpreadMs = 500

export class HandshakeLimiter {
  #inProgress = 0
  /** Refused clients whose retry was not yet due at `#countedAt`. */
  #expectedRetries = 0
  #countedAt = 0

  constructor(
    private readonly maxInProgress: number,
    private readonly now: () => number = () => performance.now(),
  ) {}

  get inProgress(): number {
    return this.#inProgress
  }

  /** A slot, freed by disposing it; null where all are taken. */
  tryEnter(): Disposable | null {
    if (this.#inProgress >= this.maxInProgress) return null
    this.#inProgress += 1
    let isActive = true
    return {
      [Symbol.dispose]: () => {
        if (isActive) this.#inProgress -= 1
        isActive = false
      },
    }
  }

  /** The window of one more refused client, in milliseconds from now: behind the earlier ones, within 10 s. */
  nextRetryWindow(): [number, number] {
    const now = this.now()
    this.#expectedRetries = Math.max(0, this.#expectedRetries - (now - this.#countedAt) / retryEveryMs) + 1
    this.#countedAt = now
    const from = Math.min(maxWaitMs, Math.round(this.#expectedRetries * retryEveryMs))
    return [from, Math.max(minSpreadMs, 2 * from)]
  }
}
