// Rate limits, counted in Redis over fixed windows. A process takes a small share of what is left of a window at a
// time and hands it out itself: exactly the limit passes, most requests wait for no answer, and a key that is used up
// is refused without asking.
//
// While Redis is away every policy goes on in the process. Starting from a full local window would grant the limit
// twice, and again each time Redis goes and returns. So the local window is the one Redis counted: it starts from what
// was left as last heard, and ends when that one ends. What is granted meanwhile is owed: the next script adds it to
// Redis's count, and gives a Redis that lost the key (a restart, FLUSHALL) all that this process knows of it.
import { KeyMemory, secondsUntil, type RedisCounters } from './redis-counters.ts'
import type { RatePolicy, RateState } from './policies.ts'
import takeScript from '../redis/scripts/take-from-window.lua' with { type: 'text' }

/** Counts requests per key in a window: in Redis, or in the process while Redis is away. */
export interface RateLimiter {
  /** Takes one of `limit` per window. Never throws; waits for Redis at most 100 ms in which the process was running. */
  take(policy: RatePolicy, key: string): Promise<RateState>
  /** How many decisions of all limiters were made without Redis, for the metrics. */
  readonly misses: number
}

const maxKeys = 10_000
/** Of what is left of a window, one process takes one in so many. */
const shares = 50

/** What this process knows and holds of one key's window. */
interface Bucket {
  /** Taken from Redis and not yet handed out. */
  held: number
  /** Left for all processes, as last heard, less what is owed. */
  left: number
  /** Handed out without Redis, which has yet to count it. */
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
      // What arrived meanwhile is served from what is held, and refused when the window is used up.
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

  return {
    get misses() {
      return counters.misses
    },

    async take(policy, key) {
      const bucket = buckets.get(policy.name, key, newBucket)
      if (counters.isPaused) return takeLocally(policy, bucket)
      if (performance.now() < bucket.endsAt && bucket.waiting.length === 0) {
        if (bucket.held > 0) {
          bucket.held -= 1
          return stateOf(policy, bucket, true)
        }
        if (bucket.left === 0 && bucket.owed === 0) return stateOf(policy, bucket, false)
      }
      return new Promise((resolve) => {
        bucket.waiting.push(resolve)
        if (!bucket.isAsking) void ask(policy, key, bucket)
      })
    },
  }
}

const stateOf = ({ limit }: RatePolicy, bucket: Bucket, allowed: boolean): RateState => ({
  allowed,
  limit,
  remaining: bucket.held + bucket.left,
  resetSeconds: secondsUntil(bucket.endsAt),
})
