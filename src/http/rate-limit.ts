// Applies rate limits to requests: chooses the bucket, notes what the RateLimit headers say, throws the 429.
import type { PasswordCheck, Passwords } from '../auth/passwords.ts'
import type { Config } from '../config.ts'
import type { CallerDatabase } from '../db/client.ts'
import { recentAddresses } from '../domain/users/sessions.ts'
import { AppError } from '../errors.ts'
import { sessionIdOf } from '../model/actor.ts'
import type { RequestContext } from './request-context.ts'
import { addressCaller, addressKey } from '../limits/address-key.ts'
import type { Attempts } from '../limits/attempts.ts'
import { policiesOf, type RatePolicy, type RateState } from '../limits/policies.ts'
import type { RateLimiter } from '../limits/window.ts'
import type { WrittenBytes } from '../limits/written-bytes.ts'

interface LimitDeps {
  config: Config
  limiter: RateLimiter
}
interface PasswordCheckDeps {
  config: Config
  db: CallerDatabase
  attempts: Attempts
  passwords: Passwords
}

/**
 * Counts one request against a policy; the RateLimit headers of the answer describe it. 429 `rate_limited`.
 * @returns a promise only where the limiter has to wait for Redis.
 */
export const takeRateLimit = (
  { config, limiter }: LimitDeps,
  context: RequestContext,
  policy: RatePolicy,
  key: string,
): undefined | Promise<undefined> => {
  if (!config.rateLimit) return undefined
  const state = limiter.tryTake(policy, key)
  if (state) return apply(context, policy, state)
  return limiter.take(policy, key).then((later) => apply(context, policy, later))
}

const apply = (context: RequestContext, policy: RatePolicy, state: RateState): undefined => {
  context.rateLimit = { policy, state }
  if (!state.allowed) throw rateLimited(state)
}

const rateLimited = ({ resetSeconds }: RateState): AppError =>
  new AppError('rate_limited', undefined, { retryAfter: resetSeconds })

/** The bucket of a request: that of its user, or of its address where there is no user. */
export const limitKeyOf = (context: RequestContext): string =>
  context.identity ? context.identity.actor.userId : addressKey(context.ip)

const reading = new Set(['GET', 'HEAD', 'OPTIONS'])

/**
 * 429 `rate_limited` for a write of a user who has stored more bytes today than the limit. Ending sessions stays
 * possible.
 */
export const requireWritable = (
  { writtenBytes }: { writtenBytes: WrittenBytes },
  context: RequestContext,
  policy: RatePolicy,
): void => {
  const { identity, method, path } = context
  if (!identity || reading.has(method) || path.startsWith('/api/auth/')) return
  const state = writtenBytes.stateOf(identity.actor.userId)
  if (!state.allowed) apply(context, policy, state)
}

/**
 * Verifies passwords for a request: every check is an attempt under the limits of failed sign-ins, per address and per
 * account. An address from which the account signed in recently, or a live session, has its own bucket for the account
 * and is not rejected for failures of others from its address: attackers cannot lock an owner out.
 */
export const passwordCheck =
  (deps: PasswordCheckDeps, context: RequestContext): PasswordCheck =>
  async (account, password, hash) => {
    const { identity, ip } = context
    const verify = () => deps.passwords.verify(password, hash, identity?.actor.userId)
    if (!deps.config.rateLimit) return verify()
    const { signInsOfAddress, signInsOfAccount } = policiesOf(deps.config)
    const address = addressKey(ip)
    const caller = identity?.actor.userId ?? addressCaller(ip)
    const known = await recentAddresses(deps, caller, account.userId)
    const device = known.some((one) => addressKey(one) === address)
      ? address
      : identity && sessionIdOf(identity.actor)
    const ends: ((isFailure: boolean) => Promise<void>)[] = []
    let isFailure = false
    try {
      if (device === null) ends.push(await beginAttempt(deps, context, signInsOfAddress, address))
      const key = accountKey(account, device)
      ends.push(await beginAttempt(deps, context, signInsOfAccount, key))
      const verdict = await verify()
      isFailure = !verdict.valid
      return verdict
    } finally {
      await Promise.all(ends.map((end) => end(isFailure)))
      if (isFailure && device !== null) await deps.attempts.fail(signInsOfAddress, address)
    }
  }

/** Begins an attempt; the returned function ends it. 429 `rate_limited`. */
const beginAttempt = async (
  { attempts }: { attempts: Attempts },
  context: RequestContext,
  policy: RatePolicy,
  key: string,
): Promise<(isFailure: boolean) => Promise<void>> => {
  const { state, end } = await attempts.begin(policy, key)
  context.rateLimit = { policy, state }
  if (!end) throw rateLimited(state)
  return end
}

/** The bucket of an e-mail address, as a hash: addresses are not stored in Redis. */
export const emailKey = (email: string): string =>
  new Bun.CryptoHasher('sha256').update(`e-mail ${email}`).digest('base64url')

/** The key of an account, existing or not, as a hash: e-mail addresses are not stored in Redis. */
const accountKey = ({ userId, email }: Parameters<PasswordCheck>[0], device: string | null): string =>
  new Bun.CryptoHasher('sha256').update(`${userId ?? email} ${device ?? ''}`).digest('base64url')
