// Chooses the driver by the settings.
import { join } from 'node:path'
import type { Config } from '../config.ts'
import type { Log } from '../log.ts'
import { readMailSender, readSmtpUrl } from '../settings/smtp-url.ts'
import { openFileMailer } from './files.ts'
import type { Mailer } from './mailer.ts'
import { openSmtpMailer } from './smtp.ts'

export type MailConfig = Pick<Config, 'smtpUrl' | 'mailFrom' | 'dataDir'>

/** The folder of mails that no SMTP server takes. */
export const mailFolderOf = ({ dataDir }: Pick<Config, 'dataDir'>): string => join(dataDir, 'mail')

/** Opens no connection yet. */
export const openMailer = (config: MailConfig, log: Log): Mailer => {
  const from = readMailSender(config.mailFrom)!
  return config.smtpUrl === null
    ? openFileMailer({ folder: mailFolderOf(config), from, log })
    : openSmtpMailer({ address: readSmtpUrl(config.smtpUrl).address, from })
}
