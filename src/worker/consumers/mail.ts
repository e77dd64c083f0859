// Records notifications whose users want mails about them.
import { isNotification, mailNotifications } from '../../domain/notifications/mail.ts'
import type { Consumer } from '../engine/consumer.ts'

/**
 * A mail collects the notices of a minute, so that its notices may wait for each other: 100,000 notifications in half a
 * minute were 8,000 transactions, a commit for every twelve, and are at most a thousand.
 */
const collectMs = 500
const maxBatch = 500

export const mail: Consumer = {
  name: 'mail',
  collectMs,
  maxBatch,
  concerns: isNotification,
  async handle(tx, entries) {
    await mailNotifications(tx, entries)
    return []
  },
}
