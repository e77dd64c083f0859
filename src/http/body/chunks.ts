// Reads the bytes of a body as they arrive: a declared length may be absent, and a stream may stall. Invariant: one timer
// bounds the whole body, and a read that fails cancels the stream.
import { Deadline, withTimeout } from '../../async/timeout.ts'
import { AppError, overloaded } from '../../errors.ts'

interface ChunkLimits {
  /** Milliseconds for the whole body. */
  deadlineMs: number
  /** Milliseconds for one chunk. */
  stallMs?: number
  /** Where it rejects, the rest is not read. */
  admission?: Promise<void> | undefined
  /** Milliseconds to wait after a chunk of so many bytes. */
  pauseAfter?: (bytes: number) => number
}

/** The error of a read: a client that closes its connection in a body is no failure of the server. */
export const readError = (error: unknown): unknown =>
  error instanceof Error && error.name === 'AbortError'
    ? new AppError('bad_request', 'The body ended early', { cause: error })
    : error

export const lateBody = (): AppError => overloaded('A body did not arrive in time')

/** @throws AppError 503 for a body that is late, 400 for a connection that ends, and what `onChunk` throws. */
export const readChunks = async (
  stream: ReadableStream<Uint8Array>,
  { deadlineMs, stallMs, admission, pauseAfter }: ChunkLimits,
  onChunk: (chunk: Uint8Array) => void,
): Promise<void> => {
  const reader = stream.getReader()
  admission?.catch(() => reader.cancel().catch(() => {})) // the read in progress ends
  using deadline = new Deadline(deadlineMs, lateBody)
  try {
    for (;;) {
      const chunk = reader.read()
      const bounded = stallMs === undefined ? chunk : withTimeout(stallMs, 'a body', chunk, lateBody)
      const { done, value } = await deadline.race(bounded)
      if (done) return
      const { byteLength } = value
      onChunk(value)
      const pauseMs = pauseAfter?.(byteLength) ?? 0
      if (pauseMs > 0) await Bun.sleep(pauseMs)
    }
  } catch (error) {
    void reader.cancel().catch(() => {}) // the answer closes the connection
    throw readError(error)
  }
}

/**
 * As `readChunks`, for a body that is held in memory: the bytes are counted and reserved before they are kept.
 * @throws AppError 413 beyond `maxBytes`.
 */
export const readHeldChunks = (
  stream: ReadableStream<Uint8Array>,
  { maxBytes, deadlineMs, reserve }: ChunkLimits & { maxBytes: number; reserve: (length: number) => void },
  onChunk: (chunk: Uint8Array) => void,
): Promise<void> => {
  let length = 0
  return readChunks(stream, { deadlineMs }, (chunk) => {
    length += chunk.byteLength
    if (length > maxBytes) throw new AppError('payload_too_large')
    reserve(length)
    onChunk(chunk)
  })
}

/**
 * Frees the memory of a piece that is all of its buffer, at once. Left to the garbage collector, the pieces of 50 uploads
 * took 50 MiB and more.
 */
export const release = ({ buffer, byteLength }: Uint8Array): void => {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0)
}
