// Standard output of a process, written in batches of whole lines. Invariants: lines leave in the order they came; the
// lines that wait are bounded in bytes; a write to a pipe is one line or at most 4 KiB of lines, which the kernel does
// not mix with those of other processes on the same pipe.
//
// The problem: one write a line costs a request more than its routing, and a write blocks the process while the reader
// of a pipe is behind. The naive way, a synchronous write a line, was 5 µs of CPU a request, and a stopped reader
// stopped the server. An asynchronous write in a thread cannot be completed, or known to be complete, in the last tick
// of a process. The way chosen: lines wait up to 50 ms or 64 KiB and are written synchronously, to a pipe through a file
// description of our own that does not block. What a full pipe refuses waits for the next turn; past `maxWaitingBytes`
// lines are dropped and counted, and a line says how many. At exit the rest gets `exitDeadlineMs`.
import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs'

const flushEveryMs = 50
/** After a pipe was full: a reader that takes 64 KiB at a time still gets 12 MiB a second. */
const retryEveryMs = 5
const flushBytes = 64 * 1024
const maxWaitingBytes = 4 * 1024 * 1024
/** What a pipe takes in one piece (PIPE_BUF). */
const atomicBytes = 4096
const exitDeadlineMs = 1_000
const newline = 10

export interface LineOutputOptions {
  /** Tells of lines that were dropped, once there is room again. @returns a line, with its newline. */
  describeDropped: (lines: number) => string
}

export class LineOutput implements Disposable {
  #lines: string[] = []
  /** Characters of `#lines`. */
  #length = 0
  /** What the last write left. */
  #rest: Uint8Array | null = null
  #dropped = 0
  #timer: Timer | null = null
  #isClosed = false
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
    if (this.#length + (this.#rest?.length ?? 0) > maxWaitingBytes) {
      this.#dropped += 1
      return
    }
    this.#lines.push(line)
    this.#length += line.length
    if (this.#length >= flushBytes && this.#rest === null) this.flush()
    else this.#timer ??= setTimeout(() => this.flush(), flushEveryMs).unref()
  }

  /** Adds a line and writes all lines that wait, as far as the reader takes them. */
  write(line: string): void {
    this.add(line)
    if (this.#rest === null) this.flush()
  }

  /** Writes what waits, as far as the reader takes it. Never throws: a reader that is gone ends the output. */
  flush(): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    this.#rest = this.#write(this.#rest ?? this.#take())
    if (this.#rest === null && this.#lines.length > 0) this.#rest = this.#write(this.#take())
    if (this.#rest !== null) this.#timer = setTimeout(() => this.flush(), retryEveryMs).unref()
  }

  /** Writes everything that waits, for the last tick of a process: waits for a slow reader `exitDeadlineMs` at most. */
  finish(): void {
    const endsAt = performance.now() + exitDeadlineMs
    for (;;) {
      this.flush()
      if (this.#rest === null || performance.now() > endsAt) break
      Bun.sleepSync(5)
    }
  }

  [Symbol.dispose](): void {
    this.finish()
    if (this.#timer) clearTimeout(this.#timer)
    this.#isClosed = true
    this.#target.close()
  }

  #take(): Uint8Array {
    if (this.#dropped > 0) this.#lines.push(this.options.describeDropped(this.#dropped))
    this.#dropped = 0
    const bytes = Buffer.from(this.#lines.join(''))
    this.#lines = []
    this.#length = 0
    return bytes
  }

  /** @returns what the reader did not take; null for nothing. */
  #write(bytes: Uint8Array): Uint8Array | null {
    const { fd, isPipe } = this.#target
    let at = 0
    try {
      while (at < bytes.length) {
        const end = isPipe ? endOfPiece(bytes, at) : bytes.length
        at += writeSync(fd, bytes, at, end - at)
      }
    } catch (error) {
      if (codeOf(error) === 'EAGAIN') return bytes.subarray(at)
      // EPIPE, ENOSPC and the like: a log that cannot be written must not end the service.
      if (codeOf(error) === 'EPIPE') this.#isClosed = true
    }
    return null
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
