// Everything the pipeline knows about a request beyond the request itself, in one record per request.
import type { Identity } from '../auth/authenticator.ts'
import { AppError } from '../errors.ts'
import type { Reservation } from '../limits/byte-budget.ts'
import { traitsOfUnknown, type RouteTraits } from './route.ts'
import { routeOf, type FoundPath, type RouteTable } from './route-table.ts'
import type { RouteSchemas } from './violations.ts'

export interface RequestContext {
  /** `X-Request-Id`, sent by the client or generated. */
  readonly id: string
  /** `performance.now()` at the start. */
  readonly startedAt: number
  /** Client address, from the peer or a trusted proxy. */
  readonly ip: string
  /** The path in the route table; null for a path that is not in it. */
  readonly found: FoundPath | null
  readonly schemas: RouteSchemas
  readonly traits: RouteTraits
  identity: Identity | null
  /** The body as a `value` reader returned it; undefined for none. */
  body: unknown
  /** Bytes of the body in the body budget, until the request is answered. */
  bodyReservation?: Reservation
  /** Bytes the request stored, for the daily limit. */
  writtenBytes?: number
  /** Status of a problem answer, for the access log. */
  problemStatus?: number
}

const contexts = new WeakMap<Request, RequestContext>()

export const createContext = (request: Request, ip: string, routes?: RouteTable): RequestContext => {
  const given = request.headers.get('x-request-id')
  const path = pathOf(request)
  const found = routes?.find(path) ?? null
  // A method that the path does not have is treated like the first one it has, until it is refused with 405.
  const route = found && (routeOf(found.item, request.method) ?? found.item.routes.values().next().value)
  const context: RequestContext = {
    id: given && /^[\w.:@/+=-]{1,128}$/.test(given) ? given : Bun.randomUUIDv7(),
    startedAt: performance.now(),
    ip,
    found,
    schemas: route?.schemas ?? {},
    traits: route?.traits ?? traitsOfUnknown(path),
    identity: null,
    body: undefined,
  }
  contexts.set(request, context)
  return context
}

/** The record of a request; an empty one where the pipeline has not started. */
export const contextOf = (request: Request): RequestContext =>
  contexts.get(request) ?? createContext(request, '')

/** 400 where the Host header does not name one host. It may be absent: HTTP/1.0 health checks send none. */
export const requireValidHost = ({ url, headers }: Request): void => {
  const host = headers.get('host')?.trim() ?? ''
  if (host !== '' && (!/^https?:/.test(url) || host.includes(',')))
    throw new AppError('bad_request', 'The Host header must name one host')
}

/** The query as it was sent, with its question mark; empty for none. */
export const searchOf = ({ url }: Request): string => {
  const start = url.indexOf('?')
  if (start < 0) return ''
  const end = url.indexOf('#', start)
  return url.slice(start, end < 0 ? undefined : end)
}

/** The path alone, as the router sees it. */
export const pathOf = (request: Request): string =>
  /^(?:https?:\/\/[^/]*)?([^?#]*)/.exec(request.url)?.[1] ?? '/'

/** The request's Idempotency-Key: 1 to 255 visible ASCII characters, or none. */
export const idempotencyKeyOf = (request: Request): string | null => {
  const key = request.headers.get('idempotency-key')
  if (key === null || /^[\x21-\x7e]{1,255}$/.test(key)) return key
  throw new AppError('bad_request', 'Idempotency-Key must be 1 to 255 visible ASCII characters')
}

/**
 * The entity tags of an If-Match or If-None-Match list, without `W/`, quotes and a proxy's suffix such as `-gzip`. `*`
 * is kept; invalid text becomes the empty string, which equals no tag of this server.
 */
export const tagsIn = (header: string): string[] =>
  header.split(',').map((part) => {
    const tag = part.trim()
    return tag === '*' ? tag : (/^(?:W\/)?"([\w.]*)(?:[-;][\w;-]*)?"$/.exec(tag)?.[1] ?? '')
  })

/**
 * The versions `If-Match` names, null without the header or with `*`. A project's tag carries the role after a dot.
 * A tag that this server never sends names no version, so that the condition fails.
 */
export const ifMatchOf = (request: Request): number[] | null => {
  const header = request.headers.get('if-match')
  if (header === null) return null
  const tags = tagsIn(header)
  if (tags.includes('*')) return null
  return tags.flatMap((tag) => {
    const version = /^([1-9]\d{0,14})(?:\.(?:owner|editor|viewer))?$/.exec(tag)?.[1]
    return version === undefined ? [] : [Number(version)]
  })
}
