// Reading a JSON body: only the documented type, bounded on the stream, hashed for Idempotency-Key.
import { AppError } from '../errors.ts'
import { factsOf } from './request.ts'

export const maxBodyBytes = 1024 * 1024

const jsonTypes = new Set(['application/json', 'application/merge-patch+json'])

/** The parsed body, undefined where there is none. 415, 413 or 400 `malformed_json`. */
export const readJson = async (request: Request, contentType: string): Promise<unknown> => {
  if (!request.body) return undefined
  const declared = request.headers.get('content-length')
  if (declared !== null && Number(declared) > maxBodyBytes) throw new AppError('payload_too_large')
  const bytes = await readBounded(request.body)
  if (bytes.byteLength === 0) return undefined
  if (!jsonTypes.has(contentType) || (contentType !== 'application/json' && request.method !== 'PATCH')) {
    throw new AppError('unsupported_media_type', 'Send application/json')
  }
  factsOf(request).fingerprint = new Bun.CryptoHasher('sha256').update(bytes).digest()
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new AppError('malformed_json', undefined, { cause })
  }
}

const readBounded = async (stream: ReadableStream<Uint8Array>): Promise<Uint8Array> => {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of stream) {
    length += chunk.byteLength
    if (length > maxBodyBytes) throw new AppError('payload_too_large')
    chunks.push(chunk)
  }
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
}
