// Answers as they are sent: built once as text, so that what is stored for repeats is what was said.
import type { WriteResult, WriteRequest } from '../domain/write.ts'
import { fingerprintOf, longTextsIn } from './body/fingerprint.ts'
import { contextOf, idempotencyKeyOf, pathOf, tagsIn } from './request-context.ts'
import type { Actor } from '../model/actor.ts'
import { lowerCaseIds } from '../model/scalar.ts'
import type { StoredResponse } from '../model/stored-response.ts'

const jsonType = { 'Content-Type': 'application/json; charset=utf-8' }

/** Private data is revalidated, never served from a shared cache. */
const revalidate = { 'Cache-Control': 'private, no-cache' }

export const ok = (value: unknown, headers: Record<string, string> = {}): StoredResponse =>
  jsonText(JSON.stringify(value), headers)

/** `ok` for what is JSON already. */
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

/** The strong tag of a versioned thing. */
export const etag = (version: number, more = ''): { ETag: string } => ({
  ETag: `"${version}${more && `.${more}`}"`,
})

/** A list's tag: of its text. */
export const bodyTag = (reply: StoredResponse): StoredResponse => ({
  ...reply,
  headers: { ...reply.headers, ETag: `W/"${Bun.hash(reply.body ?? '').toString(36)}"` },
})

/** @param request where given, `If-None-Match` turns a 200 with the same tag into 304. */
export const respond = ({ status, headers, body }: StoredResponse, request?: Request): Response => {
  const tag = headers['ETag']
  const known = tag && request?.headers.get('if-none-match')
  if (known && status === 200 && isHeld(known, tag)) {
    const { 'Content-Type': _, ...kept } = headers
    return new Response(null, { status: 304, headers: kept })
  }
  return new Response(body, { status, headers })
}

const isHeld = (header: string, tag: string): boolean => {
  const [own] = tagsIn(tag)
  return tagsIn(header).some((held) => held === '*' || held === own)
}

/**
 * Runs a write for a request: its Idempotency-Key in, its answer (also a repeated one) with `Tide-Cursor` out.
 * @param context `fingerprintKey` for bodies with passwords.
 */
export const mutate = async <T>(
  { request, actor, fingerprintKey }: { request: Request; actor: Actor; fingerprintKey?: Uint8Array },
  render: (value: T) => StoredResponse,
  run: (write: WriteRequest<T>) => Promise<WriteResult<T>>,
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
        }
  const outcome = await run({ actor, claim, render })
  if (outcome.kind === 'replayed') return respond(outcome.reply)
  const reply = render(outcome.value)
  // What is answered was written to rows, once for all readers, and again to the log.
  if (outcome.loggedBytes > 0)
    contextOf(request).writtenBytes = outcome.loggedBytes + (reply.body?.length ?? 0)
  return respond(
    outcome.cursor === null
      ? reply
      : { ...reply, headers: { ...reply.headers, 'Tide-Cursor': outcome.cursor } },
  )
}
