// Objects whose rows are gone. Invariant: a row of `file_deletions` is inserted in the transaction that removes the owner
// of its object, and dropped once the object is gone; in between exactly one delivery is about it.
import { newId } from '../../model/scalar.ts'
import { maxKeysOfDeletion } from '../../queues/jobs.ts'
import type { Tx } from '../client.ts'
import { insertDeliveries } from '../deliveries/deliveries.ts'

/** Rows that one call gives to deliveries. */
const maxQueued = 1_000

/**
 * Gives deletions without a delivery to new ones, oldest first. Leaves out what another transaction is about to queue.
 * @param minAgeMs younger rows stay.
 * @returns how many; `maxQueued` where there may be more.
 */
export const queueFileDeletions = async (tx: Tx, { minAgeMs = 0 } = {}): Promise<number> => {
  const rows = await tx<{ key: string }[]>`
    with queued as materialized (
      select key from file_deletions
      where queued_at is null and created_at <= now() - make_interval(secs => ${minAgeMs / 1000}::float8)
      order by created_at, key
      limit ${maxQueued}
      for update skip locked
    )
    update file_deletions d set queued_at = now()
    from queued
    where d.key = queued.key
    returning d.key`
  const keys = rows.map(({ key }) => key).toSorted()
  const batches = Array.from({ length: Math.ceil(keys.length / maxKeysOfDeletion) }, (_, n) =>
    keys.slice(n * maxKeysOfDeletion, (n + 1) * maxKeysOfDeletion),
  )
  await insertDeliveries(
    tx,
    batches.map((batch) => ({
      kind: 'files.delete' as const,
      payload: { keys: batch },
      dedupeKey: `files.delete:${newId()}`,
    })),
  )
  return keys.length
}

export const mayHaveMore = (queued: number): boolean => queued === maxQueued

/** Queues again what has waited so long that its delivery must have failed for good. @returns how many. */
export const requeueFileDeletions = async (tx: Tx, afterDays: number): Promise<number> => {
  const rows = await tx`
    update file_deletions set queued_at = null
    where ctid = any(array(
      select ctid from file_deletions
      where queued_at < now() - make_interval(days => ${afterDays})
      limit ${maxQueued}
      for update skip locked))
    returning key`
  return rows.length
}

/** The objects are gone. A key that was listed once more meanwhile stays, and one that may be written to is listed later. */
export const deleteFileDeletions = async (tx: Tx, keys: readonly string[]): Promise<void> => {
  await tx`
    update file_deletions set queued_at = null, created_at = again_at, again_at = null
    where key = any(${keys}::text[]) and queued_at is not null and again_at is not null`
  await tx`delete from file_deletions where key = any(${keys}::text[]) and queued_at is not null`
}
