// Standard output of a process, written in batches of whole lines. Invariants: lines leave in the order they came; the
// lines that wait are bounded in bytes; a write to a pipe is one line or at most 4 KiB of lines, which the kernel does
// not mix with those of other processes on the same pipe.
//
// The problem: a line and its write cost a request more than its routing, and a write blocks the process while the reader
// of a pipe is behind. The naive way, a synchronous write a line by the logger, was 15 µs of CPU a line, 3 of them in
// the kernel, and a stopped reader stopped the server. Lines kept as text until they are written cost 2.7 µs, most of it
// for the collector. An asynchronous write in a thread cannot be known to be complete in the last tick of a process. The
// way chosen: lines are encoded into one buffer (1 µs each, with their text) that is written synchronously after 50 ms or
// 64 KiB, to a pipe through a file description of our own that does not block. What a full pipe refuses waits for the
// next try; past `maxWaitingBytes` lines are dropped and counted, and a line says how many. At exit the rest gets
// `exitDeadlineMs`.
import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs'

const flushEveryMs = 50
/** After a pipe was full: a reader that takes 64 KiB at a time still gets 12 MiB a second. */
const retryEveryMs = 5
const flushBytes = 64 * 1024
/** Room for the line that passes `flushBytes`. */
const bufferBytes = flushBytes + 16 * 1024
const maxWaitingBytes = 4 * 1024 * 1024
/** What a pipe takes in one piece (PIPE_BUF). */
const atomicBytes = 4096
const exitDeadlineMs = 1_000
const newline = 10

export interface LineOutputOptions {
  /** The line that reports dropped ones, once there is room again; with its newline. */
  describeDropped: (lines: number) => string
}

export class LineOutput implements Disposable {
  /** Lines are encoded as they come: held as text, they are many small objects for the collector. */
  #buffer = Buffer.allocUnsafe(bufferBytes)
  /** Bytes of `#buffer` in use. */
  #used = 0
  /** What the reader did not take, oldest first. */
  #waiting: Uint8Array[] = []
  #waitingBytes = 0
  #dropped = 0
  #timer: Timer | null = null
  #isClosed = false
  #isHeld = false
  readonly #target: Target

  /** @param fd a file descriptor that stays open; closing it is left to its owner. */
  constructor(
    fd: number,
    private readonly options: LineOutputOptions,
  ) {
    this.#target = targetOf(fd)
  }

