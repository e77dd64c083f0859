// A notice is in exactly one mail, also when it is recorded while the mail of its window is being made.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Database, Tx } from '../../src/db/client.ts'
import type { NewMailNotice } from '../../src/db/notifications/mail-notices.ts'
import { mailNotices, noticesToSend, type NoticesToSend } from '../../src/domain/notifications/mail.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

let world: World
let db: Database
let person: Person
let projectId: string

beforeAll(async () => {
  world = await startWorld()
  ;({ db } = world.server.deps)
  person = await world.register()
  projectId = person.inboxId
  await db.transact((tx) => tx`update users set email_verified_at = now() where id = ${person.id}`)
})

afterAll(() => world[Symbol.asyncDispose]())

const notice = (role: string): NewMailNotice => ({
  userId: person.id,
  notificationId: null,
  kind: 'project_invited',
  taskId: null,
  projectId,
  actorId: null,
  data: { role },
  createdAt: null,
})

const add = (tx: Tx, role: string): Promise<void> => mailNotices(tx, [notice(role)])

const windows = (): Promise<{ windowId: string }[]> =>
  db.read(
    (sql) => sql<{ windowId: string }[]>`
      select payload ->> 'windowId' as "windowId" from deliveries
      where kind = 'mail.notification' and payload ->> 'userId' = ${person.id} order by id`,
  )

const send = (windowId: string): Promise<NoticesToSend | null> =>
  db.transact((tx) => noticesToSend(tx, { userId: person.id, windowId }, 100))

const rolesOf = (content: NoticesToSend | null): unknown[] =>
  content?.notices.map(({ data }) => data['role']) ?? []

test('a mail waits for a notice that is being recorded; the next notice opens another window', async () => {
  await db.transact((tx) => add(tx, 'first'))
  const { windowId } = (await windows()).at(-1)!
  const recorded = Promise.withResolvers<void>()
  const commit = Promise.withResolvers<void>()
  const recording = db.transact(async (tx) => {
    await add(tx, 'second')
    recorded.resolve()
    await commit.promise
  })
  await recorded.promise
  const sending = send(windowId)
  await eventually(async () => {
    const waiting = await db.read(
      (sql) => sql`
        select from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and query like '%mail_windows%'`,
    )
    expect(waiting.length).toBe(1)
  })
  commit.resolve()
  await recording
  expect(rolesOf(await sending)).toEqual(['first', 'second'])

  await db.transact((tx) => add(tx, 'third'))
  const following = (await windows()).at(-1)!.windowId
  expect(following).not.toBe(windowId)
  expect(rolesOf(await send(following))).toEqual(['third'])
  expect(rolesOf(await send(windowId))).toEqual(['first', 'second']) // until its delivery is done
})

test('notices of many transactions at once share one window and one delivery', async () => {
  const before = (await windows()).length
  await Promise.all(Array.from({ length: 20 }, (_, n) => db.transact((tx) => add(tx, `${n}`))))
  const all = await windows()
  expect(all.length).toBe(before + 1)
  expect(rolesOf(await send(all.at(-1)!.windowId)).length).toBe(20)
})

test('an account that is deleted meanwhile takes its window and its notices along', async () => {
  const gone = await world.register()
  await db.transact((tx) => tx`update users set email_verified_at = now() where id = ${gone.id}`)
  const results = await Promise.allSettled([
    ...Array.from({ length: 8 }, () =>
      db.transact((tx) => mailNotices(tx, [{ ...notice('x'), userId: gone.id }])),
    ),
    world.ask(gone, 'DELETE', '/api/users/me', { password: 'correct horse battery' }),
  ])
  expect(results.filter(({ status }) => status === 'rejected')).toEqual([])
  const left = await db.read(
    (sql) => sql`
      select user_id from mail_windows where user_id = ${gone.id}
      union all select user_id from mail_notices where user_id = ${gone.id}`,
  )
  expect(left.length).toBe(0)
})
