// A large body whose memory is counted. It is sent in pieces, each when the socket has taken the one before and in a turn
// of its holder, and is compressed on the way. Invariants: `release` is called exactly once: after the last piece, when
// the client has left, or for an answer without a body (HEAD, 304); after it no piece is used, not even by a thread that
// compresses.
import { constants, createGzip, createZstdCompress } from 'node:zlib'
import { once } from 'node:events'
import { FairQueue } from '../limits/fair-queue.ts'

export type StreamEncoding = 'zstd' | 'gzip'

/** A body whose bytes stay in memory until `release`. */
export class HeldBody {
  /**
   * @param holder whose turns the pieces are sent in. @param size bytes of all pieces.
   * @param release called once, when the pieces are not needed any more.
   */
  constructor(
    readonly holder: string,
    readonly size: number,
    readonly pieces: () => Iterable<Uint8Array>,
    readonly release: () => void,
  ) {}
}

/**
 * A client that reads a page of 4 MiB more slowly than 35 kB/s holds it for this long. After that nothing more is sent,
 * and the connection ends by its idle timeout.
 */
const maxSendMs = 120_000

/** Bodies that are compressed at a time: each takes a thread and up to 2 MB. Further ones are sent as they are. */
const maxCompressed = 8
let beingCompressed = 0

export const mayCompress = (): boolean => beingCompressed < maxCompressed

/*
 * Problem: the kernel takes up to 6 MB of an answer at once, and while it does no event runs between two pieces: 4 MiB
 * stopped the loop for 20 ms, and two hundred of one user's, which were asked for together, for a second. So the loop
 * sends one piece between two looks at its sockets, round-robin by holder.
 */
const pieceTurns = new FairQueue({ atOnce: 1, perCaller: 1, maxWaiting: Infinity })

/** Resolves in a turn of the holder, which ends when the loop has looked at its sockets. */
const turnOf = async (holder: string): Promise<void> => {
  const turn = pieceTurns.enter(holder)
  await turn.ready
  setImmediate(() => turn.leave())
}

/** Sends a piece once the socket has taken the one before, so that no answer is in memory a second time. */
export const streamOf = (body: HeldBody, encoding: StreamEncoding | null): ReadableStream<Uint8Array> => {
  const pieces = piecesOf(body, encoding)
  let isOver = false
  /** Ends after the piece that is being made, which a thread may read. */
  const end = async (): Promise<void> => {
    if (isOver) return
    isOver = true
    clearTimeout(timer)
    await pieces.return()
    body.release()
  }
  const timer = setTimeout(() => void end(), maxSendMs)
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        // An end would make a text that was cut look complete.
        if (isOver) return forever
        await turnOf(body.holder)
        if (isOver) return forever
        try {
          const { value, done } = await pieces.next()
          if (!done) return controller.enqueue(value)
        } catch (error) {
          await end()
          throw error
        }
        await end()
        controller.close()
      },
      cancel: end,
    },
    { highWaterMark: 0 },
  )
}

const forever = new Promise<never>(() => {})

/** Calls of an async generator wait for each other: it returns only when no piece is being made. */
async function* piecesOf(body: HeldBody, encoding: StreamEncoding | null): AsyncGenerator<Uint8Array, void> {
  if (encoding === null) yield* body.pieces()
  else yield* compressed(body, encoding)
}

/** The pieces compressed. A thread reads the body only while the next one is awaited. */
async function* compressed(body: HeldBody, encoding: StreamEncoding): AsyncGenerator<Uint8Array> {
  const compressor =
    encoding === 'zstd'
      ? createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: 1 } })
      : createGzip({ level: 4 })
  let made: Uint8Array[] = []
  compressor.on('data', (bytes: Uint8Array) => made.push(bytes))
  const taken = (): Uint8Array[] => {
    const pieces = made
    made = []
    return pieces
  }
  beingCompressed += 1
  try {
    for (const piece of body.pieces()) {
      await new Promise<void>((resolve, reject) =>
        compressor.write(piece, (error) => (error ? reject(error) : resolve())),
      )
      yield* taken()
    }
    compressor.end()
    await once(compressor, 'end')
    yield* taken()
  } finally {
    beingCompressed -= 1
    compressor.destroy()
  }
}
