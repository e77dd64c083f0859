// Rate limits, counted in Redis over fixed windows. A process takes a small share of what is left of a window at a
// time and hands it out itself: exactly the limit passes, most requests ask nobody, and a key that is used up is
// refused without asking. While Redis is away strict limits count in the process and others let pass.
import type { Config } from '../config.ts'
import { within } from '../deadline.ts'
import type { RateLimiter, RatePolicy, RateState } from '../deps.ts'
import { messageOf } from '../errors.ts'
import type { Redis } from '../events/redis.ts'
import type { Log } from '../log.ts'

/** Who asks while an answer is under way may wait for that one and the next. */
const answerDeadlineMs = 45
/** After a failure nobody waits for Redis for so long. */
const pauseMs = 1_000
const maxBuckets = 10_000
/** Of what is left of a window, one process takes one in so many. */
const shares = 50

/** KEYS[1] the counter; ARGV: limit, how many are wanted, window in ms. Answers granted, left and ms to the end. */
const takeScript = `
local limit, wanted = tonumber(ARGV[1]), tonumber(ARGV[2])
local left = math.max(0, limit - tonumber(redis.call('GET', KEYS[1]) or '0'))
local granted = math.min(left, math.max(wanted, math.floor(left / ${shares})))
if granted > 0 then redis.call('INCRBY', KEYS[1], granted) end
local ms = redis.call('PTTL', KEYS[1])
if ms < 0 then
  ms = tonumber(ARGV[3])
  redis.call('PEXPIRE', KEYS[1], ms)
end
return { granted, left - granted, ms }`

const giveBackScript = `
if tonumber(redis.call('GET', KEYS[1]) or '0') > 0 then redis.call('DECR', KEYS[1]) end`

/** What this process knows and holds of one key's window. */
interface Bucket {
  /** Taken from Redis and not yet handed out. */
  held: number
  /** Left in Redis, as last heard. */
  left: number
  /** By `performance.now()`. */
  endsAt: number
  waiting: ((state: RateState) => void)[]
  isAsking: boolean
}

export const createLimiter = ({ redis, log }: { redis: Redis; log: Log }): RateLimiter => {
  const buckets = new Map<string, Bucket>()
  const counts = new Map<string, { count: number; endsAt: number }>()
  let resumesAt = 0
  let misses = 0

  const bucketOf = (name: string): Bucket => {
    const bucket = buckets.get(name) ?? { held: 0, left: 0, endsAt: 0, waiting: [], isAsking: false }
    refresh(buckets, name, bucket)
    return bucket
  }

  const stateOf = ({ limit }: RatePolicy, bucket: Bucket, allowed: boolean): RateState => ({
    allowed,
    limit,
    remaining: bucket.held + bucket.left,
    resetSeconds: secondsUntil(bucket.endsAt),
  })

  const ask = async (policy: RatePolicy, name: string, bucket: Bucket): Promise<void> => {
    bucket.isAsking = true
    while (bucket.waiting.length > 0) {
      const askedAt = performance.now()
      const wanted = bucket.waiting.length
      try {
        const answer = redis.eval(
          takeScript,
          1,
          keyOf(name),
          policy.limit,
          wanted,
          policy.windowSeconds * 1000,
        )
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what the script returns
        const [granted, left, ms] = (await within(answerDeadlineMs, 'Redis', answer)) as [
          number,
          number,
          number,
        ]
        Object.assign(bucket, { held: granted, left, endsAt: askedAt + ms })
      } catch (error) {
        pause(error)
        for (const resolve of bucket.waiting.splice(0)) resolve(alone(policy, name))
        break
      }
      // Who came meanwhile is served from what is held, and refused when the window is used up.
      const answered = bucket.left === 0 ? bucket.waiting.length : Math.max(wanted, bucket.held)
      for (const resolve of bucket.waiting.splice(0, answered)) {
        const allowed = bucket.held > 0
        if (allowed) bucket.held -= 1
        resolve(stateOf(policy, bucket, allowed))
      }
    }
    bucket.isAsking = false
  }

  const pause = (error: unknown): void => {
    const now = performance.now()
    if (now >= resumesAt) log.warn({ cause: messageOf(error) }, 'rate limits cannot be read from Redis')
    resumesAt = now + pauseMs
  }

  /** Without Redis. */
  const alone = (policy: RatePolicy, name: string): RateState => {
    misses += 1
    const { limit, windowSeconds, isStrict } = policy
    if (!isStrict) return { allowed: true, limit, remaining: limit, resetSeconds: windowSeconds }
    const now = performance.now()
    const known = counts.get(name)
    const window = known && known.endsAt > now ? known : { count: 0, endsAt: now + windowSeconds * 1000 }
    refresh(counts, name, window)
    const allowed = window.count < limit
    if (allowed) window.count += 1
    return { allowed, limit, remaining: limit - window.count, resetSeconds: secondsUntil(window.endsAt) }
  }

  return {
    get misses() {
      return misses
    },

    async take(policy, key) {
      const name = `${policy.name}:${key}`
      const now = performance.now()
      if (now < resumesAt) return alone(policy, name)
      const bucket = bucketOf(name)
      if (now < bucket.endsAt && bucket.waiting.length === 0) {
        if (bucket.held > 0) {
          bucket.held -= 1
          return stateOf(policy, bucket, true)
        }
        if (bucket.left === 0) return stateOf(policy, bucket, false)
      }
      return new Promise((resolve) => {
        bucket.waiting.push(resolve)
        if (!bucket.isAsking) void ask(policy, name, bucket)
      })
    },

    async giveBack(policy, key) {
      const name = `${policy.name}:${key}`
      const window = counts.get(name)
      if (window && window.count > 0) window.count -= 1
      if (performance.now() < resumesAt) return
      try {
        await within(answerDeadlineMs, 'Redis', redis.eval(giveBackScript, 1, keyOf(name)))
        const bucket = buckets.get(name)
        if (bucket) bucket.left += 1
      } catch (error) {
        pause(error)
      }
    },
  }
}

const keyOf = (name: string): string => `tide:rate:${name}`

const secondsUntil = (at: number): number => Math.max(1, Math.ceil((at - performance.now()) / 1000))

/** Puts an entry at the young end of a bounded map. */
const refresh = <T>(map: Map<string, T>, name: string, value: T): void => {
  map.delete(name)
  map.set(name, value)
  if (map.size > maxBuckets) map.delete(map.keys().next().value!)
}

/** The limits this server keeps, from its settings. */
export const policiesOf = (config: Config) =>
  ({
    requests: { name: 'requests', limit: config.requestsPerMinute, windowSeconds: 60 },
    registrations: { name: 'registrations', limit: config.registrationsPerHour, windowSeconds: 3_600 },
    signInsOfAddress: {
      name: 'sign-ins-address',
      limit: config.failedSignInsPer15Minutes,
      windowSeconds: 900,
      isStrict: true,
    },
    signInsOfAccount: {
      name: 'sign-ins-account',
      limit: config.failedSignInsPer15Minutes,
      windowSeconds: 900,
      isStrict: true,
    },
  }) satisfies Record<string, RatePolicy>
