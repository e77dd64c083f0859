// Rate limits as a request meets them: whose bucket it draws from, the headers that tell, and the 429.
import { isIPv6 } from 'node:net'
import type { Deps, RatePolicy } from '../deps.ts'
import { AppError } from '../errors.ts'
import { canonicalEmail } from '../model/text-form.ts'
import { policiesOf } from './rate-limit.ts'
import { factsOf } from './request.ts'

type AllowanceDeps = Pick<Deps, 'config' | 'limiter'>

/** Answer headers, as Elysia collects them in `set`. */
type Headers = Record<string, string | number>

/** Draws one request from a policy and says so in the headers. 429 `rate_limited`. */
export const demandAllowance = async (
  { config, limiter }: AllowanceDeps,
  headers: Headers,
  policy: RatePolicy,
  key: string,
): Promise<void> => {
  if (!config.rateLimit) return
  const { allowed, limit, remaining, resetSeconds } = await limiter.take(policy, key)
  headers['RateLimit-Policy'] = `"${policy.name}";q=${limit};w=${policy.windowSeconds}`
  headers['RateLimit'] = `"${policy.name}";r=${remaining};t=${resetSeconds}`
  if (!allowed) throw new AppError('rate_limited', undefined, { retryAfter: resetSeconds })
}

/** What every request draws: from its user's bucket, or its address's where there is no user. */
export const demandRequest = (deps: AllowanceDeps, request: Request, headers: Headers): Promise<void> => {
  const { identity, ip } = factsOf(request)
  const key = identity ? identity.actor.userId : addressKey(ip)
  return demandAllowance(deps, headers, policiesOf(deps.config).requests, key)
}

/**
 * Runs a sign-in under the limits of failed ones: an attempt is drawn before, so that many at once cannot pass
 * together, and put back unless the credentials were wrong.
 */
export const limitSignIn = async <T>(
  deps: AllowanceDeps,
  { request, headers, email }: { request: Request; headers: Headers; email: string },
  signIn: () => Promise<T>,
): Promise<T> => {
  if (!deps.config.rateLimit) return signIn()
  const { signInsOfAddress, signInsOfAccount } = policiesOf(deps.config)
  const drawn: [RatePolicy, string][] = []
  const draw = async (policy: RatePolicy, key: string): Promise<void> => {
    await demandAllowance(deps, headers, policy, key)
    drawn.push([policy, key])
  }
  const putBack = () => Promise.all(drawn.map(([policy, key]) => deps.limiter.giveBack(policy, key)))
  try {
    await draw(signInsOfAddress, addressKey(factsOf(request).ip))
    await draw(signInsOfAccount, accountKey(email))
    const result = await signIn()
    await putBack()
    return result
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'invalid_credentials') await putBack()
    throw error
  }
}

/** One key for an account, whether it exists or not; addresses stay out of Redis. */
const accountKey = (email: string): string =>
  new Bun.CryptoHasher('sha256').update(canonicalEmail(email)).digest('base64url')

/** IPv4 in IPv6 counts as IPv4; of IPv6 a household has a /64. */
export const addressKey = (ip: string): string => {
  const bare = ip.replace(/%.*$/, '').slice(0, 64)
  if (!isIPv6(bare)) return bare
  const [head = '', tail] = new URL(`http://[${bare}]`).hostname.slice(1, -1).split('::')
  const first = head === '' ? [] : head.split(':')
  const last = tail === undefined || tail === '' ? [] : tail.split(':')
  const groups = [...first, ...Array<string>(8 - first.length - last.length).fill('0'), ...last]
  if (groups.slice(0, 6).join(':') !== '0:0:0:0:0:ffff') return `${groups.slice(0, 4).join(':')}::/64`
  const [high, low] = groups.slice(6).map((group) => Number.parseInt(group, 16))
  return [high! >> 8, high! & 255, low! >> 8, low! & 255].join('.')
}
