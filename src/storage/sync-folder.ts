// The names in a folder, made safe against a power cut.
import { open } from 'node:fs/promises'

/** Returns when the entries of the folder are on the disk. */
export const syncFolder = async (folder: string): Promise<void> => {
  await using handle = await open(folder, 'r')
  await handle.sync()
}
