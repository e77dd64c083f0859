// The refresh token's cookie: for browsers that should not hold it in JavaScript. Whoever lets it speak for a
// person demands an allowed Origin, because browsers send cookies with requests that others caused.
import { sessionSeconds } from '../db/users/sessions.ts'
import { isAllowedOrigin, isPlainPrivateHttp, type OriginConfig } from '../auth/origin.ts'
import { AppError } from '../errors.ts'

const name = 'tide_refresh'

/** The Set-Cookie value that keeps a refresh token; null removes it. */
export const refreshCookie = (token: string | null, request: Request, config: OriginConfig): string =>
  [
    `${name}=${token ?? ''}`,
    'Path=/api/auth',
    `Max-Age=${token === null ? 0 : sessionSeconds}`,
    'HttpOnly',
    ...(isPlainPrivateHttp(request, config) ? [] : ['Secure']),
    'SameSite=Strict',
  ].join('; ')

/** The refresh token of the request's cookie, null for none. 403 `origin_refused` when another site may have sent it. */
export const refreshTokenOfCookie = (request: Request, config: OriginConfig): string | null => {
  const token = new Bun.CookieMap(request.headers.get('cookie') ?? '').get(name)
  if (!token) return null
  const origin = request.headers.get('origin')
  const site = request.headers.get('sec-fetch-site')
  if (origin === null || site === 'cross-site' || !isAllowedOrigin(origin, request, config)) {
    throw new AppError('origin_refused')
  }
  return token
}
