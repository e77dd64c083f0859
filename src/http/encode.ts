// Compression of answers with zstd or gzip, where the client accepts one. Invariants: an answer that may not be stored
// (`no-store`: sign-in, tokens, problems) is never compressed, and a compressed one never carries a strong tag.
import { promisify } from 'node:util'
import { gzip, constants } from 'node:zlib'
import { HeldBody, mayCompress, streamOf } from './held-body.ts'
import type { Answer } from './response.ts'

/** Larger bodies alone are worth the header and the time. */
const minBytes = 1024
/** Up to here compressing takes under 0.3 ms and runs on the event loop; above, in a thread. */
const maxBytesOnLoop = 64 * 1024
/** Bodies that threads compress at a time; further ones are sent as they are, so that they do not wait in memory. */
const maxInThreads = 4

type Encoding = 'zstd' | 'gzip'
type Bytes = Uint8Array<ArrayBuffer>

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the types allow shared memory, which no compressor returns
const unshared = (bytes: Uint8Array): Bytes => bytes as Bytes

/** The encoding that was chosen for an answer, until `encode` applies it. */
const chosen = new WeakMap<Answer, { encoding: Encoding; original: Answer }>()

/*
 * Problem: a page of tasks as JSON is ten times as long as it has to be on a phone's network, and compressing it takes
 * time of the process that serves everyone else. Measured for 20 and 5,000 tasks (12 KB, 2.9 MB): zstd 1 takes 10 and
 * 2,900 µs, zstd 3 14 and 6,000, gzip 1 by libdeflate 20 and 4,100, gzip 4 by zlib 23 and 5,800, gzip 6 37 and 10,200, all
 * within a third of the same length (zstd 1 is the shortest). So the lowest level of each is used: zstd before gzip,
 * small bodies at once, since a thread costs more than they take, and large ones in a thread. The result for an answer
 * that is sent again (a kept list) is remembered with it.
 *
 * Length reveals content where an attacker makes requests whose text is answered beside a secret (BREACH). Secrets are
 * only in answers with `no-store`, which are sent as they are.
 */

/** The answer with the headers of its encoding, by `Accept-Encoding`; unchanged where it is not encoded. */
export const represented = (answer: Answer, request: Request): Answer => {
  const { status, headers, body } = answer
  const bytes = sizeOf(body)
  if (bytes <= minBytes || status === 206 || headers['Cache-Control'] === 'no-store') return answer
  // Ranges count the bytes of the stored form.
  if (headers['Accept-Ranges'] !== undefined) return answer
  if (headers['Content-Encoding'] !== undefined || !isText(headers['Content-Type'])) return answer
  const isBusy =
    body instanceof HeldBody ? !mayCompress() : bytes > maxBytesOnLoop && inThreads >= maxInThreads
  const encoding = isBusy ? null : acceptedEncoding(request)
  const varying = { ...headers, Vary: `${headers['Vary'] ?? 'Origin'}, Accept-Encoding` }
  if (encoding === null) return { ...answer, headers: varying }
  const tag = headers['ETag']
  const tagged: Answer = {
    ...answer,
    headers: { ...varying, 'Content-Encoding': encoding, ...(tag !== undefined && { ETag: weak(tag) }) },
  }
  chosen.set(tagged, { encoding, original: answer })
  return tagged
}

/** Encodes the body of an answer of `represented`. */
export const encode = (answer: Answer): Answer | Promise<Answer> => {
  const choice = chosen.get(answer)
  if (answer.body instanceof HeldBody)
    return { ...answer, body: streamOf(answer.body, choice?.encoding ?? null) }
  if (choice === undefined) return answer
  const { encoding, original } = choice
  const made = remembered(original, encoding)
  if (made !== undefined) return { ...answer, body: made }
  const { body } = answer
  if (body instanceof Blob) return ofFile(body, encoding).then((bytes) => ({ ...answer, body: bytes }))
  if (typeof body !== 'string') return answer
  if (body.length > maxBytesOnLoop)
    return inThread(body, encoding).then((bytes) => ({ ...answer, body: bytes }))
  const bytes = onLoop(body, encoding)
  remember(original, encoding, bytes)
  return { ...answer, body: bytes }
}

