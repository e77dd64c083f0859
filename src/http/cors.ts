// Cross-origin access: pages of the server's own origin and of the allow-list, compared exactly with scheme and port.
// The plugin alone would send the permission headers to every origin and route OPTIONS for paths that do not exist;
// therefore it only compares origins, and the pipeline answers preflights.
import { cors } from '@elysiajs/cors'
import { Elysia } from 'elysia'
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

/** Headers the plugin sets for every origin. */
const permissions = [
  'access-control-allow-credentials',
  'access-control-allow-headers',
  'access-control-expose-headers',
]

/** Sets the CORS headers of every answer. */
export const crossOrigin = (config: OriginConfig) =>
  new Elysia({ name: 'cross-origin' })
    .use(
      cors({
        origin: (request) => isAllowedOrigin(request.headers.get('origin') ?? '', request, config),
        credentials: true,
        methods: false,
        allowedHeaders,
        exposeHeaders,
        preflight: false,
      }),
    )
    .onRequest(({ request, set: { headers } }) => {
      const isAllowed = headers['access-control-allow-origin'] !== undefined
      if (!isAllowed) for (const name of permissions) delete headers[name]
      if (isAllowed && isPreflight(request)) {
        headers['access-control-allow-methods'] = methods
        headers['access-control-max-age'] = String(maxAgeSeconds)
      }
    })

/** Whether the request is a CORS preflight, on any path. */
export const isPreflight = ({ method, headers }: Request): boolean =>
  method === 'OPTIONS' && headers.has('access-control-request-method')

export const preflightAnswer = (): Response =>
  new Response(null, { status: 204, headers: { 'Cache-Control': 'no-store' } })
