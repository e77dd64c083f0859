// Which notifications become mails: one for a person and minute, to verified addresses, about what is unread and
// readable when it is sent.
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test'
import type { Worker } from '../../../src/worker/runner.ts'
import { partOf } from '../../support/smtp.ts'
import type { Person, World } from '../../support/world.ts'
import { openMailbox, type Mailbox } from './mailbox.ts'

let mailbox: Mailbox
let world: World
let worker: Worker
let owner: Person
let reader: Person
let projectId: string

beforeAll(async () => {
  mailbox = await openMailbox()
  ;({ world } = mailbox)
  worker = await mailbox.worker()
}, 60_000)

beforeEach(async () => {
  ;({ owner, reader } = await mailbox.people('owner', 'reader'))
  projectId = (await world.project(owner, { editor: [reader] })).id
  // The invitation to the project is a mail of its own.
  await send()
  mailbox.smtp.received.length = 0
}, 30_000)

afterAll(async () => {
  await worker?.[Symbol.asyncDispose]()
  await mailbox?.[Symbol.asyncDispose]()
}, 30_000)

const assign = async (title: string, fields: object = {}): Promise<string> =>
  (await world.ask(owner, 'POST', '/api/tasks', { projectId, title, assigneeId: reader.id, ...fields })).id

/** Sends what is due. */
const send = async (): Promise<void> => {
  await mailbox.settled()
  await mailbox.closeWindows()
  await mailbox.delivered()
}

const subjects = (person = reader): (string | undefined)[] =>
  mailbox.mailsTo(person).map((mail) => mail.header('Subject'))

/** Waits of notices that no mail will take. */
const leftovers = async (): Promise<number> =>
  (await world.server.deps.db.read((sql) => sql`select from mail_notices`)).length

test('one notification is one mail, with its own subject, in the time zone of the reader', async () => {
  await world.ask(reader, 'PATCH', '/api/users/me', { timeZone: 'Asia/Tokyo' })
  await assign('Läuft')
  await send()
  const [mail, ...others] = mailbox.mailsTo(reader)
  expect(others).toEqual([])
  const text = partOf(mail!, 'text/plain')
  expect(text).toContain('assigned “Läuft” to you')
  expect(text).toContain('GMT+9')
  expect(partOf(mail!, 'text/html')).toContain('<bdi>Läuft</bdi>')
  expect(await leftovers()).toBe(0)
})

test('several within a minute are one digest; what follows it is another mail', async () => {
  for (const title of ['One', 'Two', 'Three']) await assign(title)
  await mailbox.settled()
  expect(mailbox.mailsTo(reader)).toEqual([])
  await send()
  expect(subjects()).toEqual(['3 notifications'])
  const text = partOf(mailbox.mailsTo(reader)[0]!, 'text/plain')
  expect([...text.matchAll(/“(\w+)”/g)].map(([, title]) => title)).toEqual(['One', 'Two', 'Three'])
  await assign('Four')
  await send()
  expect(mailbox.mailsTo(reader).length).toBe(2)
  expect(partOf(mailbox.mailsTo(reader)[1]!, 'text/plain')).not.toContain('“One”')
})

test('the actor, an unverified and a disabled person receive none', async () => {
  const stranger = await world.register()
  const { gone } = await mailbox.people('gone')
  for (const person of [stranger, gone])
    await world.ask(owner, 'POST', `/api/projects/${projectId}/members`, {
      email: person.email,
      role: 'editor',
    })
  await world.ask(owner, 'POST', '/api/tasks', { projectId, title: 'Mine', assigneeId: owner.id })
  await assign('Theirs', { assigneeId: stranger.id })
  await assign('Gone', { assigneeId: gone.id })
  await mailbox.settled()
  await world.server.deps.db.transact((tx) => tx`update users set disabled_at = now() where id = ${gone.id}`)
  await send()
  expect(mailbox.smtp.received).toEqual([])
  expect(await leftovers()).toBe(0)
})

test('what is read, deleted, archived or no longer readable when it is sent is left out', async () => {
  const read = await assign('Read')
  const deleted = await assign('Deleted')
  const moved = await assign('Private')
  await assign('Kept')
  await mailbox.settled()
  const { items } = await world.ask(reader, 'GET', '/api/notifications')
  const notification = items.find(({ taskId }: { taskId: string }) => taskId === read)
  await world.ask(reader, 'POST', `/api/notifications/${notification.id}/read`)
  await world.ask(owner, 'DELETE', `/api/tasks/${deleted}`)
  const other = (await world.project(owner)).id
  await world.ask(owner, 'POST', `/api/tasks/${moved}/move`, { projectId: other })
  await send()
  const [mail, ...others] = mailbox.mailsTo(reader)
  expect(others).toEqual([])
  expect(partOf(mail!, 'text/plain')).toContain('assigned “Kept” to you')

  await assign('Archived')
  await mailbox.settled()
  await world.ask(owner, 'POST', `/api/projects/${projectId}/archive`)
  await send()
  expect(mailbox.mailsTo(reader).length).toBe(1)
  expect(await leftovers()).toBe(0)
})

