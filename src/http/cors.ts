// Cross-origin access: pages of the server's own origin and of the allow-list, compared exactly with scheme and port.
// The plugin alone would send the permission headers to every origin and route OPTIONS for paths that do not exist;
// therefore it is not mounted: it compares the origins of requests that name one, and the pipeline answers preflights.
// Mounted as a hook it ran for every request, also for those of programs, which send no Origin.
import { cors } from '@elysiajs/cors'
import { isAllowedOrigin, type OriginConfig } from '../auth/origin.ts'

const methods = 'GET, HEAD, POST, PUT, PATCH, DELETE'
const maxAgeSeconds = 600

const allowedHeaders = [
  'Authorization',
  'Content-Type',
  'If-Match',
  'If-None-Match',
  'Idempotency-Key',
  'X-Request-Id',
  'Traceparent',
  'Range',
]

const exposeHeaders = [
  'ETag',
  'Location',
  'Link',
  'Tide-Cursor',
  'Idempotency-Replayed',
  'RateLimit',
  'RateLimit-Policy',
  'Retry-After',
  'X-Request-Id',
]

/** The permission headers of an answer; null where the request names no origin, or one that is not allowed. */
export type CorsHeadersOf = (request: Request) => Record<string, string> | null

/** Every answer has `Vary: Origin` besides. */
export const crossOrigin = (config: OriginConfig): CorsHeadersOf => {
  const plugin = cors({
    origin: (request) => isAllowedOrigin(request.headers.get('origin') ?? '', request, config),
    methods: false,
    preflight: false,
  })
  const [hook] = plugin.event.request ?? []
  if (!hook) throw new Error('@elysiajs/cors has no request hook')
  const permissions = {
    'access-control-allow-credentials': 'true',
    'access-control-allow-headers': allowedHeaders.join(', '),
    'access-control-expose-headers': exposeHeaders.join(', '),
  }
  return (request) => {
    if (!request.headers.has('origin')) return null
    const headers: Record<string, string> = {}
    void hook.fn({ request, set: { headers } })
    const origin = headers['access-control-allow-origin']
    if (origin === undefined) return null
    return {
      'access-control-allow-origin': origin,
      ...permissions,
      ...(isPreflight(request) && {
        'access-control-allow-methods': methods,
        'access-control-max-age': String(maxAgeSeconds),
      }),
    }
  }
}

/** Whether the request is a CORS preflight. */
export const isPreflight = ({ method, headers }: Request): boolean =>
  method === 'OPTIONS' && headers.has('access-control-request-method')
