// Which web pages may call: those of the server's own origin and of the allow-list, to the letter, scheme and port
// too. Nothing is ever reflected that is not on it.
import { isAllowedOrigin, type OriginConfig } from '../domain/origin.ts'

const allow = {
  'Access-Control-Allow-Methods': 'GET, HEAD, POST, PUT, PATCH, DELETE',
  'Access-Control-Allow-Headers':
    'Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key, X-Request-Id, Traceparent, Range',
  'Access-Control-Max-Age': '600',
}

const expose =
  'ETag, Location, Link, Tide-Cursor, Idempotency-Replayed, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id'

/** Marks the answer for the page that asked, and is the answer where that was a preflight. */
export const crossOrigin = (
  request: Request,
  headers: Record<string, string | number>,
  config: OriginConfig,
): Response | undefined => {
  headers['Vary'] = 'Origin'
  const origin = request.headers.get('origin')
  if (origin === null) return undefined
  const isAllowed = isAllowedOrigin(origin, request, config)
  if (isAllowed) {
    headers['Access-Control-Allow-Origin'] = origin
    headers['Access-Control-Allow-Credentials'] = 'true'
    headers['Access-Control-Expose-Headers'] = expose
  }
  const isPreflight = request.method === 'OPTIONS' && request.headers.has('access-control-request-method')
  return isPreflight ? new Response(null, { status: 204, headers: isAllowed ? allow : {} }) : undefined
}
