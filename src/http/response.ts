// Builds answers. JSON is serialised once: the text that is sent is the text that is stored under an Idempotency-Key.
import type { WriteResult, WriteRequest } from '../domain/write.ts'
import { fingerprintOf, longTextsIn } from './body/fingerprint.ts'
import { contextOf, idempotencyKeyOf, pathOf, tagsIn } from './request-context.ts'
import type { Actor } from '../model/actor.ts'
import { lowerCaseIds } from '../model/scalar.ts'
import type { StoredResponse } from '../model/stored-response.ts'

/** An answer before it is sent. A `StoredResponse` is one whose body is text. */
export interface Answer {
  status: number
  headers: Record<string, string>
  /** Text, a file (which Bun reads as it sends), or a stream. */
  body: string | Blob | ReadableStream<Uint8Array> | null
}

const jsonType = { 'Content-Type': 'application/json; charset=utf-8' }

/** Private data is revalidated, never served from a shared cache. */
const revalidate = { 'Cache-Control': 'private, no-cache' }

export const ok = (value: unknown, headers: Record<string, string> = {}): StoredResponse =>
  jsonText(JSON.stringify(value), headers)

/** 200 with a body that is JSON text already. */
export const jsonText = (body: string, headers: Record<string, string> = {}): StoredResponse => ({
  status: 200,
  headers: { ...jsonType, ...revalidate, ...headers },
  body,
})

export const created = (
  value: unknown,
  location: string,
  headers: Record<string, string> = {},
): StoredResponse => ({
  ...ok(value, { Location: location, ...headers }),
  status: 201,
})

export const noContent = (): StoredResponse => ({ status: 204, headers: revalidate, body: null })

/** 200 with a file of the server itself. @param path as an import with `{ type: 'file' }` gives it. */
export const file = (path: string, headers: Record<string, string>): Answer => ({
  status: 200,
  headers,
  body: Bun.file(path),
})

/** The strong tag of a versioned resource. */
export const etag = (version: number, more = ''): { ETag: string } => ({
  ETag: `"${version}${more && `.${more}`}"`,
})

/** Adds a weak tag made of the text, for answers without a version, such as lists. */
export const bodyTag = (response: StoredResponse): StoredResponse => ({
  ...response,
  headers: { ...response.headers, ETag: `W/"${Bun.hash(response.body ?? '').toString(36)}"` },
})

/** @param request where given, `If-None-Match` turns a 200 with the same tag into 304. */
export const respond = ({ status, headers, body }: Answer, request?: Request): Response => {
  const tag = headers['ETag']
  const known = tag && request?.headers.get('if-none-match')
  if (known && status === 200 && matches(known, tag)) {
    const { 'Content-Type': _, ...kept } = headers
    return new Response(null, { status: 304, headers: kept })
  }
  return new Response(body, { status, headers })
}

const matches = (header: string, tag: string): boolean => {
  const [own] = tagsIn(tag)
  return tagsIn(header).some((one) => one === '*' || one === own)
}

/**
 * Runs a write for a request: its Idempotency-Key in, its answer (also a repeated one) with `Tide-Cursor` out.
 * @param context `fingerprintKey` for bodies with passwords.
 */
export const mutate = async <T>(
  { request, actor, fingerprintKey }: { request: Request; actor: Actor; fingerprintKey?: Uint8Array },
  toResponse: (value: T) => StoredResponse,
  run: (request: WriteRequest<T>) => Promise<WriteResult<T>>,
): Promise<Response> => {
  const key = idempotencyKeyOf(request)
  const { body } = contextOf(request)
  const claim =
    key === null
      ? null
      : {
          key,
          method: request.method,
          path: lowerCaseIds(pathOf(request)),
          fingerprint: fingerprintOf(body, fingerprintKey),
          texts: () => longTextsIn(body),
          toResponse,
        }
  const result = await run({ actor, claim })
  if (result.kind === 'replayed') return respond(result.response)
  const { value, cursor, loggedBytes } = result
  const response = result.response ?? toResponse(value)
  // The response is also what was written to rows; the log holds it again.
  if (loggedBytes > 0) contextOf(request).writtenBytes = loggedBytes + (response.body?.length ?? 0)
  return respond(
    cursor === null ? response : { ...response, headers: { ...response.headers, 'Tide-Cursor': cursor } },
  )
}
