// A file on this machine that receives the bytes of an object before they are stored, so that size, hash and type are
// known first and a try can be repeated. Invariant: whatever happens, `dispose` closes and removes it.
import { writeSync } from 'node:fs'
import { mkdir, open, readdir, stat, unlink, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { unavailable } from '../errors.ts'

export class TemporaryFile implements AsyncDisposable {
  #size = 0
  /** Whether the storage has taken the file over: it is no longer at `path`. */
  #isTaken = false

  private constructor(
    readonly path: string,
    private readonly handle: FileHandle,
  ) {}

  /** @param folder is created where it is missing. @throws AppError 503 */
  static async create(folder: string): Promise<TemporaryFile> {
    const path = join(folder, crypto.randomUUID())
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 })
      return new TemporaryFile(path, await open(path, 'wx+', 0o600))
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
        at += writeSync(this.handle.fd, bytes, at, bytes.byteLength - at, this.#size + at)
    } catch (error) {
      throw unavailable(error)
    }
    this.#size += bytes.byteLength
  }

  /** Up to `length` bytes from `start`; fewer at the end of the file. */
  async read(start: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    const wanted = Math.max(0, Math.min(length, this.#size - start))
    const buffer = new Uint8Array(wanted)
    let at = 0
    while (at < wanted) {
      const { bytesRead } = await this.handle.read(buffer, at, wanted - at, start + at)
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
    await this.handle.sync()
  }

  /** The file was renamed: it is not removed any more. */
  taken(): void {
    this.#isTaken = true
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.handle.close()
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