  /** Adds a line, with its newline, which is written within `flushEveryMs`. */
  add(line: string): void {
    if (this.#isClosed) return
    if (this.#waitingBytes > maxWaitingBytes) {
      this.#dropped += 1
      return
    }
    this.#noteDropped()
    this.#encode(line)
    if (this.#isHeld) return
    if (this.#used >= flushBytes && this.#waiting.length === 0) this.flush()
    else this.#timer ??= setTimeout(() => this.flush(), flushEveryMs).unref()
  }

  /** Adds a line and writes all lines that wait, as far as the reader takes them. */
  write(line: string): void {
    this.add(line)
    if (this.#waiting.length === 0) this.flush()
  }

  /** From the first line on: lines wait, within the same bound, until `release` or `finish`. */
  hold(): void {
    this.#isHeld = true
  }

  /** Writes the lines that were held. @param first goes before them, with its newline. */
  release(first = ''): void {
    this.#isHeld = false
    if (first !== '') {
      const bytes = Buffer.from(first)
      this.#waiting.unshift(bytes)
      this.#waitingBytes += bytes.length
    }
    this.flush()
  }

  /** Writes what waits, as far as the reader takes it. Never throws: a reader that is gone ends the output. */
  flush(): void {
    if (this.#isHeld) return
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    this.#writeWaiting()
    if (this.#waiting.length === 0) {
      this.#noteDropped()
      this.#writeBuffer()
    }
    if (this.#waiting.length > 0) this.#timer = setTimeout(() => this.flush(), retryEveryMs).unref()
  }

  /** Writes everything that waits, for the last tick of a process: waits for a slow reader `exitDeadlineMs` at most. */
  finish(): void {
    this.#isHeld = false
    this.#noteDropped()
    const endsAt = performance.now() + exitDeadlineMs
    for (;;) {
      this.flush()
      if (this.#waiting.length === 0 || performance.now() > endsAt) break
      Bun.sleepSync(5)
    }
  }

  [Symbol.dispose](): void {
    this.finish()
    if (this.#timer) clearTimeout(this.#timer)
    this.#isClosed = true
    this.#target.close()
  }

  #noteDropped(): void {
    const lines = this.#dropped
    if (lines === 0) return
    this.#dropped = 0
    this.#encode(this.options.describeDropped(lines))
  }

  #encode(line: string): void {
    // No character of a string takes more than three bytes.
    if (this.#used + line.length * 3 > this.#buffer.length) this.#setAside(line.length * 3)
    this.#used += this.#buffer.write(line, this.#used)
  }

  /** Makes room for a line: what is in the buffer waits, and another buffer takes its place. */
  #setAside(bytes: number): void {
    if (this.#used > 0) this.#wait(this.#buffer.subarray(0, this.#used))
    this.#buffer = Buffer.allocUnsafe(Math.max(bufferBytes, bytes))
    this.#used = 0
  }

  #wait(bytes: Uint8Array): void {
    this.#waiting.push(bytes)
    this.#waitingBytes += bytes.length
  }

  #writeWaiting(): void {
    while (this.#waiting.length > 0) {
      const [first] = this.#waiting
      const taken = this.#write(first!)
      this.#waitingBytes -= taken
      if (taken < first!.length) {
        this.#waiting[0] = first!.subarray(taken)
        return
      }
      this.#waiting.shift()
    }
  }

  #writeBuffer(): void {
    const bytes = this.#buffer.subarray(0, this.#used)
    const taken = this.#write(bytes)
    if (taken === bytes.length) this.#used = 0
    else {
      this.#buffer = Buffer.allocUnsafe(bufferBytes)
      this.#used = 0
      this.#wait(bytes.subarray(taken))
    }
  }

  /** @returns how many bytes are done with: written, or lost to a reader that is gone. */
  #write(bytes: Uint8Array): number {
    const { fd, isPipe } = this.#target
    let at = 0
    try {
      while (at < bytes.length) {
        const end = isPipe ? endOfPiece(bytes, at) : bytes.length
        at += writeSync(fd, bytes, at, end - at)
      }
    } catch (error) {
      if (codeOf(error) === 'EAGAIN') return at
      // EPIPE, ENOSPC and the like: a log that cannot be written must not end the service.
      if (codeOf(error) === 'EPIPE') this.#isClosed = true
    }
    return bytes.length
  }
}

/** The end of as many whole lines as a pipe takes in one piece; of one line where that is longer. */
const endOfPiece = (bytes: Uint8Array, start: number): number => {
  if (bytes.length - start <= atomicBytes) return bytes.length
  const last = bytes.lastIndexOf(newline, start + atomicBytes - 1)
  if (last >= start) return last + 1
  const first = bytes.indexOf(newline, start)
  return first < 0 ? bytes.length : first + 1
}

const codeOf = (error: unknown): unknown =>
  error instanceof Error && 'code' in error ? error.code : undefined

interface Target {
  fd: number
  isPipe: boolean
  close: () => void
}

/**
 * A pipe is opened once more, so that not blocking is a property of this description alone: processes that share the
 * descriptor keep theirs. Where that is impossible (no /proc, a pipe of another user) writes block, as usual.
 */
const targetOf = (fd: number): Target => {
  const isPipe = isPipeAt(fd)
  if (isPipe) {
    try {
      const own = openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK)
      return { fd: own, isPipe, close: () => closeSync(own) }
    } catch {
      // as described above
    }
  }
  return { fd, isPipe, close: () => {} }
}

const isPipeAt = (fd: number): boolean => {
  try {
    return fstatSync(fd).isFIFO()
  } catch {
    return false // closed
  }
}
