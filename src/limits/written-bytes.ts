// Bytes that one user's writes store in a window of a day, over all processes. A write is counted after it, because only
// then its size is known: the check needs no call, and a user may exceed the limit by one write and by what other
// processes have not reported yet. A process reports a thousandth of the limit at a time: a report for each write was one
// of the four commands that a write cost Redis. While Redis is away each process counts locally and reports later.
import { KeyMemory, secondsUntil, type RedisCounters } from './redis-counters.ts'
import type { RatePolicy, RateState } from './policies.ts'
import addScript from '../redis/scripts/add-written-bytes.lua' with { type: 'text' }

const maxUsers = 10_000
/** A process reports when this fraction (1/shares) of the limit is unreported. */
const shares = 1_000

/** What this process knows of one user's window. */
interface Usage {
  /** Of all processes, at the last reply. */
  used: number
  /** Of this process, not yet in Redis. */
  unreported: number
  /** By `performance.now()`; 0 before the first write. */
  endsAt: number
  isReporting: boolean
}

export class WrittenBytes {
  readonly #usages = new KeyMemory<Usage>(maxUsers)

  constructor(
    private readonly counters: RedisCounters,
    private readonly policy: RatePolicy,
  ) {}

  /** Whether the user may write more now. */
  stateOf(userId: string): RateState {
    const { limit } = this.policy
    const { used, unreported, endsAt } = this.#usageOf(userId)
    const remaining = Math.max(0, limit - used - unreported)
    return { allowed: remaining > 0, limit, remaining, resetSeconds: secondsUntil(endsAt) }
  }

  /** Counts what a write stored. Never throws; reports to Redis in the background, one report of a user at a time. */
  add(userId: string, bytes: number): void {
    if (bytes === 0) return
    const usage = this.#usageOf(userId)
    usage.unreported += bytes
    if (this.#isDue(usage) && !usage.isReporting) void this.#report(userId, usage)
  }

  #isDue({ unreported }: Usage): boolean {
    return unreported > 0 && unreported >= this.policy.limit / shares
  }

  async #report(userId: string, usage: Usage): Promise<void> {
    usage.isReporting = true
    while (this.#isDue(usage)) {
      const bytes = usage.unreported
      const askedAt = performance.now()
      const windowMs = this.policy.windowSeconds * 1000
      const answer = await this.counters.run(addScript, `${this.policy.name}:${userId}`, [bytes, windowMs])
      if (answer === null) break // the next write reports it too
      usage.unreported -= bytes
      usage.used = answer[0]
      usage.endsAt = askedAt + answer[1]
    }
    usage.isReporting = false
  }

  #usageOf(userId: string): Usage {
    const usage = this.#usages.get(this.policy.name, userId, newUsage)
    const now = performance.now()
    if (now >= usage.endsAt) {
      // What is being reported belongs to the next window as much as to the last.
      usage.used = 0
      usage.endsAt = now + this.policy.windowSeconds * 1000
      if (!usage.isReporting) usage.unreported = 0
    }
    return usage
  }
}

const newUsage = (): Usage => ({ used: 0, unreported: 0, endsAt: 0, isReporting: false })
