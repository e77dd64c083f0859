// The cookie of the refresh token, for browsers that keep it out of JavaScript. Reading it requires an allowed Origin,
// because browsers also send cookies with requests that other sites cause.
import { sessionSeconds } from '../db/users/sessions.ts'
import { isAllowedOrigin, isPlainPrivateHttp, type OriginConfig } from '../auth/origin.ts'
import { AppError } from '../errors.ts'

export const refreshCookieName = 'tide_refresh'

/** The Set-Cookie value that stores a refresh token; null removes it. */
export const refreshCookie = (token: string | null, request: Request, config: OriginConfig): string =>
  [
    `${refreshCookieName}=${token ?? ''}`,
    'Path=/api/auth',
    `Max-Age=${token === null ? 0 : sessionSeconds}`,
    'HttpOnly',
    ...(isPlainPrivateHttp(request, config) ? [] : ['Secure']),
    'SameSite=Strict',
  ].join('; ')

/** The refresh token of the request's cookie, null for none. 403 `origin_refused` where another site may have caused the request. */
export const refreshTokenOfCookie = (request: Request, config: OriginConfig): string | null => {
  const token = new Bun.CookieMap(request.headers.get('cookie') ?? '').get(refreshCookieName)
  if (!token) return null
  const origin = request.headers.get('origin')
  const site = request.headers.get('sec-fetch-site')
  if (origin === null || site === 'cross-site' || !isAllowedOrigin(origin, request, config)) {
    throw new AppError('origin_refused')
  }
  return token
}
