// Retention: makes the partitions of the log for the days ahead, drops those past retention that every consumer has read,
// and deletes keys, sessions, read notifications and dead letters past theirs. Safe in any number of workers at once.
import type { Config } from '../../config.ts'
import type { Database } from '../../db/client.ts'
import { ensureFeedPartitions } from '../../db/log/partitions.ts'
import { tryLockLoop } from '../../db/leases.ts'
import {
  dropPartition,
  hasStrayEntries,
  purges,
  selectExpiredPartitions,
  selectLateConsumers,
} from '../../db/log/retention.ts'
import type { Log } from '../../log.ts'

/** How long rows of growing tables are kept. Tombstones of deleted tasks are kept for ever: their ids stay taken. */
export type Retention = Pick<
  Config,
  | 'feedRetentionDays'
  | 'idempotencyRetentionHours'
  | 'sessionRetentionDays'
  | 'notificationRetentionDays'
  | 'deadLetterRetentionDays'
>

export interface MaintenanceDeps {
  db: Database
  log: Log
  config: Retention
  signal: AbortSignal
}

/** Transactions of each kind in a run: 200,000 keys, 20,000 sessions. The next run continues. */
const maxSteps = 200

/** @throws AppError `unavailable` when a lock could not be had in time: the next run continues. */
export const maintain = async (deps: MaintenanceDeps): Promise<void> => {
  const { db, log, signal } = deps
  await db.transact((tx) => ensureFeedPartitions(tx))
  if (await db.read(hasStrayEntries))
    log.error('entries in the default partition of the log: a daily partition was missing')
  await purge(deps)
  while (!signal.aborted && (await dropOldest(deps)));
}

/** Drops the oldest partition past retention, unless a consumer has not read it. @returns whether there may be another. */
const dropOldest = ({ db, log, config }: MaintenanceDeps): Promise<boolean> =>
  db.transact(async (tx) => {
    if (!(await tryLockLoop(tx, 'maintenance'))) return false
    const [partition] = await selectExpiredPartitions(tx, config.feedRetentionDays)
    if (partition === undefined) return false
    const consumers = await selectLateConsumers(tx, partition)
    if (consumers.length === 0) await dropPartition(tx, partition)
    else
      log.warn(
        { partition, consumers },
        'log partition kept past retention: these consumers have not read all of it',
      )
    return consumers.length === 0
  })

/** What is purged, its setting, and the rows deleted in one transaction (the limits in `purges`). */
const purgeSteps: { name: keyof typeof purges; keep: keyof Retention; batchSize: number }[] = [
  { name: 'keys', keep: 'idempotencyRetentionHours', batchSize: 1_000 },
  { name: 'sessions', keep: 'sessionRetentionDays', batchSize: 100 },
  { name: 'refreshTokens', keep: 'sessionRetentionDays', batchSize: 1_000 },
  { name: 'notifications', keep: 'notificationRetentionDays', batchSize: 1_000 },
  { name: 'deadLetters', keep: 'deadLetterRetentionDays', batchSize: 1_000 },
]

const purge = async ({ db, config, signal }: MaintenanceDeps): Promise<void> => {
  for (const { name, keep, batchSize } of purgeSteps) {
    for (let step = 0; step < maxSteps && !signal.aborted; step += 1) {
      const { count } = await db.transact((tx) => purges[name](tx, config[keep]))
      if (count < batchSize) break
    }
  }
}
