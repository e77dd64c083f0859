// Mails as files, while no SMTP server is configured.
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openFileMailer } from '../../src/mail/files.ts'
import { MailFailure } from '../../src/mail/mailer.ts'

const from = { name: 'Tasktide', address: 'tasktide@localhost' }

const mail = {
  id: '019a0000-0000-7000-8000-000000000001',
  to: 'reader@example.org',
  subject: 'Reset your password',
  text: 'https://tasks.example.com/#token=s3cret\n',
  html: '<p>Hello</p>',
  unsubscribeUrl: null,
}

let dataDir: string
let folder: string
let logged: { fields: object; message: string }[]

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'tide-mail-'))
  folder = join(dataDir, 'mail')
  logged = []
})

afterEach(() => rm(dataDir, { recursive: true, force: true }))

const log = { info: (fields: object, message: string) => void logged.push({ fields, message }) }

test('A mail is one complete file that only its owner reads; its path is logged, nothing of its content', async () => {
  await using mailer = openFileMailer({ folder, from, log })
  await mailer.send(mail)
  expect(await readdir(folder)).toEqual([`${mail.id}.eml`])
  const file = join(folder, `${mail.id}.eml`)
  const source = await readFile(file, 'utf8')
  expect(source).toContain('\r\nTo: reader@example.org\r\n')
  expect(source).toContain('token=s3cret')
  expect((await stat(file)).mode & 0o077).toBe(0)
  expect(logged).toMatchObject([{ fields: { file } }])
  expect(JSON.stringify(logged)).not.toMatch(/reader|s3cret|Reset/)
})

test('The same mail again is the same file', async () => {
  await using mailer = openFileMailer({ folder, from, log })
  await mailer.send(mail)
  await mailer.send(mail)
  expect(await readdir(folder)).toEqual([`${mail.id}.eml`])
})

test('A folder that cannot be written is a temporary failure that names no content', async () => {
  await writeFile(folder, '') // a file in the place of the folder
  await using mailer = openFileMailer({ folder, from, log })
  const error: unknown = await mailer.send(mail).catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(MailFailure)
  expect(error).toMatchObject({
    isPermanent: false,
    message: 'mails cannot be stored: mail in TIDE_DATA is no folder: remove it, or set another TIDE_DATA',
  })
  expect(logged).toEqual([])
})
