// Plans of comments and reminders: nothing reads a whole table, and the authors of a task cost as many probes as there
// are authors, however many comments they wrote.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { Value } from '@sinclair/typebox/value'
import type { Database, Tx } from '../../src/db/client.ts'
import {
  countComments,
  selectComment,
  selectComments,
  selectEarlierAuthors,
  selectTaskIdOfComment,
} from '../../src/db/comments/comments.ts'
import { selectComingDue, selectReminded, wakeReminders } from '../../src/db/tasks/due-soon.ts'
import { Comment } from '../../src/model/comment.ts'
import { newId } from '../../src/model/scalar.ts'
import { openTestDatabase, planOptions, type OpenedDatabase } from '../support/database.ts'

const taskCount = 5_000
const commentCount = 40_000
/** Comments of the one task that all people write to. */
const busyCount = 2_000

let database: OpenedDatabase
let db: Database
const people = Array.from({ length: 8 }, newId)
const projectId = newId()
const busy = newId()

beforeAll(async () => {
  database = await openTestDatabase(planOptions())
  db = database.db
  await db.transact(
    async (tx) => {
      await tx`
        insert into users (id, email, name, password_hash)
        select id, id || '@example.com', 'Person', 'none' from unnest(${people}::uuid[]) as id`
      await tx`insert into projects (id, name) values (${projectId}, 'Project')`
      await tx`
        insert into tasks (id, project_id, title, rank, due_at)
        select case when n = 1 then ${busy}::uuid else gen_random_uuid() end, ${projectId}, 'Task', 'a',
          case when n % 10 = 0 then now() + n * interval '5 minutes' end
        from generate_series(1, ${taskCount}::int) n`
      await tx`
        insert into comments (id, task_id, author_id, body, created_at)
        select gen_random_uuid(), t.id, (${people}::uuid[])[1 + n % 8], repeat('word ', 20), now() + n * interval '1 ms'
        from generate_series(1, ${commentCount}::int) n
        join (select id, row_number() over () as k from tasks) t on t.k = 1 + n % ${taskCount}::int`
      await tx`
        insert into comments (id, task_id, author_id, body, created_at)
        select gen_random_uuid(), ${busy}, (${people}::uuid[])[1 + n % 8], 'Busy', now() + n * interval '1 ms'
        from generate_series(1, ${busyCount}::int) n`
      await tx`
        insert into due_soon_reminders (task_id, recipient_id, check_at)
        select id, (${people}::uuid[])[1 + (row_number() over ())::int % 8], now() + (row_number() over ()) * interval '1 second'
        from tasks where id <> ${busy}`
    },
    { deadlineMs: 60_000 },
  )
  await db.read((sql) => sql`vacuum analyze`, { deadlineMs: 60_000 })
}, 120_000)

afterAll(() => database[Symbol.asyncDispose]())

const tables = ['comments', 'tasks', 'due_soon_reminders']

/** By table. */
const sequentialScans = (): Promise<Record<string, number>> =>
  db.read(async (sql) => {
    await sql`select pg_stat_force_next_flush()`
    const rows = await sql<{ relname: string; count: number }[]>`
      select relname, seq_scan::int as count from pg_stat_user_tables where relname = any(${tables})`
    return Object.fromEntries(rows.map(({ relname, count }) => [relname, count]))
  })

/** Pages of comments and their indexes that the work touches. */
const pagesOf = async (work: () => Promise<unknown>): Promise<number> => {
  const touched = () =>
    db.read(async (sql) => {
      await sql`select pg_stat_force_next_flush()`
      const [row] = await sql<{ count: number }[]>`
        select sum(heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read)::int as count
        from pg_statio_user_tables where relname = 'comments'`
      return row!.count
    })
  const before = await touched()
  await work()
  return (await touched()) - before
}

const slice = { limit: 20, after: null, page: null }

test('a row is a comment of the model', async () => {
  const [first] = await db.read((sql) => selectComments(sql, busy, slice))
  const stored = await db.read((sql) => selectComment(sql, first!.id))
  expect(Value.Check(Comment, stored!.comment)).toBe(true)
  expect(stored!.contentVersion).toBe(1)
})

test('no query of comments or reminders reads a whole table', async () => {
  const [first] = await db.read((sql) => selectComments(sql, busy, slice))
  const { createdAt, id } = first!
  const due = { from: null, except: [], limit: 200 }
  const queries: Record<string, (tx: Tx) => Promise<unknown>> = {
    'the first page': (tx) => selectComments(tx, busy, slice),
    'a page after a key': (tx) => selectComments(tx, busy, { ...slice, after: [createdAt, id] }),
    'a numbered page': (tx) => selectComments(tx, busy, { ...slice, page: 5 }),
    count: (tx) => countComments(tx, busy),
    'the task of a comment': (tx) => selectTaskIdOfComment(tx, id),
    'a comment': (tx) => selectComment(tx, id),
    'earlier authors': (tx) => selectEarlierAuthors(tx, [id]),
    'tasks that come due': (tx) => selectComingDue(tx, due),
    reminders: (tx) => selectReminded(tx, due),
    'reminders of a user': (tx) => wakeReminders(tx, newId()),
  }
  const before = await sequentialScans()
  for (const [name, query] of Object.entries(queries)) {
    await db.transact(query)
    expect({ name, scans: await sequentialScans() }).toEqual({ name, scans: before })
  }
})

test('the authors before a comment are those who wrote earlier, found without reading their comments', async () => {
  const list = await db.read((sql) => selectComments(sql, busy, { ...slice, limit: 6_000 }))
  const authorsAt = async (index: number): Promise<string[]> => {
    const { id } = list[index]!
    return (await db.read((sql) => selectEarlierAuthors(sql, [id]))).get(id)!.toSorted()
  }
  const before = (index: number) =>
    [...new Set(list.slice(0, index).map(({ author }) => author!.id))].toSorted()
  for (const index of [0, 1, 3, 9, list.length - 1]) expect(await authorsAt(index)).toEqual(before(index))
  const last = list.at(-1)!.id
  expect(await pagesOf(() => db.read((sql) => selectEarlierAuthors(sql, [last])))).toBeLessThan(150)
  expect((await db.read((sql) => selectEarlierAuthors(sql, [newId()]))).size).toBe(0)
})
