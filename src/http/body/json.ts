// Reading a JSON body: only the documented type, bounded on the stream and in depth, kept for
// Idempotency-Key.
import { AppError, invalid, overloaded } from '../../errors.ts'
import type { BodyFacts } from './body-budget.ts'
import { contextOf } from '../request-context.ts'

export const maxBodyBytes = 1024 * 1024

/** No documented shape comes near; validating what is nested without end takes seconds. */
const maxDepth = 32

/** The largest documented body, a batch of 100 creations, has 1,400; parsing 95,000 different names takes 20 ms. */
const maxMembers = 10_000

const jsonTypes = new Set(['application/json', 'application/merge-patch+json'])

/**
 * The parsed body, undefined where there is none. 415, 413, 400 `malformed_json`, or 422 for what is no object; 503 for
 * one that has not arrived at the deadline, or finds no room: nothing was done, so that a repeat is right.
 */
export const readJson = async (request: Request, mediaType: string, deadlineMs: number): Promise<unknown> => {
  if (!request.body) return undefined
  requireReadable(request)
  const declared = request.headers.get('content-length')
  if (declared !== null && Number(declared) > maxBodyBytes) throw new AppError('payload_too_large')
  // One of unknown length may turn out to be empty, and then has no type.
  if (declared !== null) requireJson(request, mediaType)
  const bytes = await readBounded(request.body, contextOf(request).incoming, deadlineMs)
  if (bytes.byteLength === 0) return undefined
  requireJson(request, mediaType)
  const detail = shapeFault(bytes)
  if (detail !== null) throw invalid({ pointer: '', detail })
  const value = parse(bytes)
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalid({ pointer: '', detail: 'must be an object' })
  contextOf(request).body = value
  return value
}

/** 415 for a body that is compressed or in another charset than UTF-8: it is not read as what it is not. */
const requireReadable = ({ headers }: Request): void => {
  const encoding = headers.get('content-encoding')?.trim().toLowerCase() ?? ''
  if (encoding !== '' && encoding !== 'identity')
    throw new AppError('unsupported_media_type', 'Send the body without Content-Encoding')
  const charset = /;\s*charset\s*=\s*"?([^";\s]*)/i.exec(headers.get('content-type') ?? '')?.[1]
  if (charset !== undefined && !/^utf-?8$/i.test(charset))
    throw new AppError('unsupported_media_type', 'Send the body in UTF-8')
}

const requireJson = ({ method }: Request, mediaType: string): void => {
  const contentType = mediaType.trim().toLowerCase()
  if (!jsonTypes.has(contentType) || (contentType !== 'application/json' && method !== 'PATCH'))
    throw new AppError('unsupported_media_type', 'Send application/json')
}

const parse = (bytes: Uint8Array): unknown => {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new AppError('malformed_json', undefined, { cause })
  }
}

const [quote, backslash, openList, closeList, openObject, closeObject, colon] = Buffer.from('"\\[]{}:')

/** Counts brackets and colons outside of strings; what is no JSON is left for the parser to refuse. */
const shapeFault = (bytes: Uint8Array): string | null => {
  let depth = 0
  let members = 0
  let inString = false
  for (let index = 0; index < bytes.length; index += 1) {
    const byte = bytes[index]
    if (inString) {
      if (byte === backslash) index += 1
      else if (byte === quote) inString = false
    } else if (byte === quote) inString = true
    else if (byte === openList || byte === openObject) {
      depth += 1
      if (depth > maxDepth) return `must not be nested deeper than ${maxDepth} levels`
    } else if (byte === closeList || byte === closeObject) depth -= 1
    else if (byte === colon) {
      members += 1
      if (members > maxMembers) return `must not have more than ${maxMembers} members`
    }
  }
  return null
}

const readBounded = async (
  stream: ReadableStream<Uint8Array>,
  facts: BodyFacts | undefined,
  deadlineMs: number,
): Promise<Uint8Array> => {
  const reader = stream.getReader()
  const chunks: Uint8Array[] = []
  let length = 0
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(overloaded('A body did not arrive in time')), deadlineMs)
  try {
    for (;;) {
      const { done, value } = await Promise.race([reader.read(), late.promise])
      if (done) break
      length += value.byteLength
      if (length > maxBodyBytes) throw new AppError('payload_too_large')
      requireRoom(facts, length)
      chunks.push(value)
    }
  } catch (error) {
    void reader.cancel().catch(() => {}) // the answer closes the connection
    throw error
  } finally {
    clearTimeout(timer)
  }
  if (facts) facts.isRead = true
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
}

/** A body of unknown length takes its bytes as they come. */
const requireRoom = (facts: BodyFacts | undefined, length: number): void => {
  const { reservation } = facts ?? {}
  if (!reservation || length <= reservation.bytes) return
  if (!reservation.grow(length - reservation.bytes))
    throw overloaded('The bodies under way hold all bytes they may')
}
