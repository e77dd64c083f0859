// One HTTP request and its answer, with a deadline: no retries, no credentials of its own.
import {
  ApiError,
  InvalidArgumentError,
  NetworkError,
  OriginRefusedError,
  UploadRefusedError,
} from '../errors.ts'
import { wellFormed, type Path } from './path.ts'
import { readProblem } from './problem.ts'
import { Deadline } from '../async/deadline.ts'
import { withAnySignal } from '../async/signals.ts'

export type Fetch = (url: string, init: RequestInit) => Promise<Response>

export interface HttpTarget {
  /** Of the server, without a slash at its end. */
  url: string
  fetch: Fetch
  /** Of one attempt. */
  timeoutMs: number
}

export type Query = Record<string, string | number | boolean | readonly string[] | undefined>

export interface Call {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  path: Path
  query?: Query | undefined
  /** JSON, or a form. */
  body?: unknown
  /** Writes only if no writable field changed since this version. */
  ifMatch?: number | null | undefined
  /** Idempotency-Key. */
  key?: string | null | undefined
  signal?: AbortSignal | undefined
  timeoutMs?: number
  /** Attempts of a repeatable call; `timing.attempts` by default. */
  attempts?: number
  /** Bytes of a download, `end` not included. */
  range?: { start: number; end?: number | undefined } | undefined
  /** The value of the answer is its bytes. */
  isBinary?: boolean
  /** In place of the client's own; it reports progress. */
  sendBy?: ((fetch: Fetch) => Fetch) | undefined
}

export interface CallOptions {
  signal?: AbortSignal | undefined
  /** Idempotency-Key, if the caller has one: a repeat under the same key has no second effect. */
  key?: string | undefined
}

export interface Answer<T> {
  status: number
  value: T
  headers: Headers
  /** `Tide-Cursor`: where in the log the write is; null if it changed nothing. */
  cursor: string | null
}

/**
 * Throws ApiError for a problem, NetworkError where there is no answer, InvalidArgumentError before anything is sent,
 * the signal's reason when aborted.
 */
export const sendRequest = async <T>(
  target: HttpTarget,
  call: Call,
  token: string | null,
): Promise<Answer<T>> => {
  const { method, query, body, ifMatch, key, range, signal, timeoutMs = target.timeoutMs } = call
  const path = call.path.text
  const isForm = typeof FormData !== 'undefined' && body instanceof FormData
  const headers: Record<string, string> = {}
  if (token !== null) headers['Authorization'] = `Bearer ${token}`
  if (body !== undefined && !isForm) headers['Content-Type'] = 'application/json'
  if (typeof ifMatch === 'number') headers['If-Match'] = `"${ifMatch}"`
  if (typeof key === 'string') headers['Idempotency-Key'] = validKey(key)
  if (range) headers['Range'] = `bytes=${range.start}-${range.end === undefined ? '' : range.end - 1}`
  const url = `${target.url}${path}${queryOf(query)}`
  const send = call.sendBy ? call.sendBy(target.fetch) : target.fetch
  const deadline = new Deadline(timeoutMs)
  const late = deadline.signal
  try {
    return await withAnySignal(signal ? [signal, late] : [late], async (either) => {
      const response = await send(url, {
        method,
        headers,
        ...(body !== undefined && { body: isForm ? body : JSON.stringify(body) }),
        // Chromium answers a range past the end of a cached file by itself, without the server's problem.
        ...(range && { cache: 'no-store' as const }),
        signal: either,
        // The refresh cookie is same-site and lives under /api/auth: nothing else ever carries it.
        credentials: path.startsWith('/api/auth/') ? 'include' : 'omit',
      })
      return read<T>(response, path, call.isBinary === true)
    })
  } catch (error) {
    if (error instanceof ApiError || signal?.aborted) throw error
    throw new NetworkError(method, url, late.aborted ? late.reason : error)
  } finally {
    deadline.clear()
  }
}

/**
 * A request to the object store, whose answer has no content. The URL is a secret and in no error. Throws
 * UploadRefusedError where the store refuses it for good, NetworkError where it may succeed later.
 */
export const sendTo = async (
  target: HttpTarget,
  url: string,
  init: RequestInit,
  { signal, timeoutMs = target.timeoutMs, sendBy }: Pick<Call, 'signal' | 'timeoutMs' | 'sendBy'>,
): Promise<void> => {
  const method = init.method ?? 'GET'
  const { origin } = new URL(url)
  const send = sendBy ? sendBy(target.fetch) : target.fetch
  const deadline = new Deadline(timeoutMs)
  const late = deadline.signal
  try {
    await withAnySignal(signal ? [signal, late] : [late], async (either) => {
      const response = await send(url, { ...init, signal: either, credentials: 'omit' })
      await response.body?.cancel()
      const { ok, status } = response
      if (!ok && isFinal(status)) throw new UploadRefusedError(origin, status, dateOf(response))
      if (!ok) throw new Error(`${origin} answered ${status}`)
    })
  } catch (error) {
    if (error instanceof UploadRefusedError || signal?.aborted) throw error
    throw new NetworkError(method, origin, late.aborted ? late.reason : error)
  } finally {
    deadline.clear()
  }
}

/** Undefined where it has none, or none that a page may read. */
const dateOf = ({ headers }: Response): Date | undefined => {
  const at = Date.parse(headers.get('Date') ?? '')
  return Number.isNaN(at) ? undefined : new Date(at)
}

/** Client errors, except for a body that arrived too slowly (408), a conflict of two PUTs (409) and too many requests. */
const isFinal = (status: number): boolean =>
  status >= 400 && status < 500 && ![408, 409, 429].includes(status)

const read = async <T>(response: Response, path: string, isBinary: boolean): Promise<Answer<T>> => {
  const { status, headers } = response
  if (response.ok && isBinary)
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the endpoint's type is the server's contract
    return { status, value: (await response.blob()) as T, headers, cursor: null }
  const text = await response.text()
  if (!response.ok) {
    const problem = readProblem(status, path, text)
    const Kind = problem.code === 'origin_refused' ? OriginRefusedError : ApiError
    throw new Kind(problem, retryAfterOf(headers))
  }
  const isJson = headers.get('content-type')?.includes('json') ?? false
  // The page of a proxy or a portal: the request may not have reached the server.
  if (!isJson && (text !== '' || status === 200 || status === 201)) throw notJson(headers)
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the endpoint's type is the server's contract
  const value = (isJson ? (JSON.parse(text) as unknown) : null) as T
  return { status, value, headers, cursor: headers.get('tide-cursor') }
}

const notJson = (headers: Headers): Error =>
  Object.assign(new Error(`the answer is ${headers.get('content-type') ?? 'empty'} in place of JSON`), {
    name: 'NotJsonError',
  })

const retryAfterOf = (headers: Headers): number | null => {
  const seconds = Number(headers.get('retry-after') ?? Number.NaN)
  return Number.isFinite(seconds) ? seconds * 1000 : null
}

const queryOf = (query: Query | undefined): string => {
  const parameters = new URLSearchParams()
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value === undefined) continue
    for (const one of Array.isArray(value) ? value : [value]) parameters.append(name, wellFormed(String(one)))
  }
  const text = parameters.toString()
  return text && `?${text}`
}

/** Of 1 to 255 visible ASCII characters: for others `fetch` throws the error of a lost network. */
const validKey = (key: string): string => {
  if (!/^[!-~]{1,255}$/.test(key))
    throw new InvalidArgumentError('a key has 1 to 255 visible ASCII characters')
  return key
}
