// The inbox over HTTP: listed newest first, read one by one or all at once, and only the caller's.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { Value } from '@sinclair/typebox/value'
import {
  insertNotifications,
  lockConcernedUsers,
  type NewNotification,
} from '../../src/db/notifications/notifications.ts'
import { toNotification } from '../../src/domain/notifications/entries.ts'
import { systemWrite, write } from '../../src/domain/write.ts'
import { shardOf, userScope } from '../../src/model/scope.ts'
import { Notification } from '../../src/model/notification.ts'
import { newId } from '../../src/model/scalar.ts'
import { eventually } from '../support/eventually.ts'
import { frameOf } from '../support/tasks.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

let world: World
let ada: Person
let bob: Person

beforeAll(async () => {
  world = await startWorld()
  ;({ Ada: ada, Bob: bob } = await world.people('Ada', 'Bob'))
})

afterAll(() => world[Symbol.asyncDispose]())

const news = (person: Person, over: Partial<NewNotification> = {}): NewNotification => ({
  userId: person.id,
  kind: 'assigned',
  taskId: newId(),
  projectId: newId(),
  actorId: ada.id,
  data: { title: 'Launch' },
  dedupeKey: newId(),
  ...over,
})

/** What the worker does: rows and their entries in one transaction. */
const record = async (
  notifications: NewNotification[],
  beforeAppend: () => Promise<void> = async () => {},
): Promise<Notification[]> => {
  const { value } = await write(world.server.deps, systemWrite, async (tx) => {
    const rows = await insertNotifications(tx, notifications, await lockConcernedUsers(tx, notifications))
    await beforeAppend()
    return {
      value: rows.map(toNotification),
      entries: rows.map((row) => ({
        scope: userScope(row.userId),
        type: 'notification.created',
        id: row.id,
        data: toNotification(row),
        actorId: null,
      })),
    }
  })
  return value
}

const list = async (person: Person, query = '') =>
  (await world.call('GET', `/api/notifications${query}`, { token: person.token })).body

const idsOf = (items: { id: string }[]): string[] => items.map((item) => item.id)

test('a notification has the documented shape and its actor is public', async () => {
  const eve = await world.register('Eve')
  const [made] = await record([news(eve)])
  expect(Value.Check(Notification, made)).toBe(true)
  expect(made).toMatchObject({ kind: 'assigned', data: { title: 'Launch' }, readAt: null })
  expect(made?.actor).toEqual({ id: ada.id, name: 'Ada', avatarUrl: null })
  expect(await list(eve)).toEqual({ items: [made], nextCursor: null, unreadCount: 1 })
})

test('one cause notifies each user once, and no user who has no access any more', async () => {
  const eve = await world.register('Eve')
  const dedupeKey = 'overdue:task:1'
  const first = await record([news(eve, { dedupeKey }), news(eve, { dedupeKey })])
  expect(first).toHaveLength(1)
  const second = await record([
    news(eve, { dedupeKey }),
    news(bob, { dedupeKey, actorId: newId() }),
    news({ ...bob, id: newId() }, { dedupeKey }),
  ])
  expect(second).toMatchObject([{ actor: null }])
  expect((await list(eve)).items).toHaveLength(1)
  expect(await record([])).toEqual([])
})

test('the list is newest first, by pages, all or unread or read', async () => {
  const eve = await world.register('Eve')
  const made: string[] = []
  for (let count = 0; count < 5; count += 1) made.unshift(...idsOf(await record([news(eve)])))
  await world.call('POST', `/api/notifications/${made[1]}/read`, { token: eve.token })

  const first = await list(eve, '?limit=3')
  expect(idsOf(first.items)).toEqual(made.slice(0, 3))
  const second = await list(eve, `?limit=3&cursor=${first.nextCursor}`)
  expect(idsOf(second.items)).toEqual(made.slice(3))
  expect(second).toMatchObject({ nextCursor: null, unreadCount: 4 })

  const unread = await list(eve, '?unread=true&page=1&limit=2')
  expect(unread).toMatchObject({ page: 1, total: 4, totalPages: 2, unreadCount: 4 })
  expect(idsOf(unread.items)).toEqual([made[0]!, made[2]!])
  expect(idsOf((await list(eve, '?unread=false')).items)).toEqual([made[1]!])
  expect((await list(eve, '?unread=yes')).code).toBe('validation_failed')
  expect((await list(eve, `?unread=true&cursor=${first.nextCursor}`)).code).toBe('bad_cursor')
})

test('pages of notifications of one instant have each of them once, by id', async () => {
  const eve = await world.register('Eve')
  const made = idsOf(await record(Array.from({ length: 45 }, () => news(eve))))
  const old = idsOf(await record([news(eve), news(eve)]))
  await world.server.deps.db.transact(async (tx) => {
    await tx`update notifications set created_at = '2026-01-02T03:04:05.678Z' where id = any(${made}::uuid[])`
    await tx`update notifications set created_at = '2026-01-02T03:04:05.677Z' where id = any(${old}::uuid[])`
  })
  const newestFirst = [...made.toSorted().toReversed(), ...old.toSorted().toReversed()]
  for (const limit of [1, 7, 15, 46]) {
    const seen: string[] = []
    let cursor: string | null = ''
    while (cursor !== null) {
      const page: { items: { id: string }[]; nextCursor: string | null } = await list(
        eve,
        `?limit=${limit}${cursor && `&cursor=${cursor}`}`,
      )
      expect(page.items.length).toBeWithin(1, limit + 1)
      seen.push(...idsOf(page.items))
      cursor = page.nextCursor
    }
    expect(seen).toEqual(newestFirst)
  }
  const numbered = await Promise.all([1, 2, 3].map((page) => list(eve, `?limit=20&page=${page}`)))
  expect(numbered.flatMap(({ items }) => idsOf(items))).toEqual(newestFirst)
})

