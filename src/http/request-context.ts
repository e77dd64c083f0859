// Everything the server knows about a request, in one record that every step and the handler receive.
import type { Identity } from '../auth/authenticator.ts'
import { AppError } from '../errors.ts'
import type { Reservation } from '../limits/byte-budget.ts'
import type { RequestLine } from '../log.ts'
import type { RatePolicy, RateState } from '../limits/policies.ts'
import { forRequest, type Actor } from '../model/actor.ts'
import type { RouteMeter } from './route-meters.ts'
import type { RouteTraits } from './route.ts'
import type { Span } from '../tracing/spans.ts'
import { traceOf } from './trace.ts'

/** The client address of a request; it must be called before the first await, while the connection is known. */
export type AddressOf = (request: Request) => string

/** Where log lines of a request are found beside spans; as in `RequestLine`. */
type LoggedTrace = Pick<RequestLine, 'spanId' | 'parentSpanId'> & { traceId: string }

/** `Params`, `Query` and `Body` are as the route's schemas describe them, once they are checked. */
export class RequestContext<Params = unknown, Query = unknown, Body = unknown> {
  /** `performance.now()` at the start. */
  readonly startedAt = performance.now()
  /** `X-Request-Id`, sent by the client or generated. */
  readonly id: string
  readonly method: string
  /** The path alone, as the router sees it. */
  readonly path: string
  /** The query as it was sent, with its question mark; empty for none. */
  readonly search: string
  /** Whether the request has a body, by its headers. */
  readonly hasBody: boolean
  identity: Identity | null = null
  /** Why authentication failed; thrown after the limits and 404. */
  rejection: unknown = null
  // oxlint-disable-next-line typescript/no-non-null-assertion -- set by the checks of the route before its handler runs
  params!: Params
  query!: Query
  body!: Body
  /** Bytes of the body in the body budget, until the request is answered. */
  bodyReservation: Reservation | null = null
  /** Characters of a long query, until the request is answered. */
  queryReservation: Reservation | null = null
  /** Bytes the request stored, for the daily limit. */
  writtenBytes = 0
  /** The limit that the RateLimit headers of the answer describe, the last one that was counted. */
  rateLimit: { policy: RatePolicy; state: RateState } | null = null
  /** Whether the answer closes the connection: Bun goes on buffering an unread body. */
  closesConnection = false
  /** The span of the request; null where it is not traced. */
  span: Span | null = null
  #ip: string | null = null
  /** An admin with the overrides of this request. */
  #admin: Actor | null = null
  readonly #addressOf: AddressOf

  constructor(
    readonly request: Request,
    readonly traits: RouteTraits,
    addressOf: AddressOf,
    /** Counts the request when it is answered. */
    readonly meter: RouteMeter,
  ) {
    this.#addressOf = addressOf
    const { headers, url } = request
    this.method = request.method
    const given = headers.get('x-request-id')
    this.id = given !== null && isRequestId(given) ? given : Bun.randomUUIDv7()
    const start = pathStartOf(url)
    const end = pathEndOf(url, start)
    this.path = url.slice(start, end)
    this.search = url.charCodeAt(end) === questionMark ? searchFrom(url, end) : ''
    this.hasBody = headers.has('transfer-encoding') || Number(headers.get('content-length') ?? 0) > 0
  }

  /** Whether the body is read before the handler runs: bodies of GET and HEAD are not. */
  get readsBody(): boolean {
    return (this.hasBody || this.traits.body.kind === 'stream') && !this.isRead
  }

  /** GET or HEAD. */
  get isRead(): boolean {
    return this.method === 'GET' || this.method === 'HEAD'
  }

  /** Client address, from the peer or a trusted proxy. */
  get ip(): string {
    return (this.#ip ??= this.#addressOf(this.request))
  }

  /** The trace the request belongs to, for log lines; null for none. */
  get trace(): LoggedTrace | null {
    const caller = traceOf(this.request.headers)
    const { traceId, spanId } = this.span?.spanContext() ?? {}
    if (traceId === undefined) return caller && { traceId: caller.traceId, parentSpanId: caller.parentSpanId }
    return { traceId, spanId, ...(caller && { parentSpanId: caller.parentSpanId }) }
  }

  /** The authenticated actor. 401 on a public route without credentials. */
  get actor(): Actor {
    if (!this.identity) throw new AppError('unauthenticated')
    const { actor } = this.identity
    return actor.role === 'admin' ? (this.#admin ??= forRequest(actor)) : actor
  }

  /** Where the request has read or written by the right of admins alone; null for others than admins. */
  get admin(): Actor | null {
    return this.#admin
  }
}

const questionMark = 63

const isRequestId = (text: string): boolean => /^[\w.:@/+=-]{1,128}$/.test(text)

/** Where the path begins: after the host, or at 0 where the request has none. */
const pathStartOf = (url: string): number => {
  if (!hasHost(url)) return 0
  const slash = url.indexOf('/', 8)
  return slash < 0 ? url.length : slash
}

/** The path alone, as the router sees it. */
export const pathOf = ({ url }: Request): string => {
  const start = pathStartOf(url)
  return url.slice(start, pathEndOf(url, start))
}

/** The first question mark or number sign from `start`, or the end of the text. */
const pathEndOf = (url: string, start: number): number => {
  const query = url.indexOf('?', start)
  const fragment = url.indexOf('#', start)
  const end = query < 0 || (fragment >= 0 && fragment < query) ? fragment : query
  return end < 0 ? url.length : end
}

const searchFrom = (url: string, start: number): string => {
  const end = url.indexOf('#', start)
  return url.slice(start, end < 0 ? undefined : end)
}

/** Whether Bun made the URL from one valid host. It is the path alone without a Host header, or with an invalid one. */
export const hasHost = (url: string): boolean => url.startsWith('http://') || url.startsWith('https://')

/** 400 where the Host header does not name one host. It may be absent: HTTP/1.0 health checks send none. */
export const requireValidHost = ({ url, headers }: Request): void => {
  const host = headers.get('host')
  if (host === null || (hasHost(url) && !host.includes(','))) return
  if (host.trim() !== '') throw new AppError('bad_request', 'The Host header must name one host')
}

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
