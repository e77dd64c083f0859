// What handlers return. JSON is serialised once: the text that is sent is the text that is stored under an
// Idempotency-Key. `send.ts` makes the one Response of a request from it.
import { inSlices } from '../async/slices.ts'
import { OnFirstUse } from '../async/on-first-use.ts'
import type { WriteResult, WriteRequest } from '../domain/write.ts'
import { fingerprintOf, longTextsIn } from './body/fingerprint.ts'
import { HeldBody } from './held-body.ts'
import { idempotencyKeyOf, tagsIn, type RequestContext } from './request-context.ts'
import { lowerCaseIds } from '../model/scalar.ts'
import type { StoredResponse } from '../model/stored-response.ts'

/** An answer before it is sent. A `StoredResponse` is one whose body is text. */
export interface Answer {
  status: number
  headers: Record<string, string>
  /** Text, a file (which Bun reads as it sends), a stream, bytes (encoded text), or bytes that are held until sent. */
  body: string | Blob | ReadableStream<Uint8Array> | Uint8Array<ArrayBuffer> | HeldBody | null
}

/** Private data is revalidated, never served from a shared cache. */
const revalidate = { 'Cache-Control': 'private, no-cache' }

const jsonHeaders = { 'Content-Type': 'application/json; charset=utf-8', ...revalidate }

export const ok = (value: unknown, headers: Record<string, string> = {}): StoredResponse =>
  jsonText(JSON.stringify(value), headers)

/** 200 with a body that is JSON text already. */
export const jsonText = (body: string, headers: Record<string, string> = {}): StoredResponse => ({
  status: 200,
  headers: { ...jsonHeaders, ...headers },
  body,
})

/** 200 with JSON text in pieces and a weak tag made of them. */
export const jsonPieces = (body: HeldBody): Answer => {
  let hash: number | bigint = 0
  for (const piece of body.pieces()) hash = Bun.hash(piece, hash) // 4 MiB take under 1 ms
  return { status: 200, headers: { ...jsonHeaders, ETag: weakTag(hash) }, body }
}

export const created = (
  value: unknown,
  location: string,
  headers: Record<string, string> = {},
): StoredResponse => ({
  ...ok(value, { Location: location, ...headers }),
  status: 201,
})

/** The same answer, which no cache may store: what it shows belongs to a session. */
export const unstored = (answer: Answer): Answer => ({
  ...answer,
  headers: { ...answer.headers, 'Cache-Control': 'no-store' },
})

export const noContent = (): StoredResponse => ({ status: 204, headers: revalidate, body: null })

/**
 * Answers 200 with a file of the server itself and a weak tag of its bytes, which are hashed for the first answer.
 * @param path as an import with `{ type: 'file' }` gives it.
 */
export const ownFile = (path: string, headers: Record<string, string>): (() => Promise<Answer>) => {
  const tag = new OnFirstUse(async () => weakTag(Bun.hash(await Bun.file(path).bytes())))
  return async () => ({
    status: 200,
    headers: { ...headers, ETag: await tag.get() },
    body: Bun.file(path),
  })
}

/** The strong tag of a versioned resource. */
export const etag = (version: number, more = ''): { ETag: string } => ({
  ETag: `"${version}${more && `.${more}`}"`,
})

/** Adds a weak tag made of the text, for answers without a version, such as lists. */
export const bodyTag = (response: StoredResponse): StoredResponse => ({
  ...response,
  headers: { ...response.headers, ETag: weakTag(Bun.hash(response.body ?? '')) },
})

/**
 * 200 with `{items, ...rest}` and a weak tag of the text, made in slices: 100 items with 40 kB each take 12 ms.
 * @param rest at least one member.
 */
export const longList = async (
  items: readonly unknown[],
  rest: object,
  headers: Record<string, string>,
): Promise<StoredResponse> => {
  const texts: string[] = []
  let hash: number | bigint = 0
  await inSlices(items, (item) => {
    const text = JSON.stringify(item)
    hash = Bun.hash(text, hash)
    texts.push(text)
  })
  const end = JSON.stringify(rest).slice(1)
  const tag = weakTag(Bun.hash(end, hash))
  return jsonText(`{"items":[${texts.join(',')}],${end}`, { ...headers, ETag: tag })
}

const weakTag = (hash: number | bigint): string => `W/"${hash.toString(36)}"`

/** The answer of a read: `If-None-Match` turns a 200 with the same tag into 304. */
export const unlessKnown = (answer: Answer, request: Request): Answer => {
  if (!isAnswerKnown(answer, request)) return answer
  const { headers, body } = answer
  if (body instanceof HeldBody) body.release()
  const { 'Content-Type': _type, 'Content-Encoding': _encoding, ...kept } = headers
  return { status: 304, headers: kept, body: null }
}

/** Whether the answer of a read becomes 304. */
export const isAnswerKnown = ({ status, headers }: Answer, request: Request): boolean => {
  const tag = headers['ETag']
  return tag !== undefined && status === 200 && isKnown(request, tag)
}

/** Whether `If-None-Match` names the tag. */
export const isKnown = ({ headers }: Request, tag: string): boolean => {
  const known = headers.get('if-none-match')
  // Most clients send the one tag back as they received it.
  return known !== null && (known === tag || matches(known, tag))
}

const matches = (header: string, tag: string): boolean => {
  const [own] = tagsIn(tag)
  return tagsIn(header).some((one) => one === '*' || one === own)
}

/**
 * Runs a write for a request: its Idempotency-Key in, its answer (also a repeated one) with `Tide-Cursor` out.
 * @param fingerprintKey for bodies with passwords. @param fingerprinted what makes a request with a streamed body the same.
 */
export const mutate = async <T>(
  context: RequestContext,
  toResponse: (value: T) => StoredResponse,
  run: (request: WriteRequest<T>) => Promise<WriteResult<T>>,
  fingerprintKey?: Uint8Array,
  fingerprinted?: object,
): Promise<Answer> => {
  const { actor } = context
  const body: unknown = fingerprinted ?? context.body
  const key = idempotencyKeyOf(context.request)
  const claim =
    key === null
      ? null
      : {
          key,
          method: context.method,
          path: lowerCaseIds(context.path),
          fingerprint: fingerprintOf(body, fingerprintKey),
          texts: () => longTextsIn(body),
          toResponse,
        }
  const result = await run({ actor, claim })
  if (result.kind === 'replayed') return result.response
  const { value, cursor, loggedBytes } = result
  const response = result.response ?? toResponse(value)
  // The response is also what was written to rows; the log holds it again. Without a change it is stored for its key.
  if (loggedBytes > 0 || result.response) context.writtenBytes = loggedBytes + (response.body?.length ?? 0)
  return cursor === null ? response : { ...response, headers: { ...response.headers, 'Tide-Cursor': cursor } }
}
