// What is known of a request beyond what it carries itself. One record a request, gone with it.
import type { Identity } from '../auth/authenticator.ts'
import { AppError } from '../errors.ts'
import type { BodyFacts } from './body/body-budget.ts'
import type { Place } from './route-table.ts'

export interface RequestContext {
  id: string
  startedAt: number
  /** What the request stored, for the limit of a day. */
  writtenBytes?: number
  /** The JSON body as it was parsed; undefined for none. */
  body: unknown
  identity: Identity | null
  /** Client address, from the peer or a trusted proxy. */
  ip: string
  /** Which route it is for, once its path was compared with them. */
  place?: Place
  /** Absent where there is no body. */
  incoming?: BodyFacts
  /** Status of the problem it was answered with; the access log is not told otherwise. */
  problemStatus?: number
}

const facts = new WeakMap<Request, RequestContext>()

export const createContext = (request: Request, ip: string): RequestContext => {
  const given = request.headers.get('x-request-id')
  const made: RequestContext = {
    id: given && /^[\w.:@/+=-]{1,128}$/.test(given) ? given : Bun.randomUUIDv7(),
    startedAt: performance.now(),
    body: undefined,
    identity: null,
    ip,
  }
  facts.set(request, made)
  return made
}

export const contextOf = (request: Request): RequestContext =>
  facts.get(request) ?? createContext(request, '')

/** Whether the Host header names one host, or there is none: HTTP/1.0 health checks send none. */
export const hasValidHost = ({ url, headers }: Request): boolean => {
  const host = headers.get('host')?.trim() ?? ''
  return host === '' || (/^https?:/.test(url) && !host.includes(','))
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
 * The entity tags of an If-Match or If-None-Match list, without `W/`, quotes and a proxy's suffix such as `-gzip`; `*`
 * stays, and what is no tag becomes empty text, which no tag of ours is.
 */
export const tagsIn = (header: string): string[] =>
  header.split(',').map((part) => {
    const tag = part.trim()
    return tag === '*' ? tag : (/^(?:W\/)?"([\w.]*)(?:[-;][\w;-]*)?"$/.exec(tag)?.[1] ?? '')
  })

/**
 * The versions `If-Match` names, null without the header or with `*`. A project's tag carries the role after a dot.
 * What cannot be a tag of ours names no version, so that the condition fails.
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
