// Sends the notices of one person's window as one mail.
import { unsubscribeTokenOf } from '../../auth/unsubscribe-tokens.ts'
import type { MailNoticeRow } from '../../db/notifications/mail-notices.ts'
import { forgetNotices, noticesToSend } from '../../domain/notifications/mail.ts'
import { maxCards, noticeMail, type Notice } from '../../mail/templates/notices.ts'
import { unsubscribeUrl } from '../../mail/links.ts'
import type { Completion, JobProcessor } from './processor.ts'
import { sendMail } from './send-mail.ts'

export const mailNotification: JobProcessor<'mail.notification'> = {
  kind: 'mail.notification',
  async process(deps, { userId, windowId }, { deliveryId, signal }) {
    const content = await deps.db.transact((tx) => noticesToSend(tx, { userId, windowId }, maxCards))
    const forget: Completion = async (tx) => {
      await forgetNotices(tx, windowId)
      return []
    }
    if (!content) return forget
    const { reader, notices, total } = content
    const kinds = [...new Set(notices.map(({ kind }) => kind))]
    const url = unsubscribeUrl(deps.config, unsubscribeTokenOf(deps.config, { userId, kinds }))
    const mail = noticeMail({
      notices: notices.map(noticeOf),
      total,
      timeZone: reader.timeZone,
      unsubscribeUrl: url,
    })
    await sendMail(deps, { id: deliveryId, to: reader.email, unsubscribeUrl: url, ...mail }, signal)
    return forget
  },
}

const noticeOf = ({ data, ...row }: MailNoticeRow): Notice => ({
  ...row,
  role: textOf(data['role']),
  dueAt: textOf(data['dueAt']),
})

const textOf = (value: unknown): string | null => (typeof value === 'string' ? value : null)
