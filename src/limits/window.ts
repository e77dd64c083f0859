// Rate limits over fixed windows, counted in Redis. One round trip per request would add its latency to every request;
// so a process takes 1/50 of what is left of a window at a time and grants requests from it: exactly the limit passes,
// most requests wait for no reply, and a key that is used up is refused without a call.
//
// While Redis is away each process counts locally. Starting from a full local window would grant the limit twice, and
// again each time Redis goes and returns. So the local window continues Redis's: it starts from what was left at the
// last reply and ends when that window ends. Requests granted meanwhile are owed: the next script adds them to Redis's
// count, and restores the count of a Redis that lost the key (restart, FLUSHALL) from what this process knows.
import { KeyMemory, secondsUntil, type RedisCounters } from './redis-counters.ts'
import type { RatePolicy, RateState } from './policies.ts'
import takeScript from '../redis/scripts/take-from-window.lua' with { type: 'text' }

/** Counts requests per key in a window: in Redis, or in the process while Redis is away. */
export interface RateLimiter {
  /** Takes one of `limit` per window where that needs no reply of Redis; null where it does, and nothing was taken. */
  tryTake(policy: RatePolicy, key: string): RateState | null
  /** Takes one of `limit` per window. Never throws; waits for Redis at most 100 ms in which the process was running. */
  take(policy: RatePolicy, key: string): Promise<RateState>
  /** How many decisions of all limiters were made without Redis, for the metrics. */
  readonly misses: number
}

const maxKeys = 10_000
/** A process takes this fraction (1/shares) of what is left of a window. */
const shares = 50

/** The window of one key, as this process knows it. */
interface Bucket {
  /** Taken from Redis and not yet granted. */
  held: number
  /** Left for all processes at the last reply, less what is owed. */
  left: number
  /** Granted without Redis, which has yet to count it. */
  owed: number
  /** By `performance.now()`; 0 before the first answer. */
  endsAt: number
  waiting: ((state: RateState) => void)[]
  isAsking: boolean
}

const newBucket = (): Bucket => ({ held: 0, left: 0, owed: 0, endsAt: 0, waiting: [], isAsking: false })

export const createWindowLimiter = (counters: RedisCounters): RateLimiter => {
  const buckets = new KeyMemory<Bucket>(maxKeys)

  const ask = async (policy: RatePolicy, key: string, bucket: Bucket): Promise<void> => {
    bucket.isAsking = true
    while (bucket.waiting.length > 0) {
      const wanted = bucket.waiting.length
      const askedAt = performance.now()
      const isKnown = askedAt < bucket.endsAt
      if (!isKnown) Object.assign(bucket, { held: 0, left: policy.limit, owed: 0 })
      const { owed } = bucket
      const answer = await counters.run(takeScript, `${policy.name}:${key}`, [
        policy.limit,
        wanted,
        policy.windowSeconds * 1000,
        owed,
        policy.limit - bucket.left,
        isKnown ? Math.ceil(bucket.endsAt - askedAt) : 0,
        shares,
      ])
      if (answer === null) {
        for (const resolve of bucket.waiting.splice(0)) resolve(takeLocally(policy, bucket))
        break
      }
      const [granted, left, ms] = answer
      bucket.owed -= owed // more may have been granted without Redis meanwhile
      bucket.held += granted
      bucket.left = Math.max(0, left - bucket.owed)
      bucket.endsAt = askedAt + ms
      // Requests that arrived meanwhile are granted from `held`, and refused when the window is used up.
      const answered = bucket.left === 0 ? bucket.waiting.length : Math.max(wanted, bucket.held)
      for (const resolve of bucket.waiting.splice(0, answered)) {
        const allowed = bucket.held > 0
        if (allowed) bucket.held -= 1
        resolve(stateOf(policy, bucket, allowed))
      }
    }
    bucket.isAsking = false
  }

  const takeLocally = (policy: RatePolicy, bucket: Bucket): RateState => {
    counters.misses += 1
    const now = performance.now()
    if (now >= bucket.endsAt) {
      const endsAt = now + policy.windowSeconds * 1000
      Object.assign(bucket, { held: 0, left: policy.limit, owed: 0, endsAt })
    }
    if (bucket.held > 0) bucket.held -= 1
    else if (bucket.left > 0) {
      bucket.left -= 1
      bucket.owed += 1
    } else return stateOf(policy, bucket, false)
    return stateOf(policy, bucket, true)
  }

  const tryTake = (policy: RatePolicy, bucket: Bucket): RateState | null => {
    const now = performance.now()
    if (counters.isPausedAt(now)) return takeLocally(policy, bucket)
    if (now >= bucket.endsAt || bucket.waiting.length > 0) return null
    if (bucket.held > 0) {
      bucket.held -= 1
      return stateOf(policy, bucket, true, now)
    }
    return bucket.left === 0 && bucket.owed === 0 ? stateOf(policy, bucket, false, now) : null
  }

  return {
    get misses() {
      return counters.misses
    },

    tryTake: (policy, key) => tryTake(policy, buckets.get(policy.name, key, newBucket)),

    async take(policy, key) {
      const bucket = buckets.get(policy.name, key, newBucket)
      const state = tryTake(policy, bucket)
      if (state) return state
      return new Promise((resolve) => {
        bucket.waiting.push(resolve)
        if (!bucket.isAsking) void ask(policy, key, bucket)
      })
    },
  }
}

const stateOf = (
  { limit }: RatePolicy,
  bucket: Bucket,
  allowed: boolean,
  now = performance.now(),
): RateState => ({
  allowed,
  limit,
  remaining: bucket.held + bucket.left,
  resetSeconds: secondsUntil(bucket.endsAt, now),
})
