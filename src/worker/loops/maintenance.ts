// Retention: makes the partitions of the log for the days ahead, drops those past retention that every consumer has read,
// and deletes keys, sessions, read notifications and dead letters past theirs. Safe in any number of workers at once.
import type { Config } from '../../config.ts'
import type { Database } from '../../db/client.ts'
import { createComingPartitions } from '../../db/log/partitions.ts'
import { tryLockLoop } from '../../db/leases.ts'
import {
  countStrayEntries,
  deleteStrayEntries,
  dropPartition,
  purges,
  selectExpiredPartitions,
  selectLateConsumers,
  strayBatchSize,
  type RetentionSetting,
} from '../../db/log/retention.ts'
import type { Log } from '../../log.ts'

/** How long rows of growing tables are kept. Tombstones of deleted tasks are never removed: their ids stay taken. */
export type Retention = Pick<Config, 'feedRetentionDays' | RetentionSetting>

export interface MaintenanceDeps {
  db: Database
  log: Log
  config: Retention
  stats: MaintenanceStats
  signal: AbortSignal
}

/** Transactions of each kind in a run: 200,000 keys, 20,000 sessions. The next run continues. */
const maxSteps = 200

/** What the last run found. */
export interface MaintenanceStats {
  /** Entries of the log that are in no daily partition; 10,000 means at least as many. */
  strayEntries: number
}

/** @throws AppError `unavailable` when a lock could not be had in time: the next run continues. */
export const maintain = async (deps: MaintenanceDeps): Promise<void> => {
  if (!(await createComingPartitions(deps.db)))
    deps.log.warn(
      { oncePerMinute: 'partitions' },
      'daily partitions of the log are missing and could not be created now, the next run tries again',
    )
  await purgeAll(deps)
  try {
    while (!deps.signal.aborted && (await dropOldest(deps)));
    await deleteStray(deps)
  } finally {
    await countStray(deps) // also where a reader holds the log, and nothing was dropped
  }
}

const countStray = async ({ db, log, stats }: MaintenanceDeps): Promise<void> => {
  stats.strayEntries = await db.read(countStrayEntries)
  if (stats.strayEntries > 0)
    log.error(
      { entries: stats.strayEntries },
      'entries in the default partition of the log: a daily partition was missing',
    )
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

const deleteStray = async ({ db, config, signal }: MaintenanceDeps): Promise<void> => {
  const expired = await db.read((sql) => selectExpiredPartitions(sql, config.feedRetentionDays))
  if (expired.length > 0) return
  for (let step = 0; step < maxSteps && !signal.aborted; step += 1) {
    const count = await db.transact((tx) => deleteStrayEntries(tx, config.feedRetentionDays))
    if (count < strayBatchSize) break
  }
}

const purgeAll = async ({ db, config, signal }: MaintenanceDeps): Promise<void> => {
  for (const purge of Object.values(purges)) {
    for (let step = 0; step < maxSteps && !signal.aborted; step += 1) {
      const { count } = await db.transact((tx) => purge.deleteOldest(tx, config[purge.setting]))
      if (count < purge.batchSize) break
    }
  }
}