test('a removed member receives no mail about what happened before', async () => {
  await assign('Secret')
  await mailbox.settled()
  await world.ask(owner, 'DELETE', `/api/projects/${projectId}/members/${reader.id}`)
  await send()
  expect(mailbox.smtp.received).toEqual([])
})

test('the name of the project is only in mails to its members', async () => {
  const { id } = await world.ask(owner, 'POST', '/api/tasks', { projectId, title: 'Shared' })
  const { guest } = await mailbox.people('guest')
  await world.ask(owner, 'POST', `/api/tasks/${id}/shares`, { email: guest.email, permission: 'view' })
  await assign('Own')
  await send()
  expect(partOf(mailbox.mailsTo(guest)[0]!, 'text/plain')).not.toContain('Apollo')
  expect(partOf(mailbox.mailsTo(reader)[0]!, 'text/plain')).toContain('Apollo')
})

test('the link of a mail ends mails of its kinds and of no other; the inbox goes on', async () => {
  await assign('One')
  await send()
  const link = mailbox.mailsTo(reader)[0]!.header('List-Unsubscribe')!.slice(1, -1)
  expect(link).toStartWith('https://tasks.example.com/api/mail/unsubscribe?token=')
  const answer = await fetch(link.replace('https://tasks.example.com', world.url), {
    method: 'POST',
    body: new URLSearchParams({ 'List-Unsubscribe': 'One-Click' }),
  })
  expect(answer.status).toBe(200)
  const taskId = await assign('Two')
  await world.ask(owner, 'POST', `/api/tasks/${taskId}/comments`, {
    body: 'Look: <b>here</b>',
    mentions: [reader.id],
  })
  await send()
  expect(mailbox.mailsTo(reader).length).toBe(2)
  const text = partOf(mailbox.mailsTo(reader)[1]!, 'text/plain')
  expect(text).toContain('mentioned you in “Two”')
  expect(text).toContain('  > Look: <b>here</b>')
  expect(text).not.toContain('assigned')
  const { items } = await world.ask(reader, 'GET', '/api/notifications')
  expect(items.map(({ kind }: { kind: string }) => kind).toSorted()).toEqual([
    'assigned',
    'assigned',
    'mentioned',
    'project_invited',
  ])
})

test('a kind that is kept out of the inbox is mailed all the same', async () => {
  await world.ask(reader, 'PATCH', '/api/notifications/preferences', {
    kinds: { assigned: { inApp: false } },
  })
  const id = await assign('Mail only')
  await mailbox.settled()
  const { items } = await world.ask(reader, 'GET', '/api/notifications')
  expect(items.map(({ taskId }: { taskId: string }) => taskId)).not.toContain(id)
  await send()
  expect(partOf(mailbox.mailsTo(reader)[0]!, 'text/plain')).toContain('assigned “Mail only” to you')
  expect(await leftovers()).toBe(0)
})

test('a hostile title adds neither headers nor recipients nor markup', async () => {
  await world.ask(owner, 'PATCH', '/api/users/me', { name: '"Eve" <eve@example.org>' })
  await assign('x <b>bold</b> "><script>alert(1)</script> \u202eevil\u2028Bcc: eve@example.org')
  await send()
  const [mail] = mailbox.mailsTo(reader)
  expect(mail).toMatchObject({ to: [reader.email] })
  expect(mail!.header('Bcc')).toBeUndefined()
  expect(partOf(mail!, 'text/html')).not.toMatch(/<script|<b>|\u202e/)
})

test('thousands of notices of one minute are one mail of bounded size', async () => {
  await world.server.deps.db.transact(
    (tx) => tx`
      insert into mail_windows (user_id, id, closes_at)
      values (${reader.id}, gen_random_uuid(), now() + interval '60 s')
      on conflict (user_id) do update set id = excluded.id, closes_at = excluded.closes_at`,
  )
  const task = await assign('Many')
  await mailbox.settled()
  await world.server.deps.db.transact(
    (tx) => tx`
      insert into mail_notices (id, window_id, user_id, kind, task_id, data, created_at)
      select gen_random_uuid(), w.id, w.user_id, 'commented', ${task}, '{}', now()
      from mail_windows w, generate_series(1, 5000) where w.user_id = ${reader.id}`,
  )
  await send()
  const [mail, ...others] = mailbox.mailsTo(reader)
  expect(others).toEqual([])
  expect(mail!.header('Subject')).toBe('5001 notifications')
  expect(mail!.source.length).toBeLessThan(150_000)
})
