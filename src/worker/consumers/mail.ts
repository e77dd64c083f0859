// Records notifications whose users want mails about them.
import { isNotification, mailNotifications } from '../../domain/notifications/mail.ts'
import type { Consumer } from '../engine/consumer.ts'

export const mail: Consumer = {
  name: 'mail',
  concerns: isNotification,
  async handle(tx, entries) {
    await mailNotifications(tx, entries)
    return []
  },
}
