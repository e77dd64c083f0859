// Objects of the storage whose rows are gone. Invariant: a key is listed in the transaction that removes the row which
// owned the object, so that the object goes exactly if that transaction committed. Triggers do it for attachments and avatars.
import type { Tx } from '../client.ts'

/**
 * Lists objects to delete, at once and again two hours later: a PUT may be carried out by the store after it was given up.
 * One that is listed is queued again: it may have been stored after its deletion ran.
 */
export const insertFileDeletions = async (tx: Tx, keys: readonly string[]): Promise<void> => {
  if (keys.length === 0) return
  await tx`select list_writable_objects(${[...keys].toSorted()}::text[])`
}
