// What the statements of the due loop and of mails read, on tables without statistics, as a new installation has them when
// many tasks fall due at once: rows for the tasks of a batch, not for all that are due.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { openDatabase, type Database } from '../../src/db/client.ts'
import { selectUnreadAsNotices } from '../../src/db/notifications/mail-notices.ts'
import { comingDue, overdue, type Settled } from '../../src/domain/notifications/due-sources.ts'
import { createLog } from '../../src/log.ts'
import { newId } from '../../src/model/scalar.ts'
import { testDatabase, type TestDatabase } from '../support/environment.ts'

const taskCount = 4_000
const batch = 200
const people = Array.from({ length: 20 }, newId)

let database: TestDatabase
let db: Database

beforeAll(async () => {
  database = await testDatabase()
  // One connection, so that its own counters can be flushed before they are read.
  const log = createLog('test', 'silent')
  db = openDatabase({
    url: database.url,
    max: 1,
    applicationName: 'test',
    log,
    statementTimeoutMs: 60_000,
    deadlineMs: 60_000,
  })
  await db.transact(async (tx) => {
    await tx`alter table tasks set (autovacuum_enabled = off)`
    await tx`alter table notifications set (autovacuum_enabled = off)`
    await tx`
      insert into users (id, email, name, password_hash)
      select id, id || '@example.com', 'Person', 'none' from unnest(${people}::uuid[]) as id`
    // A project each, with the same id.
    await tx`insert into projects (id, name) select id, 'Project' from unnest(${people}::uuid[]) as id`
    await tx`
      insert into members (project_id, user_id, role) select id, id, 'owner' from unnest(${people}::uuid[]) as id`
  })
}, 60_000)

afterAll(async () => {
  await db[Symbol.asyncDispose]()
  await database[Symbol.asyncDispose]()
})

const plant = (dueAt: string): Promise<unknown> =>
  db.transact(
    (tx) => tx`
      insert into tasks (id, project_id, creator_id, title, rank, due_at)
      select gen_random_uuid(), p, p, 'Due', 'a', now() + ${dueAt}::interval
      from (select (${people}::uuid[])[1 + n % ${people.length}::int] as p from generate_series(1, ${taskCount}::int) n) i`,
  )

/** Rows of a table that the work reads, by any plan. */
const rowsRead = async (table: string, work: () => Promise<unknown>): Promise<number> => {
  const read = () =>
    db.read(async (sql) => {
      await sql`select pg_stat_force_next_flush()`
      const [row] = await sql<{ count: number }[]>`
        select (seq_tup_read + idx_tup_fetch)::int as count from pg_stat_user_tables where relname = ${table}`
      return row!.count
    })
  const before = await read()
  await work()
  return (await read()) - before
}

test.each([
  ['overdue', overdue, '-1 minute'],
  ['due soon', comingDue, '1 hour'],
] as const)(
  'a batch of many tasks that are %s reads each of its tasks a few times, and no others',
  async (_name, source, dueAt) => {
    await plant(dueAt)
    let settled: Settled | undefined
    const read = await rowsRead('tasks', () =>
      db.transact(async (tx) => {
        const due = await source.select(tx, { from: null, except: [], limit: batch })
        settled = await source.settle(
          tx,
          due.map(({ id }) => id),
          new Set(people),
        )
      }),
    )
    expect([settled!.handled, settled!.notifications.length]).toEqual([batch, batch])
    expect(read / batch).toBeLessThan(8)
  },
  60_000,
)

test('the notices of a mail are read alone, also where the plan is from a time without notifications', async () => {
  const ids = Array.from({ length: 2_000 }, newId)
  const some = ids.slice(0, 10)
  const select = () => db.read((sql) => selectUnreadAsNotices(sql, some))
  expect(await select()).toEqual([])
  await db.transact(
    (tx) => tx`
      insert into notifications (id, user_id, kind, dedupe_key)
      select id, ${people[0]!}, 'assigned', id::text from unnest(${ids}::uuid[]) as id`,
  )
  const read = await rowsRead('notifications', select)
  expect((await select()).map(({ notificationId }) => notificationId)).toEqual(some)
  expect(read).toBeLessThan(50)
}, 60_000)
