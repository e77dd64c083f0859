// Deletes unfinished uploads that have passed their time. Queues deletions of objects that no entry of the log announces: of abandoned and failed uploads, replaced avatars, and
// what exceeded a transaction of the consumer `attachments`; and records the nightly sweep.
import type { Database } from '../../db/client.ts'
import { insertDeliveries } from '../../db/deliveries/deliveries.ts'
import { deleteExpiredUploads } from '../../db/files/attachments.ts'
import { mayHaveMore, queueFileDeletions } from '../../db/files/deletion-queue.ts'

/** Younger ones are left to the consumer, which is about to see their entry. */
const minAgeMs = 2_000

/** Safe in any number of workers at once. */
export const queueDeletions = async ({
  db,
  signal,
}: {
  db: Database
  signal: AbortSignal
}): Promise<void> => {
  while (!signal.aborted && mayHaveMore(await db.transact((tx) => queueFileDeletions(tx, { minAgeMs }))));
}

/** Uploads that one transaction gives up. */
const maxExpired = 500

/** Their objects, stored or not, are listed by the trigger of the table. Safe in any number of workers at once. */
export const expireUploads = async ({
  db,
  signal,
}: {
  db: Pick<Database, 'transact'>
  signal: AbortSignal
}): Promise<void> => {
  while (!signal.aborted && (await db.transact((tx) => deleteExpiredUploads(tx, maxExpired))) === maxExpired);
}

/** Few people work then in Europe. */
const sweepFromHour = 3

/** Records the sweep of this night, unless a worker has. @param at for tests. */
export const scheduleSweep = async (
  { db }: { db: Pick<Database, 'transact'> },
  at = new Date(),
): Promise<void> => {
  if (at.getUTCHours() < sweepFromHour) return
  const dedupeKey = `files.sweep:${at.toISOString().slice(0, 10)}`
  await db.transact((tx) =>
    insertDeliveries(tx, [{ kind: 'files.sweep', payload: { isDryRun: false }, dedupeKey }]),
  )
}
