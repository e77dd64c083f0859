// Limits failed attempts: only failures count, and as many attempts may be in flight as failures are left. A further
// attempt waits for one in flight to end instead of being refused, so that 25 people behind one address who sign in at
// once all get in, and of a flood of wrong passwords exactly the limit is checked.
//
// Failures and attempts in flight are counted in Redis for all processes. While Redis is away a process continues from
// the failures of the last reply with its own attempts; the failures it counts meanwhile are owed to Redis, as in
// `window.ts`. An attempt that never ends (its process was killed) stops counting after `leaseMs`.
import { KeyMemory, secondsUntil, type RedisCounters } from './redis-counters.ts'
import type { RatePolicy, RateState } from './policies.ts'
import attemptScript from '../redis/scripts/count-attempts.lua' with { type: 'text' }

/** Limits failed attempts: as many may be in flight as failures are left; further ones wait for those. */
export interface Attempts {
  /** Begins an attempt once there is room, or is refused: `end` is null. Never throws; waits at most 15 s. */
  begin(policy: RatePolicy, key: string): Promise<Attempt>
  /** Counts a failure of an attempt that another key limits. Never throws. */
  fail(policy: RatePolicy, key: string): Promise<void>
}

export interface Attempt {
  state: RateState
  /** Has to be called once; only a failure counts. */
  end: ((isFailure: boolean) => Promise<void>) | null
}

const maxKeys = 10_000
/** How long an attempt waits for others to end: longer than a killed process holds its lease. */
const waitMs = 15_000
/** Waiting attempts of one key in a process. */
const maxWaiting = 256
/** Attempts of other processes end without a notification: poll. */
const pollMs = 100
const leaseMs = 10_000

/** What this process knows of one key. */
interface Known {
  /** Of all processes at the last reply, and of this one since then. */
  failed: number
  /** Failures that Redis has yet to count. */
  owed: number
  /** By `performance.now()`. */
  endsAt: number
  /** In flight in this process. */
  trying: number
  waiting: (() => void)[]
}

type Verdict = 'begun' | 'wait' | 'refused'

const verdicts: Verdict[] = ['refused', 'begun', 'wait']

export const createAttempts = (counters: RedisCounters): Attempts => {
  const memory = new KeyMemory<Known>(maxKeys)
  const processId = Bun.randomUUIDv7()

  const knownOf = (policy: RatePolicy, key: string): Known => {
    const known = memory.get(policy.name, key, newKnown)
    if (performance.now() >= known.endsAt) Object.assign(known, { failed: 0, owed: 0 })
    return known
  }

  /** Reports owed failures to Redis and asks whether an attempt may begin; null while Redis is away. */
  const step = async (
    policy: RatePolicy,
    key: string,
    known: Known,
    { asks }: { asks: boolean },
  ): Promise<Verdict | null> => {
    const { owed } = known
    known.owed = 0 // reported by this step: a step sent meanwhile must not report it again
    const askedAt = performance.now()
    const answer = await counters.run(attemptScript, `${policy.name}:${key}`, [
      policy.limit,
      policy.windowSeconds * 1000,
      leaseMs,
      owed,
      known.failed - owed,
      Math.max(0, Math.ceil(known.endsAt - askedAt)),
      processId,
      known.trying,
      asks ? 1 : 0,
    ])
    if (answer === null) {
      known.owed += owed
      return null
    }
    const [verdict, failed, ms] = answer
    // Replies may overtake each other, and failures never become fewer.
    known.failed = Math.max(known.failed, failed + known.owed)
    if (ms > 0) known.endsAt = askedAt + ms
    return verdicts[verdict]!
  }

  /** Refuses or waits by what this process knows; asks Redis only where that leaves room. */
  const tryToBegin = async (policy: RatePolicy, key: string): Promise<Verdict> => {
    const known = knownOf(policy, key)
    if (known.failed >= policy.limit) return 'refused'
    if (known.failed + known.trying >= policy.limit) return 'wait'
    known.trying += 1
    const verdict = await step(policy, key, known, { asks: true })
    if (verdict === null) counters.misses += 1
    else if (verdict !== 'begun') known.trying -= 1
    return verdict ?? 'begun'
  }

  /** Counts one failure, which the next step reports to Redis. */
  const countFailure = ({ windowSeconds }: RatePolicy, known: Known): void => {
    if (performance.now() >= known.endsAt)
      Object.assign(known, { failed: 0, owed: 0, endsAt: performance.now() + windowSeconds * 1000 })
    known.failed += 1
    known.owed += 1
  }

  return {
    async begin(policy, key) {
      const deadline = performance.now() + waitMs
      for (;;) {
        const verdict = await tryToBegin(policy, key)
        const known = knownOf(policy, key)
        const mayWait = performance.now() < deadline && known.waiting.length < maxWaiting
        if (verdict === 'wait' && mayWait) {
          await nextEnd(known)
          continue
        }
        known.waiting.shift()?.() // the next waiting attempt may begin too, or is refused too
        const state = stateOf(policy, known, verdict)
        if (verdict !== 'begun') return { state, end: null }
        const end = async (isFailure: boolean): Promise<void> => {
          known.trying -= 1
          if (isFailure) countFailure(policy, known)
          await step(policy, key, known, { asks: false })
          known.waiting.shift()?.()
        }
        return { state, end }
      }
    },

    async fail(policy, key) {
      const known = knownOf(policy, key)
      countFailure(policy, known)
      await step(policy, key, known, { asks: false })
    },
  }
}

const newKnown = (): Known => ({ failed: 0, owed: 0, endsAt: 0, trying: 0, waiting: [] })

/** Resolves when an attempt of this process ends, or after `pollMs`, later the longer the queue is. */
const nextEnd = async (known: Known): Promise<void> => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(
    () => {
      known.waiting = known.waiting.filter((waiter) => waiter !== resolve)
      resolve()
    },
    pollMs * (1 + known.waiting.length / 8),
  )
  known.waiting.push(resolve)
  await promise
  clearTimeout(timer)
}

/** `resetSeconds` of a refusal: 1 where the queue is full, otherwise the end of the failures' window. */
const stateOf = (policy: RatePolicy, known: Known, verdict: Verdict): RateState => ({
  allowed: verdict === 'begun',
  limit: policy.limit,
  remaining: Math.max(0, policy.limit - known.failed - (verdict === 'begun' ? 1 : 0)),
  resetSeconds: verdict === 'wait' ? 1 : known.endsAt > 0 ? secondsUntil(known.endsAt) : policy.windowSeconds,
})
