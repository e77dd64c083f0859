// Which web pages may call: those of the server's own origin and of the allow-list, to the letter, scheme and port
// too. The plugin would tell every page what an allowed one may do, and routes OPTIONS for paths that do not exist;
// so it only decides, and the pipeline answers preflights.
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

/** What the plugin sets whoever asks. */
const permissions = [
  'access-control-allow-credentials',
  'access-control-allow-headers',
  'access-control-expose-headers',
]

/** Marks every answer for the page that asked. */
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

/** Whether a browser asks what a page may do, on any path. */
export const isPreflight = ({ method, headers }: Request): boolean =>
  method === 'OPTIONS' && headers.has('access-control-request-method')
