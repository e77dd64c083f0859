// Every consumer of the worker.
import type { Database } from '../db/client.ts'
import { insertOldestPositions, insertPositions } from '../db/log/consumers.ts'
import { activity } from './consumers/activity.ts'
import { attachments } from './consumers/attachments.ts'
import { mail } from './consumers/mail.ts'
import { notifications } from './consumers/notifications.ts'
import { profileChanges } from './consumers/profile-changes.ts'
import { stats } from './consumers/stats.ts'
import type { Consumer } from './engine/consumer.ts'

export const consumers: readonly Consumer[] = [
  activity,
  attachments,
  notifications,
  mail,
  profileChanges,
  stats,
]

/**
 * Inserts the positions of new consumers: at the heads of the log, so that they handle what is appended from now on, or
 * before its oldest entries.
 */
export const installConsumers = (db: Database): Promise<void> =>
  db.transact(async (tx) => {
    for (const { name, startsAt } of consumers)
      await (startsAt === 'oldest' ? insertOldestPositions(tx, name) : insertPositions(tx, name))
  })
