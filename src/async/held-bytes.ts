// Large bytes that are counted while they are held, and freed when their last holder releases them. Invariant: freed bytes
// are detached, never used again for something else, so that a release too many can cut an answer short but cannot put
// the bytes of one answer into another.

/*
 * Problem: a page of 4 MiB that is left to the garbage collector stays resident until its next run, and the collector
 * runs by the growth of its own heap: at 28 pages a second, each as rows, texts and bytes, the process grew from 88 to
 * 680 MB. A chunk of a fixed size is one allocation of its own that `transfer` frees at once, so that what is resident
 * is what is held. Chunks also let a page grow without copying, and are the pieces in which it is sent.
 */
const chunkBytes = 128 * 1024
/** Most pages are of small projects. */
const firstChunkBytes = 16 * 1024

export class HeldBytesStore {
  #held = 0

  /** Bytes of all chunks that are not freed. */
  get held(): number {
    return this.#held
  }

  /**
   * Runs `work`, which fills the bytes it opens; opening again starts over. They are freed where `work` fails, and so are
   * those it opens after that: a call whose deadline has expired may still begin its work.
   */
  async fill<T>(work: (open: () => HeldBytes) => Promise<T>): Promise<{ bytes: HeldBytes; value: T }> {
    let bytes: HeldBytes | null = null
    let hasFailed = false
    const open = (): HeldBytes => {
      bytes?.release()
      bytes = new HeldBytes((change) => (this.#held += change))
      if (hasFailed) bytes.release()
      return bytes
    }
    try {
      const value = await work(open)
      return { bytes: bytes ?? open(), value }
    } catch (error) {
      hasFailed = true
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the compiler does not see the assignment in `open`
      ;(bytes as HeldBytes | null)?.release()
      throw error
    }
  }
}

/** Bytes of one page. They have one holder at first. */
export class HeldBytes {
  #chunks: Uint8Array<ArrayBuffer>[] = []
  #length = 0
  /** Bytes that the last chunk has left. */
  #room = 0
  #holders = 1

  /** @param count receives how many bytes more, or fewer, are held. */
  constructor(private readonly count: (change: number) => void) {}

  get length(): number {
    return this.#length
  }

  get isFreed(): boolean {
    return this.#holders === 0
  }

  /** Copies the bytes. Does nothing once these are freed: rows may still arrive for a call that has ended. */
  append(bytes: Uint8Array): void {
    if (this.isFreed) return
    for (let from = 0; from < bytes.length;) {
      if (this.#room === 0) this.#grow()
      const chunk = this.#chunks.at(-1)!
      const part = bytes.subarray(from, from + this.#room)
      chunk.set(part, chunk.length - this.#room)
      this.#room -= part.length
      this.#length += part.length
      from += part.length
    }
  }

  /** The bytes in pieces; only to be called, and only to be used, by a holder. */
  *pieces(): Generator<Uint8Array<ArrayBuffer>> {
    const last = this.#chunks.length - 1
    for (const [index, chunk] of this.#chunks.entries())
      yield index === last ? chunk.subarray(0, chunk.length - this.#room) : chunk
  }

  /** One holder more. @returns false once the bytes are freed. */
  hold(): boolean {
    if (this.isFreed) return false
    this.#holders += 1
    return true
  }

  /** One holder less: the last frees the bytes. Each holder calls it once. */
  release(): void {
    if (this.isFreed) return
    this.#holders -= 1
    if (this.#holders > 0) return
    for (const { buffer } of this.#chunks) {
      this.count(-buffer.byteLength)
      buffer.transfer(0)
    }
    this.#chunks = []
    this.#length = 0
    this.#room = 0
  }

  #grow(): void {
    const size = this.#chunks.length === 0 ? firstChunkBytes : chunkBytes
    this.#chunks.push(new Uint8Array(new ArrayBuffer(size)))
    this.#room = size
    this.count(size)
  }
}
