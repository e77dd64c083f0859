// Keeping the log and the tables beside it within their time: partitions for the days ahead, none past retention
// that every consumer has read, no idempotency keys older than a day. Any number of workers may do it at once.
import type { Database } from '../../db/client.ts'
import { ensureFeedPartitions } from '../../db/feed.ts'
import { tryLockLoop } from '../../db/leases.ts'
import {
  deleteOldKeys,
  dropPartition,
  hasStrayEntries,
  selectExpiredPartitions,
  selectLateConsumers,
} from '../../db/retention.ts'
import type { Log } from '../../log.ts'

export interface MaintenanceDeps {
  db: Database
  log: Log
  config: { feedRetentionDays: number }
  signal: AbortSignal
}

const keysAtOnce = 1_000
/** A run: 200,000 keys. The rest is the next run's. */
const maxKeyBatches = 200

/** @throws AppError `unavailable` when something was busy: what is left is the next run's. */
export const maintain = async (deps: MaintenanceDeps): Promise<void> => {
  const { db, log, signal } = deps
  await db.transact((tx) => ensureFeedPartitions(tx))
  if (await db.read(hasStrayEntries))
    log.error('the log has entries in its default partition: a day had none')
  await purgeKeys(deps)
  while (!signal.aborted && (await dropOldest(deps)));
}

/** The oldest partition past retention, unless a consumer still needs it. Answers whether to go on. */
const dropOldest = ({ db, log, config }: MaintenanceDeps): Promise<boolean> =>
  db.transact(async (tx) => {
    if (!(await tryLockLoop(tx, 'maintenance'))) return false
    const [partition] = await selectExpiredPartitions(tx, config.feedRetentionDays)
    if (partition === undefined) return false
    const consumers = await selectLateConsumers(tx, partition)
    if (consumers.length === 0) await dropPartition(tx, partition)
    else log.warn({ partition, consumers }, 'a day of the log is past retention but was not read to its end')
    return consumers.length === 0
  })

const purgeKeys = async ({ db, signal }: MaintenanceDeps): Promise<void> => {
  for (let batch = 0; batch < maxKeyBatches && !signal.aborted; batch += 1) {
    const deleted = await db.transact((tx) => deleteOldKeys(tx, keysAtOnce))
    if (deleted < keysAtOnce) return
  }
}
