// Keeping the log and the tables beside it within their time: partitions for the days ahead, none past retention
// that every consumer has read; no keys, sessions, read notifications or dead letters past theirs. Any number of workers may do it at once.
import type { Config } from '../../config.ts'
import type { Database } from '../../db/client.ts'
import { ensureFeedPartitions } from '../../db/log/feed.ts'
import { tryLockLoop } from '../../db/leases.ts'
import {
  dropPartition,
  hasStrayEntries,
  purges,
  selectExpiredPartitions,
  selectLateConsumers,
} from '../../db/log/retention.ts'
import type { Log } from '../../log.ts'

/** How long everything that grows is kept. Ids of deleted tasks stay for ever: they are never given out again. */
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

/** Transactions a run, of each kind: 200,000 keys, 20,000 sessions. The rest is the next run's. */
const maxSteps = 200

/** @throws AppError `unavailable` when something was busy: what is left is the next run's. */
export const maintain = async (deps: MaintenanceDeps): Promise<void> => {
  const { db, log, signal } = deps
  await db.transact((tx) => ensureFeedPartitions(tx))
  if (await db.read(hasStrayEntries))
    log.error('the log has entries in its default partition: a day had none')
  await purge(deps)
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

/** What is purged, how long it is kept, and how many rows go in one transaction (the limits in `purges`). */
const purging: { name: keyof typeof purges; keep: keyof Retention; atOnce: number }[] = [
  { name: 'keys', keep: 'idempotencyRetentionHours', atOnce: 1_000 },
  { name: 'sessions', keep: 'sessionRetentionDays', atOnce: 100 },
  { name: 'refreshTokens', keep: 'sessionRetentionDays', atOnce: 1_000 },
  { name: 'notifications', keep: 'notificationRetentionDays', atOnce: 1_000 },
  { name: 'deadLetters', keep: 'deadLetterRetentionDays', atOnce: 1_000 },
]

const purge = async ({ db, config, signal }: MaintenanceDeps): Promise<void> => {
  for (const { name, keep, atOnce } of purging) {
    for (let step = 0; step < maxSteps && !signal.aborted; step += 1) {
      const { count } = await db.transact((tx) => purges[name](tx, config[keep]))
      if (count < atOnce) break
    }
  }
}
