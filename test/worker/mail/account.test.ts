// Mails with links, from the request over a real SMTP server to what the link does: invitation, verification, reset. They
// go to addresses that are not verified, to no other than the one that was meant, and say nothing to others.
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test'
import type { RunningServer } from '../../../src/app/compose.ts'
import { newId } from '../../../src/model/scalar.ts'
import type { Worker } from '../../../src/worker/runner.ts'
import { partOf, type ReceivedMail } from '../../support/smtp.ts'
import { testPassword, type Person, type World } from '../../support/world.ts'
import { openMailbox, type Mailbox } from './mailbox.ts'

let mailbox: Mailbox
let world: World
/** On the same data, where registration is by invitation. */
let byInvitation: RunningServer
let worker: Worker
let admin: Person

beforeAll(async () => {
  mailbox = await openMailbox()
  ;({ world } = mailbox)
  worker = await mailbox.worker()
  byInvitation = await world.another({ registration: 'invite' })
  admin = await world.registerAdmin()
}, 60_000)

beforeEach(() => {
  mailbox.smtp.received.length = 0
  mailbox.smtp.behaviour = {}
})

afterAll(async () => {
  await worker?.[Symbol.asyncDispose]()
  await byInvitation?.[Symbol.asyncDispose]()
  await mailbox?.[Symbol.asyncDispose]()
}, 30_000)

const freshEmail = (): string => `new-${newId()}@example.com`

/** The only mail to an address, once every delivery has ended. */
const mailTo = async (email: string): Promise<ReceivedMail> => {
  await mailbox.delivered()
  const [mail, ...others] = mailbox.mailsTo({ email })
  expect(others).toEqual([])
  return mail!
}

/** The token of the link, which both forms of the mail have. */
const tokenIn = (mail: ReceivedMail, page: string): string => {
  const pattern = new RegExp(`/api/pages/${page}#token=([\\w.~-]+)`)
  const [inText, inHtml] = ['text/plain', 'text/html'].map((type) => pattern.exec(partOf(mail, type))?.[1])
  expect([inText, inHtml]).toEqual([expect.any(String), inText])
  return inText!
}

const post = async (path: string, body: object, url = world.url) => {
  const headers = { 'Content-Type': 'application/json' }
  const response = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) })
  const text = await response.text()
  return { status: response.status, body: text === '' ? null : JSON.parse(text) }
}

const register = (email: string, invitation?: string) =>
  post(
    '/api/auth/register',
    { email, name: 'New', password: testPassword, ...(invitation !== undefined && { invitation }) },
    byInvitation.url,
  )

test('an invited person registers by the link of the mail, once', async () => {
  const email = freshEmail()
  expect((await register(email)).body.code).toBe('invitation_required')
  await world.ask(admin, 'POST', '/api/invitations', { email })
  const mail = await mailTo(email)
  expect([mail.to, mail.header('Subject')]).toEqual([[email], 'You are invited to Tasktide'])
  expect(partOf(mail, 'text/plain')).toContain('Admin invites you')
  expect(mail.header('List-Unsubscribe')).toBeUndefined()
  const token = tokenIn(mail, 'accept-invitation')
  expect((await register(freshEmail(), token)).body.code).toBe('link_other_account')
  const { status, body } = await register(email, token)
  expect([status, body.user.emailVerified]).toEqual([201, true])
  expect((await register(email, token)).body.code).toBe('link_used')
})

test('an invitation that was withdrawn or is not needed any more before its mail is sent is not sent', async () => {
  const [withdrawn, registered, again] = [freshEmail(), freshEmail(), freshEmail()]
  await mailbox.smtp.stop()
  const { id } = await world.ask(admin, 'POST', '/api/invitations', { email: withdrawn })
  await world.ask(admin, 'POST', '/api/invitations', { email: registered })
  await world.ask(admin, 'POST', '/api/invitations', { email: again })
  await world.ask(admin, 'POST', '/api/invitations', { email: again })
  await world.ask(admin, 'DELETE', `/api/invitations/${id}`)
  await post('/api/auth/register', { email: registered, name: 'New', password: testPassword })
  await mailbox.smtp.start()
  // Of the two to one address the first counts no longer.
  expect((await register(again, tokenIn(await mailTo(again), 'accept-invitation'))).status).toBe(201)
  expect(mailbox.smtp.received.map(({ to }) => to)).toEqual([[again]])
}, 60_000)

