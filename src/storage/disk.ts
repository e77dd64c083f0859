// Objects as files below a folder, each at the path of its key. A file is complete and on the disk before it gets its
// name: it is written under a temporary one, synced, renamed, and then its folder is synced, so that neither a kill nor
// a power cut leaves half an object or a row without one. Invariant: nothing but `put` creates a file with a key.
import type { Dir } from 'node:fs'
import { mkdir, open, opendir, rename, stat, statfs, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { messageOf, unavailable } from '../errors.ts'
import { TimedOut, withTimeout } from '../async/timeout.ts'
import { codeOfError } from '../start/failure.ts'
import { folderTrouble, type Trouble } from '../start/trouble.ts'
import { DiskStore } from './disk-store.ts'
import { syncFolder } from './sync-folder.ts'
import {
  degraded,
  requireKey,
  type DiskSpace,
  type ObjectInfo,
  type Storage,
  type StorageHealth,
} from './storage.ts'
import { ifAbsent, removeTemporaryFiles, TemporaryFile } from './temporary-file.ts'

/** No key starts with a dot. */
const temporaryFolder = '.tmp'
const healthTimeoutMs = 1_000
/** Read and written at a time by a copy. */
const copiedBytes = 256 * 1024

/**
 * @param root is created with the first object.
 * @param isUnused whether no row names an object. Only then a missing store counts as an empty one.
 */
export const diskStorage = (
  root: string,
  isUnused: () => Promise<boolean> = () => Promise.resolve(true),
): Storage => {
  const diskStore = new DiskStore(root, isUnused)
  const temporary = join(root, temporaryFolder)
  const pathOf = (key: string): string => join(root, requireKey(key))

  /** What there is at the path; null where it is gone from the store. */
  const absentAsNull = async <T>(found: Promise<T>): Promise<T | null> => {
    const value = await found.catch(ifAbsent(null))
    if (value === null) await diskStore.require()
    return value
  }

  const store = async (path: string, file: TemporaryFile): Promise<void> => {
    await diskStore.begin()
    await file.sync()
    const folder = dirname(path)
    const made = await mkdir(folder, { recursive: true, mode: 0o700 })
    await rename(file.path, path)
    file.taken()
    await syncFolder(folder)
    // The names of new folders are entries of the folders above them.
    if (made !== undefined)
      for (let above = folder; above !== dirname(made); above = dirname(above))
        await syncFolder(dirname(above))
  }

  const storage: Omit<Storage, keyof AsyncDisposable> = {
    kind: 'disk',
    temporaryFile: () => TemporaryFile.create(temporary),
    put: async (key, source) => {
      const path = pathOf(key)
      if (source instanceof TemporaryFile) return reported(store(path, source))
      await using file = TemporaryFile.create(temporary)
      file.write(source)
      await reported(store(path, file))
    },
    copy: async (from, to) => {
      const [source, target] = [pathOf(from), pathOf(to)]
      const opened = await reported(absentAsNull(open(source)))
      if (!opened) return false
      await using input = opened
      await using file = TemporaryFile.create(temporary)
      const piece = new Uint8Array(copiedBytes)
      for (let at = 0, isMore = true; isMore; at = file.size) {
        const { bytesRead } = await reported(input.read(piece, 0, copiedBytes, at))
        file.write(piece.subarray(0, bytesRead))
        isMore = bytesRead > 0
      }
      await reported(store(target, file))
      return true
    },
    get: async (key, range) => {
      const path = pathOf(key)
      const found = await reported(absentAsNull(stat(path)))
      if (!found) return null
      const { start, end } = range ?? { start: 0, end: found.size }
      const file = Bun.file(path)
      return { size: end - start, body: range ? file.slice(start, end) : file }
    },
    head: async (key) => {
      const found = await reported(absentAsNull(stat(pathOf(key))))
      return found && { key, size: found.size, modifiedAt: found.mtime }
    },
    delete: async (key) => {
      await reported(absentAsNull(unlink(pathOf(key))))
    },
    async *list(prefix) {
      await reported(diskStore.require())
      yield* filesBelow(root, prefix)
      await reported(diskStore.require()) // unmounted meanwhile: what was listed is not all
    },
    presignPut: () => Promise.resolve(null),
    removeInterrupted: (before) => reported(removeTemporaryFiles(temporary, before)),
    health: () => examine(diskStore, temporary),
    diskSpace: () => withTimeout(healthTimeoutMs, 'reading the free space', spaceOf(root)).catch(() => null),
  }
  return { ...storage, [Symbol.asyncDispose]: async () => {} }
}

const reported = async <T>(work: Promise<T>): Promise<T> => {
  try {
    return await work
  } catch (error) {
    throw unavailable(error)
  }
}

/** Walks the folders that can contain keys of the prefix, one entry after another: a folder may have a million. */
async function* filesBelow(root: string, prefix: string): AsyncGenerator<ObjectInfo> {
  const folders = ['']
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    const entries: Dir | null = await reported(opendir(join(root, folder)).catch(ifAbsent(null)))
    if (!entries) continue
    for await (const entry of entries) {
      const key = `${folder}${entry.name}`
      if (entry.isDirectory()) {
        const below = `${key}/`
        if (!key.startsWith('.') && (below.startsWith(prefix) || prefix.startsWith(below)))
          folders.push(below)
      } else if (key.startsWith(prefix) && !key.startsWith('.')) {
        const found = await reported(stat(join(root, key)).catch(ifAbsent(null)))
        if (found) yield { key, size: found.size, modifiedAt: found.mtime }
      }
    }
  }
}

const spaceOf = async (root: string): Promise<DiskSpace> => {
  const { blocks, bavail, bsize } = await statfs(root)
  return { totalBytes: blocks * bsize, freeBytes: bavail * bsize }
}

/** Why no file can be stored. */
export const diskTrouble = (error: unknown): Trouble => {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
  const code = codeOfError(cause)
  const known = folderTrouble(code, 'files')
  const text = `files cannot be stored: ${known?.text ?? (code || messageOf(cause))}`
  return { text, isTemporary: known?.isTemporary ?? cause instanceof TimedOut }
}

/** Whether the store is there and a file can be written: a full or read-only disk accepts none. */
const examine = async (store: DiskStore, temporary: string): Promise<StorageHealth> => {
  const attempt = async (): Promise<void> => {
    await store.require()
    await using file = TemporaryFile.create(temporary)
    file.write(new Uint8Array(1))
  }
  try {
    await withTimeout(healthTimeoutMs, 'writing a file', attempt())
    return { status: 'up' }
  } catch (error) {
    return degraded(diskTrouble(error))
  }
}
