// Deletes objects whose rows are gone, and then the notes of them. Deleting an object again does nothing, and a key is
// never used a second time.
import { deleteFileDeletions } from '../../db/files/deletion-queue.ts'
import type { JobProcessor } from './processor.ts'

const atOnce = 8

export const deleteFiles: JobProcessor<'files.delete'> = {
  kind: 'files.delete',
  async process({ storage }, { keys }, { signal }) {
    const left = [...keys]
    const work = async (): Promise<void> => {
      for (let key = left.pop(); key !== undefined; key = left.pop()) {
        signal.throwIfAborted()
        await storage.delete(key)
      }
    }
    try {
      await Promise.all(Array.from({ length: atOnce }, work))
    } finally {
      left.length = 0 // the first failure ends all: a storage that is away would take its deadline for each key
    }
    return async (tx) => {
      await deleteFileDeletions(tx, keys)
      return []
    }
  },
}
