// Redis as the rate limiters use it: a script returns three numbers, or null while Redis is away. Invariant: a caller
// waits at most `answerDeadlineMs` in which this process runs, so a stall of this process does not count as an absent
// Redis; after a failure no call waits for `pauseMs`.
import { BoundedCache } from '../async/bounded-cache.ts'
import { withTimeout } from '../async/timeout.ts'
import { messageOf } from '../errors.ts'
import type { Log } from '../log.ts'

/** A caller may wait for the answer under way and for the next one: 90 ms in all. */
const answerDeadlineMs = 45
const pauseMs = 1_000

/** The part of a Redis client that the limiters use. */
export interface ScriptRunner {
  eval(script: string, keys: number, ...args: (string | number)[]): Promise<unknown>
}

export class RedisCounters {
  #resumesAt = 0
  /** Decisions that this process made without Redis. */
  misses = 0

  constructor(private readonly deps: { redis: ScriptRunner; log: Log }) {}

  /** Redis failed less than `pauseMs` ago and is not called. */
  get isPaused(): boolean {
    return this.isPausedAt(performance.now())
  }

  /** The same at a time of `performance.now()` that the caller has read already. */
  isPausedAt(now: number): boolean {
    return now < this.#resumesAt
  }

  /** @returns what the script answers; null, and a pause, when Redis does not answer in time. */
  async run(
    script: string,
    key: string,
    args: (number | string)[],
  ): Promise<[number, number, number] | null> {
    if (this.isPaused) return null
    try {
      const answer = this.deps.redis.eval(script, 1, `tide:rate:${key}`, ...args)
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what every script here returns
      return (await withTimeout(answerDeadlineMs, 'Redis', answer)) as [number, number, number]
    } catch (error) {
      if (!this.isPaused)
        this.deps.log.warn(
          { cause: messageOf(error), oncePerMinute: 'rate limiter' },
          'Redis does not answer the rate limiter, counting in this process',
        )
      this.#resumesAt = performance.now() + pauseMs
      return null
    }
  }
}

/** Seconds until a time of `performance.now()`, at least 1. */
export const secondsUntil = (at: number, now = performance.now()): number =>
  Math.max(1, Math.ceil((at - now) / 1000))

/** What this process knows per policy and key: one bounded cache a policy. */
export class KeyMemory<T> {
  readonly #policies = new Map<string, BoundedCache<string, T>>()

  /** @param maxKeys of one policy: keys of one policy cannot push out those of another. */
  constructor(private readonly maxKeys: number) {}

  get(policy: string, key: string, create: () => T): T {
    let values = this.#policies.get(policy)
    if (!values) {
      values = new BoundedCache<string, T>({ maxEntries: this.maxKeys })
      this.#policies.set(policy, values)
    }
    return values.getOrCreate(key, create)
  }
}
