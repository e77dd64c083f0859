// What is known of a request beyond what it carries itself. One record a request, gone with it.
import type { Identity } from '../deps.ts'
import { AppError } from '../errors.ts'
import type { Place } from './route-table.ts'

export interface RequestFacts {
  id: string
  startedAt: number
  /** The JSON body as it was parsed; undefined for none. */
  body: unknown
  identity: Identity | null
  /** Client address, from the peer or a trusted proxy. */
  ip: string
  /** Which route it is for, once its path was compared with them. */
  place?: Place
  /** Status of the problem it was answered with; the access log is not told otherwise. */
  problemStatus?: number
}

const facts = new WeakMap<Request, RequestFacts>()

export const startRequest = (request: Request, ip: string): RequestFacts => {
  const given = request.headers.get('x-request-id')
  const made: RequestFacts = {
    id: given && /^[\w.:@/+=-]{1,128}$/.test(given) ? given : Bun.randomUUIDv7(),
    startedAt: performance.now(),
    body: undefined,
    identity: null,
    ip,
  }
  facts.set(request, made)
  return made
}

export const factsOf = (request: Request): RequestFacts => facts.get(request) ?? startRequest(request, '')

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

/** The version of `If-Match: "<version>"`, null for none or `*`. A project's tag carries more after a dot. */
export const ifMatchOf = (request: Request): number | null => {
  const header = request.headers.get('if-match')
  if (header === null || header.trim() === '*') return null
  const match = /^\s*(?:W\/)?"(\d{1,15})(?:\.\w+)?"\s*$/.exec(header)
  if (!match) throw new AppError('bad_request', 'If-Match must be one ETag as it was answered')
  return Number(match[1])
}
