// The cookie that carries an administrator's access token to the pages below /admin, which a browser opens without an
// Authorization header. A request that changes something needs an allowed Origin as well.
import { isAllowedOrigin, isPlainPrivateHttp, type OriginConfig } from '../auth/origin.ts'
import { AppError } from '../errors.ts'
import { accessTokenSeconds } from '../model/user.ts'

const name = 'tide_admin'

/** The Set-Cookie value. */
export const adminCookie = (accessToken: string, request: Request, config: OriginConfig): string =>
  [
    `${name}=${accessToken}`,
    'Path=/admin',
    `Max-Age=${accessTokenSeconds}`,
    'HttpOnly',
    ...(isPlainPrivateHttp(request, config) ? [] : ['Secure']),
    'SameSite=Strict',
  ].join('; ')

/** The access token of the cookie, null for none. 403 `origin_refused` where another site may have caused a change. */
export const adminTokenOfCookie = (request: Request, config: OriginConfig): string | null => {
  const token = new Bun.CookieMap(request.headers.get('cookie') ?? '').get(name)
  if (!token) return null
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    const origin = request.headers.get('origin')
    const site = request.headers.get('sec-fetch-site')
    if (origin === null || site === 'cross-site' || !isAllowedOrigin(origin, request, config))
      throw new AppError('origin_refused')
  }
  return token
}