test('notifications of one transaction are in the order of their causes', async () => {
  const eve = await world.register('Eve')
  // So many that inserting them takes some milliseconds, and locked in the opposite order.
  const causes = Array.from({ length: 2_000 }, (_, n) => news(eve, { dedupeKey: `${9_999 - n}` }))
  const made = idsOf(await record(causes))
  const { items } = await list(eve, '?limit=100')
  expect(idsOf(items)).toEqual(made.slice(-100).toReversed())
})

test('reading one is logged for its user once', async () => {
  const eve = await world.register('Eve')
  const [made] = await record([news(eve)])
  const read = () => world.call('POST', `/api/notifications/${made!.id}/read`, { token: eve.token })
  const answer = await read()
  expect(answer).toMatchObject({ status: 200, body: { ...made, readAt: expect.any(String) } })
  const entry = (await world.entries(userScope(eve.id))).at(-1)
  expect(entry).toMatchObject({ type: 'notification.read', entityId: made!.id, actorId: eve.id })
  expect(frameOf(entry)).toMatchObject({ changed: ['readAt'], data: answer.body })
  expect(answer.headers.get('tide-cursor')).toBe(frameOf(entry).cursor)

  const before = await world.entryCount()
  const again = await read()
  expect(again.body).toEqual(answer.body)
  expect(again.headers.get('etag')).toStartWith('W/"')
  expect(again.headers.get('etag')).toBe(answer.headers.get('etag'))
  expect(again.headers.get('tide-cursor')).toBeNull()
  expect(await world.entryCount()).toBe(before)
})

test("another user's notification is the same 404 as one that does not exist", async () => {
  const [made] = await record([news(bob)])
  const read = (id: string) => world.call('POST', `/api/notifications/${id}/read`, { token: ada.token })
  expect([(await read(made!.id)).status, (await read(newId())).status]).toEqual([404, 404])
  expect((await list(bob)).items.find((item: Notification) => item.id === made!.id).readAt).toBeNull()
})

test('reading all is one entry without an id, and nothing when all is read', async () => {
  const eve = await world.register('Eve')
  await record(Array.from({ length: 250 }, () => news(eve)))
  const [last] = await record([news(eve)])
  const [ofBob] = await record([news(bob)])
  const readAll = () => world.call('POST', '/api/notifications/read-all', { token: eve.token })
  const answer = await readAll()
  expect(answer).toMatchObject({ status: 200, body: { upTo: last!.createdAt, unreadCount: 0 } })
  const entry = (await world.entries(userScope(eve.id))).at(-1)
  expect(entry).toMatchObject({ type: 'notification.read', entityId: null })
  expect(frameOf(entry)).toMatchObject({ id: null, data: { upTo: last!.createdAt } })
  expect(answer.headers.get('tide-cursor')).toBe(frameOf(entry).cursor)
  expect(await list(eve, '?unread=true')).toMatchObject({ items: [], unreadCount: 0 })
  expect((await list(bob)).items.find((item: Notification) => item.id === ofBob!.id).readAt).toBeNull()

  const before = await world.entryCount()
  expect((await readAll()).body).toEqual({ upTo: null, unreadCount: 0 })
  expect(await world.entryCount()).toBe(before)
})

test('what comes in while all is being read is read by the log exactly if it is read in the inbox', async () => {
  const eve = await world.register('Eve')
  const { db } = world.server.deps
  const inserted = Promise.withResolvers<void>()
  const mayAppend = Promise.withResolvers<void>()
  const headIsHeld = Promise.withResolvers<void>()
  const mayRelease = Promise.withResolvers<void>()

  // An early one, not committed yet; a later one that is; then the head of the shard is held, so that the early
  // one and the read-all wait for it in this order.
  const early = record([news(eve)], async () => {
    inserted.resolve()
    await mayAppend.promise
  })
  await inserted.promise
  await record([news(eve)])
  const holder = db.transact(async (tx) => {
    await tx`select from feed_head where shard = ${shardOf(userScope(eve.id))} for update`
    headIsHeld.resolve()
    await mayRelease.promise
  })
  await headIsHeld.promise
  mayAppend.resolve()
  await waiting(1)
  const readAll = world.call('POST', '/api/notifications/read-all', { token: eve.token })
  await waiting(2)
  mayRelease.resolve()
  await Promise.all([early, holder, readAll])

  const unread = new Map<string, string>()
  for (const entry of await world.entries(userScope(eve.id))) {
    const { type, id, data } = frameOf(entry)
    if (type === 'notification.created') unread.set(id, data.createdAt)
    else if (type === 'notification.read')
      for (const [held, createdAt] of unread) if (createdAt <= data.upTo) unread.delete(held)
  }
  expect([...unread.keys()]).toEqual(idsOf((await list(eve, '?unread=true')).items))
})

/** Resolves when this many sessions wait for a lock. */
const waiting = (sessions: number): Promise<void> =>
  eventually(async () => {
    const rows = await world.server.deps.db.read(
      (sql) => sql<{ count: number }[]>`
        select count(*) as count from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'`,
    )
    expect(rows[0]?.count).toBe(sessions)
  })
