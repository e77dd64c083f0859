// A mail as nodemailer takes it. Invariant: no text that a person chose reaches a header without passing `headerText`,
// and nodemailer reads no file and no URL on behalf of a mail.
import type { SendMailOptions } from 'nodemailer'
import type { MailSender } from '../settings/smtp-url.ts'
import { isMailAddress } from './address.ts'
import { MailFailure, type Mail } from './mailer.ts'
import { headerText } from './safe-text.ts'

/** @throws MailFailure for an address that could be read as more than one. */
export const messageOf = (mail: Mail, from: MailSender): SendMailOptions => {
  if (!isMailAddress(mail.to)) throw new MailFailure('mail: no usable address', true)
  const domain = from.address.slice(from.address.indexOf('@') + 1)
  return {
    from,
    to: { name: '', address: mail.to },
    envelope: { from: from.address, to: [mail.to] },
    subject: headerText(mail.subject),
    text: mail.text,
    html: mail.html,
    messageId: `<${mail.id}@${domain}>`,
    headers: {
      'Auto-Submitted': 'auto-generated', // no vacation replies (RFC 3834)
      'X-Auto-Response-Suppress': 'All',
      ...(mail.unsubscribeUrl !== null && {
        'List-Unsubscribe': `<${mail.unsubscribeUrl}>`,
        'List-Unsubscribe-Post': 'List-Unsubscribe=One-Click',
      }),
    },
    disableFileAccess: true,
    disableUrlAccess: true,
  }
}
