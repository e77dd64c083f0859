// Reads one file from a multipart body as it arrives. The bytes go to `write` at once and are not kept: Bun stops
// reading a connection whose body is not consumed only after 1 MiB, so that a handler that waited would hold that much.
import { AppError, invalid } from '../../errors.ts'
import { readChunks, release } from './chunks.ts'
import { MultipartParser, type PartHeaders } from './multipart-parser.ts'
import type { BodyInput, BodyReader } from './reader.ts'
import { UploadPace } from './upload-pace.ts'

/** What Bun hands over at once. */
const maxBytes = 128 * 1024
/** Delimiters, headers and padding around the file. */
const maxOverheadBytes = 16 * 1024
/** A slower body is given up: its connection and its place in the limits are held for nothing. */
const minBytesPerSecond = 16 * 1024
const graceMs = 20_000
/** Without a byte: mobile networks pause for longer than a JSON body may take. */
const stallMs = 20_000

const mediaType = 'multipart/form-data'

/** Of the process. */
const pace = new UploadPace()

export interface ReceiveOptions {
  /** Of the file: 413 `file_too_large` beyond. */
  maxBytes: number
  /** Takes the next bytes of the file; they are valid only during the call. */
  write: (bytes: Uint8Array) => void
  /** Checks that run while the body arrives. Where they reject, the rest is not read, and theirs is the error. */
  admission?: Promise<void>
}

/** A body that is read by its handler. */
export interface MultipartBody {
  /**
   * Reads the whole body: one file in the field `file`, and nothing else.
   * @returns the name as it was sent.
   * @throws AppError 400 for a malformed or incomplete body, 413, 415, 422 for other fields, 503 where it does not arrive;
   * and what `admission` rejects with, before all others.
   */
  receiveFile(options: ReceiveOptions): Promise<{ filename: string }>
}

export const multipartBody: BodyReader = {
  kind: 'stream',
  maxBytes,
  mediaTypes: () => [mediaType],
  // A wrong type is 415 before the path and the rights are looked at, as of every body; the bytes are read after them, and
  // that there are none is found then.
  read: async (input): Promise<MultipartBody> => {
    const boundary = input.mediaType.trim() === '' ? null : boundaryOf(input)
    return { receiveFile: (options) => admitted(input, boundary, options) }
  },
}

/** 415 for another type, 400 without a boundary. */
const boundaryOf = ({ request, mediaType: given }: BodyInput): string => {
  if (given.trim().toLowerCase() !== mediaType)
    throw new AppError('unsupported_media_type', `Send ${mediaType}`)
  const encoding = request.headers.get('content-encoding')?.trim().toLowerCase() ?? 'identity'
  if (encoding !== 'identity' && encoding !== '')
    throw new AppError('unsupported_media_type', 'Send the body without Content-Encoding')
  const header = request.headers.get('content-type') ?? ''
  const [, quoted, token] = /;[ \t]*boundary=(?:"([^"]*)"|([^\s;,"]+))/i.exec(header) ?? []
  const boundary = quoted ?? token ?? ''
  // RFC 2046, 5.1.1
  if (!/^[\w'()+,./:=? -]{0,69}[\w'()+,./:=?-]$/.test(boundary))
    throw new AppError('bad_request', 'Content-Type has no valid boundary')
  return boundary
}

/** The body is read from the first moment on: what waits for the checks would be held by Bun, 1 MiB of each upload. */
const admitted = async (
  input: BodyInput,
  boundary: string | null,
  options: ReceiveOptions,
): Promise<{ filename: string }> => {
  try {
    const received = await receive(input, boundary ?? boundaryOf(input), options)
    await options.admission
    return received
  } catch (error) {
    await options.admission
    throw error
  }
}

const receive = async (
  { request, complete }: BodyInput,
  boundary: string,
  { maxBytes: limit, write, admission }: ReceiveOptions,
): Promise<{ filename: string }> => {
  const tooLarge = (): AppError =>
    new AppError('file_too_large', `The file has more than ${limit} bytes`, { extra: { maxBytes: limit } })
  if (Number(request.headers.get('content-length') ?? 0) > limit + maxOverheadBytes) throw tooLarge()
  let filename: string | null = null
  let size = 0
  const parser = new MultipartParser(boundary, {
    onPart(headers) {
      requireOneFile(headers, filename !== null)
      filename = headers.filename
    },
    onContent(bytes) {
      size += bytes.byteLength
      if (size > limit) throw tooLarge()
      write(bytes)
    },
  })
  await readAll(request, { limit, admission }, (chunk) => parser.push(chunk))
  parser.end()
  complete()
  if (filename === null) throw invalid({ pointer: '/file', detail: 'is required' })
  if (size === 0) throw invalid({ pointer: '/file', detail: 'must not be empty' })
  return { filename }
}

const requireOneFile = ({ name, filename }: PartHeaders, isSecond: boolean): void => {
  const pointer = `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`.slice(0, 200)
  if (name !== 'file') throw invalid({ pointer, detail: 'is unknown here' })
  if (isSecond) throw invalid({ pointer, detail: 'must be one file' })
  if (filename === null) throw invalid({ pointer, detail: 'must be a file' })
}

const readAll = async (
  { body }: Request,
  { limit, admission }: { limit: number; admission: Promise<void> | undefined },
  push: (chunk: Uint8Array) => void,
): Promise<void> => {
  if (!body) return
  const deadlineMs = graceMs + (limit / minBytesPerSecond) * 1_000
  using _paced = pace.begin()
  const pauseAfter = (bytes: number): number => pace.pauseAfter(bytes)
  try {
    await readChunks(body, { deadlineMs, stallMs, admission, pauseAfter }, (chunk) => {
      push(chunk)
      release(chunk)
    })
  } catch (error) {
    throw cutOff(error)
  }
}

/** A connection that ends in the middle rejects the read. */
const cutOff = (error: unknown): unknown =>
  error instanceof AppError
    ? error
    : new AppError('bad_request', 'The body ends before its last boundary', { cause: error })
