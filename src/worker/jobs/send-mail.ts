// Hands a mail to the mailer, for every kind of mail job.
import { MailFailure, type Mail, type Mailer } from '../../mail/mailer.ts'
import { JobRefused } from './processor.ts'

/** @throws JobRefused where the server refuses this recipient or this content, MailFailure to be tried again. */
export const sendMail = async (
  { mailer }: { mailer: Mailer },
  mail: Mail,
  signal: AbortSignal,
): Promise<void> => {
  try {
    await mailer.send(mail, signal)
  } catch (error) {
    if (error instanceof MailFailure && error.isPermanent) throw new JobRefused(error.message)
    throw error
  }
}
