// Creates the notifications that log entries cause: assigned, completed, shared, project_invited.
import { createNotifications, notificationOf } from '../../domain/notifications/entries.ts'
import { lockAndSelectRecipients } from '../../domain/notifications/recipients.ts'
import { causesOf } from '../../domain/notifications/rules.ts'
import type { Consumer } from '../engine/consumer.ts'

export const notifications: Consumer = {
  name: 'notifications',
  concerns: (entry) => causesOf(entry).length > 0,
  async handle(tx, entries) {
    const recipients = await lockAndSelectRecipients(tx, entries.flatMap(causesOf))
    return createNotifications(tx, recipients.map(notificationOf))
  },
}
