// Plans of lists: no order, filter or page reads the whole table of tasks.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Database } from '../../src/db/client.ts'
import { countTasks, selectTaskPage, sortKeyOf, type TaskFilter } from '../../src/db/tasks/task-list.ts'
import { taskSorts } from '../../src/db/tasks/task-sorts.ts'
import { hasTasksWithoutWords } from '../../src/db/tasks/task-words.ts'
import { backfillTaskWords } from '../../src/domain/tasks/task-words.ts'
import { newId } from '../../src/model/scalar.ts'
import { openTestDatabase, planOptions, type OpenedDatabase } from '../support/database.ts'

const projectCount = 100
const taskCount = 30_000

let database: OpenedDatabase
let db: Database
const me = newId()
/** A user with two of the 30,002 tasks. */
const newcomer = newId()
const inbox = newId()
let mine: string[]

beforeAll(async () => {
  database = await openTestDatabase(planOptions())
  db = database.db
  const others = Array.from({ length: 50 }, newId)
  const projects = Array.from({ length: projectCount }, newId)
  mine = projects.slice(0, 10)
  await db.transact(
    async (tx) => {
      await tx`
        insert into users (id, email, name, password_hash)
        select id, id || '@example.com', 'Person', 'none' from unnest(${[me, newcomer, ...others]}::uuid[]) as id`
      await tx`insert into projects (id, name) select id, 'Project' from unnest(${[...projects, inbox]}::uuid[]) as id`
      await tx`insert into members (project_id, user_id, role) values (${inbox}, ${newcomer}, 'owner')`
      await tx`
        insert into tasks (id, project_id, title, rank, created_at)
        values (${newId()}, ${inbox}, 'common', 'a', now() - interval '1 minute'), (${newId()}, ${inbox}, 'common ground', 'b', now())`
      await tx`
        insert into members (project_id, user_id, role) select id, ${me}, 'owner' from unnest(${mine}::uuid[]) as id`
      await tx`
        insert into tasks (id, project_id, title, status, priority, assignee_id, creator_id, due_at, tags, rank,
          completed_at, created_at, updated_at)
        select gen_random_uuid(), (${projects}::uuid[])[1 + n % ${projectCount}], md5(n::text) || ' common', status,
          (array['low', 'medium', 'high', 'urgent'])[1 + n % 4],
          case when n % 3 = 0 then (${[me, ...others]}::uuid[])[1 + n % 51] end, (${[me, ...others]}::uuid[])[1 + n % 51],
          case when n % 2 = 0 then now() + (n % 999 - 500) * interval '1 hour' end, array['t' || n % 200],
          'c' || lpad(n::text, 6, '0'), case when status = 'done' then now() end,
          now() - n * interval '1 second', now() - n * interval '1 second'
        from (
          select n, (array['todo', 'in_progress', 'done', 'cancelled'])[1 + n * 31 % 4] as status
          from generate_series(1, ${taskCount}::int) as n
        ) numbers`
      await tx`
        insert into shares (task_id, user_id, permission)
        select id, ${me}, 'view' from tasks where project_id = any(${projects.slice(50)}::uuid[]) limit 100`
    },
    { deadlineMs: 60_000 },
  )
  while ((await db.transact((tx) => backfillTaskWords(tx, 5_000), { deadlineMs: 60_000 })).value.tasks > 0);
  await db.read((sql) => sql`vacuum analyze`, { deadlineMs: 60_000 })
}, 120_000)

afterAll(() => database[Symbol.asyncDispose]())

const sequentialScans = (): Promise<number> =>
  db.read(async (sql) => {
    await sql`select pg_stat_force_next_flush()`
    const [row] = await sql<{ count: number }[]>`
      select seq_scan as count from pg_stat_user_tables where relname = 'tasks'`
    return row!.count
  })

const filters = (): Record<string, TaskFilter> => ({
  nothing: {},
  search: { words: ['comm'] },
  'rare search': { words: ['abcd', 'comm'] },
  'search while some tasks have no words': { words: ['comm'], document: "'comm':*" },
  'tag while some tasks have no words': { tags: ['t7'], document: '' },
  tag: { tags: ['t7'] },
  status: { statuses: ['todo'] },
  'assigned to me': { assigneeId: me },
  unassigned: { assigneeId: null },
  'created by me': { creatorId: me },
  parent: { parentId: newId() },
  overdue: { overdue: true },
  'shared with me': { shared: true },
  'not shared': { shared: false },
  'due soon': { due: { from: '2026-01-01T00:00:00.000Z', to: '2027-01-01T00:00:00.000Z' } },
})

test.each(Object.keys(filters()))(
  'filtered by %s: every order, first, deep, by number and counted',
  async (name) => {
    const filter = filters()[name]!
    for (const scope of [{}, { projectId: mine[0]! }]) {
      const asked = { ...filter, ...scope }
      const before = await sequentialScans()
      await db.read(async (sql) => {
        for (const by of taskSorts) {
          for (const descending of [false, true]) {
            const order = { by, descending }
            const slice = { limit: 20, after: null, page: null }
            const first = await selectTaskPage(sql, me, asked, order, { ...slice, limit: 100 })
            if (first.length > 20)
              await selectTaskPage(sql, me, asked, order, { ...slice, after: sortKeyOf(first[19]!) })
            await selectTaskPage(sql, me, asked, order, { ...slice, page: 3 })
          }
        }
        await countTasks(sql, me, asked)
      })
      expect({ name, scope, scans: (await sequentialScans()) - before }).toEqual({ name, scope, scans: 0 })
    }
  },
  20_000,
)

/** Pages of tables and indexes that a statement touches, of memory or disk. */
const pagesOf = (userId: string, filter: TaskFilter): Promise<number> =>
  db.read(async (sql) => {
    const touched = async (): Promise<number> => {
      await sql`select pg_stat_force_next_flush()`
      const [row] = await sql<{ count: number }[]>`
        select sum(heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read + coalesce(toast_blks_hit, 0)
          + coalesce(toast_blks_read, 0))::int as count
        from pg_statio_user_tables where relname = 'tasks'`
      return row!.count
    }
    const before = await touched()
    await selectTaskPage(sql, userId, filter, { by: 'createdAt', descending: true }, slice)
    await countTasks(sql, userId, filter)
    return (await touched()) - before
  })

const slice = { limit: 20, after: null, page: null }

test('the query for tasks without words reads an index', async () => {
  const before = await sequentialScans()
  expect(await db.read(hasTasksWithoutWords)).toBe(false)
  expect((await sequentialScans()) - before).toBe(0)
})

test('the cost of a search depends on the tasks its user may read, not on all tasks', async () => {
  const letters = ['a', 'b', 'c', 'd', 'e', 'f', '0', '1']
  const common: TaskFilter = { words: ['comm'] }
  for (const filter of [common, { words: letters }, { words: ['zz'] }, { tags: ['t7'] }]) {
    expect(await pagesOf(newcomer, filter)).toBeLessThan(100)
    expect(await pagesOf(newcomer, { ...filter, projectId: inbox })).toBeLessThan(100)
  }
  const found = await db.read((sql) =>
    selectTaskPage(sql, newcomer, common, { by: 'createdAt', descending: true }, slice),
  )
  expect(found.map(({ title }) => title)).toEqual(['common ground', 'common'])
})

test('the counter of sequential scans counts a scan of tasks', async () => {
  const before = await sequentialScans()
  await db.read((sql) => sql`select max(length(title)) from tasks`)
  expect((await sequentialScans()) - before).toBeGreaterThan(0)
})
