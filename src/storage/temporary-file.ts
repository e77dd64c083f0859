// A file on this machine that receives the bytes of an object before they are stored, so that size, hash and type are
// known first and a try can be repeated. Invariant: whatever happens, `dispose` closes and removes it.
import { close, fsync, mkdirSync, openSync, read, writeSync } from 'node:fs'
import { readdir, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { unavailable } from '../errors.ts'

const [readAt, syncFile, closeFile] = [promisify(read), promisify(fsync), promisify(close)]

export class TemporaryFile implements AsyncDisposable {
  #size = 0
  /** Whether the storage has taken the file over: it is no longer at `path`. */
  #isTaken = false

  private constructor(
    readonly path: string,
    private readonly descriptor: number,
  ) {}

  /**
   * Synchronous on purpose, like `write`: 50 uploads that waited for a thread would hold 1 MiB each in Bun.
   * @param folder is created where it is missing. @throws AppError 503
   */
  static create(folder: string): TemporaryFile {
    const path = join(folder, crypto.randomUUID())
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 })
      return new TemporaryFile(path, openSync(path, 'wx+', 0o600))
    } catch (error) {
      throw unavailable(error)
    }
  }

  /** Bytes written so far. */
  get size(): number {
    return this.#size
  }

  /**
   * Appends bytes. Synchronous on purpose: 128 KiB go into the page cache in less time than they take to hash, and while
   * a request waited for a thread, Bun would collect up to 1 MiB more of its body.
   * @throws AppError 503 where the disk is full.
   */
  write(bytes: Uint8Array): void {
    try {
      for (let at = 0; at < bytes.byteLength;)
        at += writeSync(this.descriptor, bytes, at, bytes.byteLength - at, this.#size + at)
    } catch (error) {
      throw unavailable(error)
    }
    this.#size += bytes.byteLength
  }

  /** Up to `length` bytes from `start`; fewer at the end of the file. */
  async read(start: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    const wanted = Math.max(0, Math.min(length, this.#size - start))
    return this.#fill(new Uint8Array(wanted), start)
  }

  /** All bytes, at most `length` at a time; each piece is valid until the next one is asked for. */
  async *pieces(length: number): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    const buffer = new Uint8Array(Math.min(length, this.#size))
    for (let start = 0; start < this.#size; start += buffer.length)
      yield await this.#fill(buffer.subarray(0, this.#size - start), start)
  }

  /** Reads until the buffer is full or the file ends. @returns the part of it that was filled. */
  async #fill(buffer: Uint8Array<ArrayBuffer>, start: number): Promise<Uint8Array<ArrayBuffer>> {
    let at = 0
    while (at < buffer.length) {
      const { bytesRead } = await readAt(this.descriptor, buffer, at, buffer.length - at, start + at)
      if (bytesRead === 0) break
      at += bytesRead
    }
    return buffer.subarray(0, at)
  }

  /** The bytes as a file that is read while it is sent. */
  blob(): Blob {
    return Bun.file(this.path)
  }

  /** Returns when the bytes are on the disk. */
  async sync(): Promise<void> {
    await syncFile(this.descriptor)
  }

  /** The file was renamed: it is not removed any more. */
  taken(): void {
    this.#isTaken = true
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await closeFile(this.descriptor)
    if (!this.#isTaken) await unlink(this.path)
    this.#isTaken = true
  }
}

/** Removes the files of processes that ended before they could. @returns how many. */
export const removeTemporaryFiles = async (folder: string, before: Date): Promise<number> => {
  let removed = 0
  for (const name of await readdir(folder).catch(ifAbsent([]))) {
    const path = join(folder, name)
    const found = await stat(path).catch(ifAbsent(null))
    if (!found || found.mtime >= before) continue
    await unlink(path).catch(ifAbsent(undefined))
    removed += 1
  }
  return removed
}

/** For `catch`: the value where there is no such file; other errors are thrown. */
export const ifAbsent =
  <T>(value: T) =>
  (error: unknown): T => {
    const code: unknown = error instanceof Error ? Reflect.get(error, 'code') : undefined
    if (code === 'ENOENT' || code === 'ENOTDIR') return value
    throw error
  }
