// Which web pages may speak for the person whose browser shows them: those of the server's own origin and of the
// allow-list, to the letter, scheme and port too.
import type { Config } from '../config.ts'

export type OriginConfig = Pick<Config, 'allowedOrigins' | 'trustedProxies'>

/** Whether the origin is the server's own or on the allow-list. */
export const isAllowedOrigin = (origin: string, request: Request, config: OriginConfig): boolean =>
  config.allowedOrigins.includes(origin) || origin === ownOrigin(request, config)

/** As the browser sees it: behind a trusted proxy the scheme is the one that the proxy was called with. */
const ownOrigin = (request: Request, { trustedProxies }: OriginConfig): string => {
  const forwarded =
    trustedProxies > 0 ? request.headers.get('x-forwarded-proto')?.split(',').at(-1)?.trim() : null
  return `${forwarded ?? request.url.slice(0, request.url.indexOf(':'))}://${request.headers.get('host') ?? ''}`
}
