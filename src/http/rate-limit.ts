// Applies rate limits to requests: chooses the bucket, sets the RateLimit headers, throws the 429.
import type { PasswordCheck, Passwords } from '../auth/passwords.ts'
import type { Config } from '../config.ts'
import type { CallerDatabase } from '../db/client.ts'
import { recentAddresses } from '../domain/users/sessions.ts'
import { AppError } from '../errors.ts'
import { sessionIdOf } from '../model/actor.ts'
import { contextOf, pathOf } from './request-context.ts'
import { addressKey } from '../limits/address-key.ts'
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

/** Answer headers, as Elysia collects them in `set`. */
export type Headers = Record<string, string | number>

/** Counts one request against a policy and sets the headers. 429 `rate_limited`. */
export const takeRateLimit = async (
  { config, limiter }: LimitDeps,
  headers: Headers,
  policy: RatePolicy,
  key: string,
): Promise<void> => {
  if (!config.rateLimit) return
  const state = await limiter.take(policy, key)
  setHeaders(headers, policy, state)
  if (!state.allowed) throw rateLimited(state)
}

const setHeaders = (headers: Headers, policy: RatePolicy, { limit, remaining, resetSeconds }: RateState) => {
  headers['RateLimit-Policy'] = `"${policy.name}";q=${limit};w=${policy.windowSeconds}`
  headers['RateLimit'] = `"${policy.name}";r=${remaining};t=${resetSeconds}`
}

const rateLimited = ({ resetSeconds }: RateState): AppError =>
  new AppError('rate_limited', undefined, { retryAfter: resetSeconds })

/** Counts a request in the bucket of its user, or of its address where there is no user. */
export const limitRequest = (deps: LimitDeps, request: Request, headers: Headers): Promise<void> => {
  const { identity, ip } = contextOf(request)
  const key = identity ? identity.actor.userId : addressKey(ip)
  return takeRateLimit(deps, headers, policiesOf(deps.config).requests, key)
}

const reading = new Set(['GET', 'HEAD', 'OPTIONS'])

/**
 * 429 `rate_limited` for a write of a user who has stored more bytes today than the limit. Ending sessions stays
 * possible.
 */
export const requireWritable = (
  { config, writtenBytes }: { config: Config; writtenBytes: WrittenBytes },
  request: Request,
  headers: Headers,
): void => {
  const { identity } = contextOf(request)
  if (!config.rateLimit || !identity || reading.has(request.method)) return
  if (pathOf(request).startsWith('/api/auth/')) return
  const state = writtenBytes.stateOf(identity.actor.userId)
  if (state.allowed) return
  setHeaders(headers, policiesOf(config).writtenBytes, state)
  throw rateLimited(state)
}

/**
 * Verifies passwords for a request: every check is an attempt under the limits of failed sign-ins, per address and per
 * account. An address from which the account signed in recently, or a live session, has its own bucket for the account
 * and is not rejected for failures of others from its address: attackers cannot lock an owner out.
 */
export const passwordCheck =
  (deps: PasswordCheckDeps, request: Request, headers: Headers): PasswordCheck =>
  async (account, password, hash) => {
    const { identity, ip } = contextOf(request)
    const verify = () => deps.passwords.verify(password, hash, identity?.actor.userId)
    if (!deps.config.rateLimit) return verify()
    const { signInsOfAddress, signInsOfAccount } = policiesOf(deps.config)
    const address = addressKey(ip)
    const caller = identity?.actor.userId ?? `address:${address}`
    const known = await recentAddresses(deps, caller, account.userId)
    const device = known.some((one) => addressKey(one) === address)
      ? address
      : identity && sessionIdOf(identity.actor)
    const ends: ((isFailure: boolean) => Promise<void>)[] = []
    let isFailure = false
    try {
      if (device === null) ends.push(await beginAttempt(deps, headers, signInsOfAddress, address))
      const key = accountKey(account, device)
      ends.push(await beginAttempt(deps, headers, signInsOfAccount, key))
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
  headers: Headers,
  policy: RatePolicy,
  key: string,
): Promise<(isFailure: boolean) => Promise<void>> => {
  const { state, end } = await attempts.begin(policy, key)
  setHeaders(headers, policy, state)
  if (!end) throw rateLimited(state)
  return end
}

/** The key of an account, existing or not, as a hash: e-mail addresses are not stored in Redis. */
const accountKey = ({ userId, email }: Parameters<PasswordCheck>[0], device: string | null): string =>
  new Bun.CryptoHasher('sha256').update(`${userId ?? email} ${device ?? ''}`).digest('base64url')