test('an unverified address receives the links of verification and reset, and nothing else', async () => {
  const { owner } = await mailbox.people('owner')
  const ada = await world.register('Ada')
  await world.project(owner, { editor: ada })
  await mailbox.settled()
  await mailbox.closeWindows()
  await mailbox.delivered()
  expect(mailbox.mailsTo(ada)).toEqual([])

  await world.ask(ada, 'POST', '/api/auth/email/verify/request')
  const verification = tokenIn(await mailTo(ada.email), 'verify-email')
  expect((await post('/api/auth/email/verify/confirm', { token: verification })).status).toBe(204)
  expect((await post('/api/auth/email/verify/confirm', { token: verification })).body.code).toBe('link_used')

  mailbox.smtp.received.length = 0
  expect((await post('/api/auth/password-reset/request', { email: ada.email })).status).toBe(202)
  const reset = tokenIn(await mailTo(ada.email), 'reset-password')
  const password = 'another horse battery'
  expect((await post('/api/auth/password-reset/confirm', { token: reset, password })).status).toBe(204)
  expect((await post('/api/auth/login', { email: ada.email, password })).status).toBe(200)
}, 60_000)

test('no mail is sent to an address without an account, of a disabled one, or that its account has left', async () => {
  const { ada, bob } = await world.people('ada', 'bob')
  await mailbox.smtp.stop()
  await world.ask(ada, 'POST', '/api/auth/email/verify/request')
  await post('/api/auth/password-reset/request', { email: freshEmail() })
  await post('/api/auth/password-reset/request', { email: ada.email })
  await post('/api/auth/password-reset/request', { email: bob.email })
  const moved = freshEmail()
  await world.ask(ada, 'PATCH', '/api/users/me', { email: moved, currentPassword: testPassword })
  await world.ask(admin, 'PATCH', `/api/users/${bob.id}`, { disabled: true })
  await mailbox.smtp.start()
  await mailbox.delivered()
  expect(mailbox.smtp.received).toEqual([])
}, 60_000)

test('a refused recipient fails permanently, and the answer to its request was the same', async () => {
  const ada = await world.register('Ada')
  mailbox.smtp.behaviour = { onRecipient: () => 550 }
  const answers = [
    await post('/api/auth/password-reset/request', { email: ada.email }),
    await post('/api/auth/password-reset/request', { email: freshEmail() }),
  ]
  expect(answers).toEqual([
    { status: 202, body: null },
    { status: 202, body: null },
  ])
  await mailbox.delivered()
  expect(mailbox.smtp.received).toEqual([])
  const failed = await world.server.deps.db.read(
    (sql) => sql<{ text: string }[]>`
      select d::text as text from deliveries d where state = 'failed' and kind = 'mail.password_reset'`,
  )
  expect(failed).toHaveLength(1)
  expect(failed[0]!.text).not.toContain(ada.email)
})

test('addresses of other scripts and with marks receive their mail', async () => {
  for (const email of [
    `grüße-${newId()}@exämple.de`,
    `имя-${newId()}@пример.рф`,
    `o'neil+${newId()}@example.com`,
  ]) {
    const { status } = await post('/api/auth/register', { email, name: 'Ada', password: testPassword })
    expect([email, status]).toEqual([email, 201])
    await post('/api/auth/password-reset/request', { email })
    await mailbox.delivered()
    const mail = mailbox.smtp.received.at(-1)!
    expect(mail.to).toHaveLength(1)
    const token = tokenIn(mail, 'reset-password')
    const password = 'another horse battery'
    expect((await post('/api/auth/password-reset/confirm', { token, password })).status).toBe(204)
    expect((await post('/api/auth/login', { email, password })).status).toBe(200)
  }
})
