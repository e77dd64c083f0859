// Every consumer of the worker.
import type { Database } from '../db/client.ts'
import { insertPositions } from '../db/log/consumers.ts'
import { attachments } from './consumers/attachments.ts'
import { notifications } from './consumers/notifications.ts'
import { profileChanges } from './consumers/profile-changes.ts'
import { stats } from './consumers/stats.ts'
import type { Consumer } from './engine/consumer.ts'

export const consumers: readonly Consumer[] = [attachments, notifications, profileChanges, stats]

/** Inserts the positions of new consumers at the heads of the log: they handle what is appended from now on. */
export const installConsumers = (db: Database): Promise<void> =>
  db.transact(async (tx) => {
    for (const { name } of consumers) await insertPositions(tx, name)
  })