/** Strong tags name bytes; another representation of the same version is equal only in meaning (RFC 9110, 8.8.3). */
const weak = (tag: string): string => (tag.startsWith('W/') ? tag : `W/${tag}`)

const bytesOf = (text: string): number => (text.length > minBytes ? text.length : Buffer.byteLength(text))

const sizeOf = (body: Answer['body']): number => {
  if (typeof body === 'string') return bytesOf(body)
  return body instanceof Blob || body instanceof HeldBody ? body.size : 0
}

const isText = (mediaType: string | undefined): boolean =>
  mediaType !== undefined && /^(?:text\/|application\/(?:[\w.-]+\+)?json)/.test(mediaType)

const onLoop = (text: string, encoding: Encoding): Bytes => {
  const bytes = new TextEncoder().encode(text)
  return unshared(
    encoding === 'zstd'
      ? Bun.zstdCompressSync(bytes, { level: 1 })
      : Bun.gzipSync(bytes, { level: 1, library: 'libdeflate' }),
  )
}

const gzipInThread = promisify<Uint8Array, { level: number }, Uint8Array>(gzip)

const compress = async (bytes: Bytes, encoding: Encoding, isOnce = false): Promise<Bytes> =>
  unshared(
    encoding === 'zstd'
      ? await Bun.zstdCompress(bytes, { level: isOnce ? 6 : 1 })
      : await gzipInThread(bytes, { level: isOnce ? constants.Z_BEST_COMPRESSION : 4 }),
  )

let inThreads = 0

const inThread = async (body: string, encoding: Encoding): Promise<Bytes> => {
  inThreads += 1
  try {
    return await compress(new TextEncoder().encode(body), encoding)
  } finally {
    inThreads -= 1
  }
}

/** Files of the server itself: few, and the same for as long as it runs. */
const files = new Map<string, Promise<Bytes>>()

const ofFile = (file: Blob, encoding: Encoding): Promise<Bytes> => {
  const key = `${encoding} ${String(Reflect.get(file, 'name'))}`
  let made = files.get(key)
  if (made === undefined) {
    made = file.bytes().then((bytes) => compress(bytes, encoding, true))
    made.catch(() => files.delete(key))
    files.set(key, made)
  }
  return made
}

const encoded = new WeakMap<Answer, Partial<Record<Encoding, Bytes>>>()

const remembered = (answer: Answer, encoding: Encoding): Bytes | undefined => encoded.get(answer)?.[encoding]

const remember = (answer: Answer, encoding: Encoding, bytes: Bytes): void => {
  encoded.set(answer, { ...encoded.get(answer), [encoding]: bytes })
}

const acceptedEncoding = (request: Request): Encoding | null => {
  const header = request.headers.get('accept-encoding')
  if (header === null) return null
  let choice = choices.get(header)
  if (choice === undefined) {
    if (choices.size >= maxChoices) choices.clear()
    choices.set(header, (choice = preferredIn(header)))
  }
  return choice
}

/** Clients send a handful of different headers. */
const choices = new Map<string, Encoding | null>()
const maxChoices = 100

/** The encoding of the highest quality in an `Accept-Encoding`, zstd where both are equal; null for none of them. */
export const preferredIn = (header: string): Encoding | null => {
  const qualities = new Map<string, number>()
  for (const part of header.split(',')) {
    const [name = '', ...parameters] = part.split(';').map((text) => text.trim().toLowerCase())
    qualities.set(name === 'x-gzip' ? 'gzip' : name, qualityIn(parameters))
  }
  const qualityOf = (name: string): number => qualities.get(name) ?? qualities.get('*') ?? 0
  const [zstd, zip] = [qualityOf('zstd'), qualityOf('gzip')]
  const [best, name] = zstd >= zip ? ([zstd, 'zstd'] as const) : ([zip, 'gzip'] as const)
  // A client may prefer the text as it is.
  return best > 0 && best >= (qualities.get('identity') ?? 0) ? name : null
}

/** 1 without a quality; 0, which refuses, where it cannot be read. */
const qualityIn = (parameters: string[]): number => {
  const quality = parameters.find((parameter) => parameter.startsWith('q='))
  if (quality === undefined) return 1
  return /^q=(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/.test(quality) ? Number(quality.slice(2)) : 0
}
