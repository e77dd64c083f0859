// Limits how often one user connects to this process: fixed windows of a minute, in memory. Bounded in users: above
// `maxUsers` in one minute, further users are not counted.

const windowMs = 60_000
const maxUsers = 100_000

export class ConnectRateLimiter {
  #startedAt = performance.now()
  readonly #counts = new Map<string, number>()

  tryConnect(userId: string, perMinute: number): boolean {
    const count = (this.#counts.get(userId) ?? 0) + 1
    if (count > 1 || this.#counts.size < maxUsers) this.#counts.set(userId, count)
    return count <= perMinute
  }

  /** @param now of `performance.now()`. */
  tick(now: number): void {
    if (now - this.#startedAt < windowMs) return
    this.#startedAt = now
    this.#counts.clear()
  }
}
