// How often one address may try without credentials and one person may connect: counted per minute, in memory,
// a bounded number of keys.

const refusedPerMinute = 60
const windowMs = 60_000
const maxKeys = 100_000

export class UpgradeMeter {
  #startedAt = Date.now()
  #anonymous = new Map<string, number>()
  #users = new Map<string, number>()

  /** Whether the address has tries left. */
  mayTry(ip: string): boolean {
    return (this.#anonymous.get(ip) ?? 0) < refusedPerMinute
  }

  /** An upgrade without valid credentials. */
  countAnonymous(ip: string): void {
    count(this.#anonymous, ip)
  }

  mayConnect(userId: string, perMinute: number): boolean {
    return count(this.#users, userId) <= perMinute
  }

  tick(now: number): void {
    if (now - this.#startedAt < windowMs) return
    this.#startedAt = now
    this.#anonymous.clear()
    this.#users.clear()
  }
}

const count = (counts: Map<string, number>, key: string): number => {
  const next = (counts.get(key) ?? 0) + 1
  if (next > 1 || counts.size < maxKeys) counts.set(key, next)
  return next
}
