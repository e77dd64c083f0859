// Mails as files, while no SMTP server is configured: one .eml each, which every mail program opens. Invariant: a file
// is complete or absent, and the same id writes the same file again.
import { access, constants, mkdir, open, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { OnFirstUse } from '../async/on-first-use.ts'
import type { MailSender } from '../settings/smtp-url.ts'
import { codeOfError } from '../start/failure.ts'
import { folderTrouble, type Trouble } from '../start/trouble.ts'
import { MailFailure, MailHealth, type Mailer } from './mailer.ts'
import { messageOf } from './message.ts'

export interface FileMailerOptions {
  folder: string
  from: MailSender
  log: { info: (fields: object, message: string) => void }
}

export const openFileMailer = ({ folder, from, log }: FileMailerOptions): Mailer => {
  const transport = new OnFirstUse(async () => {
    const { createTransport } = await import('nodemailer')
    return createTransport({ streamTransport: true, buffer: true, newline: 'windows' })
  })
  const health = new MailHealth(async () => {
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 })
      await access(folder, constants.W_OK)
      return null
    } catch (error) {
      return troubleOf(error)
    }
  })
  return {
    destination: folder,
    health,
    async send(mail) {
      const { message } = await (await transport.get()).sendMail(messageOf(mail, from))
      const file = join(folder, `${mail.id}.eml`)
      try {
        await writeDurably(folder, file, message)
        health.note(null)
      } catch (error) {
        const trouble = troubleOf(error)
        health.note(trouble)
        throw new MailFailure(trouble.text, false)
      }
      log.info({ file }, 'mail written to a file, because SMTP_URL is not set')
    },
    [Symbol.asyncDispose]: async () => (await transport.made)?.close(),
  }
}

const troubleOf = (error: unknown): Trouble => {
  const code = codeOfError(error)
  const known = folderTrouble(code, 'mail')
  const text = `mails cannot be stored: ${known?.text ?? (code || 'unknown error')}`
  return { text, isTemporary: known?.isTemporary ?? false }
}

/** Links in mails are secrets: only the owner reads the file. */
const writeDurably = async (
  folder: string,
  file: string,
  content: Buffer | NodeJS.ReadableStream,
): Promise<void> => {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const temporary = `${file}.${Bun.randomUUIDv7()}.tmp`
  const handle = await open(temporary, 'wx', 0o600)
  try {
    await handle.writeFile(content)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(temporary, file)
}
