// What every storage of objects does. An object is written once under a key of this server and never changed; `put`
// makes it visible whole or not at all. Invariant: every driver passes test/storage/conformance.test.ts.
import type { Trouble } from '../start/trouble.ts'
import type { TemporaryFile } from './temporary-file.ts'

export interface ObjectInfo {
  key: string
  /** Bytes. */
  size: number
  /** When it was stored, by the clock of the storage. */
  modifiedAt: Date
}

/** Bytes from `start` up to and without `end`. */
export interface ByteRange {
  start: number
  end: number
}

export interface StoredObject {
  /** Bytes of the body. */
  size: number
  /** A disk file, read as it is sent, or a stream that fails when the storage stalls. */
  body: Blob | ReadableStream<Uint8Array>
}

/** A request with which a client stores one object by itself. */
export interface PresignedPut {
  url: string
  method: 'PUT'
  /** Signed with the URL: the client sends exactly these. */
  headers: { 'Content-Type': string }
}

export interface PresignOptions {
  /** Exact bytes of the object. */
  size: number
  contentType: string
  expiresInSeconds: number
}

export interface StorageHealth {
  status: 'up' | 'degraded'
  /** Why it is degraded; contains no address. */
  reason?: string
  /** Whether no setting has to be corrected. */
  isTemporary?: boolean
}

export const degraded = ({ text, isTemporary }: Trouble): StorageHealth => ({
  status: 'degraded',
  reason: text,
  isTemporary,
})

/** Of the disk that the objects share with whatever else is on it. */
export interface DiskSpace {
  totalBytes: number
  /** What this process may still write. */
  freeBytes: number
}

export interface Storage extends AsyncDisposable {
  readonly kind: 'disk' | 's3'
  /** An empty file on this machine that `put` takes; its owner disposes it. @throws AppError 503 */
  temporaryFile(): TemporaryFile
  /**
   * Stores an object. Of a file that was written to the end the storage may take over the bytes.
   * @throws AppError 503 where the storage is away, full or slow: then the object may exist all the same.
   */
  put(key: string, source: TemporaryFile | Uint8Array<ArrayBuffer>): Promise<void>
  /**
   * Stores the same bytes under another key, without moving them through this machine where the storage can.
   * @param size bytes of the object, for the deadline. @returns false where there is none. @throws AppError 503
   */
  copy(from: string, to: string, size: number): Promise<boolean>
  /** Null where there is none. @throws AppError 503 */
  get(key: string, range?: ByteRange): Promise<StoredObject | null>
  /** Null where there is none. @throws AppError 503 */
  head(key: string): Promise<ObjectInfo | null>
  /** Does nothing where there is none. @throws AppError 503 */
  delete(key: string): Promise<void>
  /** Every object whose key starts with the prefix, in no order. @throws AppError 503 */
  list(prefix: string): AsyncIterable<ObjectInfo>
  /** A request that stores an object without this server; null where the storage has none. */
  presignPut(key: string, options: PresignOptions): Promise<PresignedPut | null>
  /**
   * Removes what interrupted calls of `put` left behind before this time: temporary files and unfinished uploads.
   * @returns how many. @throws AppError 503
   */
  removeInterrupted(before: Date): Promise<number>
  /** Whether objects can be stored now; ends by a deadline of its own, never throws. */
  health(): Promise<StorageHealth>
  /** Null where the storage has no disk of its own, or cannot tell; ends by a deadline of its own, never throws. */
  diskSpace(): Promise<DiskSpace | null>
}

/**
 * Keys come from this server alone: words of lower-case letters, digits and hyphens. What a user sent never becomes part
 * of one. @throws Error, a bug, where it is not.
 */
export const requireKey = (key: string): string => {
  if (key.length > 200 || !/^[a-z0-9-]+(?:\/[a-z0-9-]+)+$/.test(key))
    throw new Error('a storage key is malformed')
  return key
}
