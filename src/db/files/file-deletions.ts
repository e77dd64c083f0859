// Objects of the storage whose rows are gone. Invariant: a key is listed in the transaction that removes the row which
// owned the object, so that the object goes exactly if that transaction committed. A trigger does it for attachments.
import type { Tx } from '../client.ts'

/** Lists objects to delete. One that is listed is queued again: it may have been stored after its deletion ran. */
export const insertFileDeletions = async (tx: Tx, keys: readonly string[]): Promise<void> => {
  if (keys.length === 0) return
  await tx`
    insert into file_deletions (key)
    select unnest(${[...keys].toSorted()}::text[])
    on conflict (key) do update set queued_at = null`
}
