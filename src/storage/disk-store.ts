// Whether the folder of files is the store that the rows are about. An unmounted disk leaves an empty folder or none, in
// which every object seems to be gone: deletions would count as done, and files would be stored below the mount point. A
// store is marked by a file. Invariant: without the mark nothing is stored there and nothing counts as gone, unless no row
// names an object.
import { mkdir, open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { syncFolder } from './sync-folder.ts'
import { ifAbsent } from './temporary-file.ts'

/** No key starts with a dot. */
export const markName = '.store'

/** Of stores that were begun before they were marked. */
const foldersOfObjects = ['attachments', 'avatars']

export class StoreMissing extends Error {
  override readonly name = 'StoreMissing'
  override readonly message = `the folder has no ${markName}: its disk is not mounted or was replaced`
}

export class DiskStore {
  constructor(
    private readonly root: string,
    /** Whether no row names an object: then an empty store is as good as none. */
    private readonly isUnused: () => Promise<boolean>,
  ) {}

  /** For an object that is not there: whether it is gone. @throws StoreMissing */
  async require(): Promise<void> {
    if ((await this.#exists()) || (await this.isUnused())) return
    throw new StoreMissing()
  }

  /** Before an object is stored: marks a new store. @throws StoreMissing */
  async begin(): Promise<void> {
    if (await isThere(join(this.root, markName))) return
    await this.require()
    await mkdir(this.root, { recursive: true, mode: 0o700 })
    await using _mark = await open(join(this.root, markName), 'a', 0o600)
    await syncFolder(this.root)
  }

  async #exists(): Promise<boolean> {
    for (const name of [markName, ...foldersOfObjects]) if (await isThere(join(this.root, name))) return true
    return false
  }
}

const isThere = async (path: string): Promise<boolean> => (await stat(path).catch(ifAbsent(null))) !== null
