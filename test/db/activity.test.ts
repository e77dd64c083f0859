// Lists of activity among a million rows: none reads the whole table, and what each touches depends on its page and the
// projects of its user alone.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import {
  countActivities,
  selectActivities,
  type ActivityFilter,
  type ActivitySource,
} from '../../src/db/activity/activity.ts'
import type { Database } from '../../src/db/client.ts'
import { newId } from '../../src/model/scalar.ts'
import { openTestDatabase, planOptions, type OpenedDatabase } from '../support/database.ts'

const rows = 1_000_000
const projects = Array.from({ length: 200 }, newId)
const people = Array.from({ length: 50 }, newId)
const me = newId()
/** Half of all rows are of the first project, which is one of mine. */
const mine = projects.slice(0, 20)
const task = newId()
const shared = newId()
const far = { deadlineMs: 170_000 }

let database: OpenedDatabase
let db: Database

beforeAll(async () => {
  database = await openTestDatabase(planOptions(170_000))
  db = database.db
  await db.transact(async (tx) => {
    await tx`
      insert into users (id, email, name, password_hash)
      select id, id || '@example.com', 'Person', 'none' from unnest(${[me, ...people]}::uuid[]) as id`
    await tx`insert into projects (id, name) select id, 'Project' from unnest(${projects}::uuid[]) as id`
    await tx`insert into members (project_id, user_id, role) select id, ${me}, 'owner' from unnest(${mine}::uuid[]) as id`
    await tx`insert into tasks (id, project_id, title, rank) values (${shared}, ${projects[100]!}, 'Shared', 'a')`
    await tx`insert into shares (task_id, user_id, permission) values (${shared}, ${me}, 'view')`
    // Filled without indexes, which are built once at the end: a tenth of the time.
    await tx`
      create temp table built as
      select indexname, indexdef from pg_indexes where tablename = 'activity' and indexname <> 'activity_pkey'`
    await tx`
      do $$ declare one text; begin
        for one in select indexname from built loop execute format('drop index %I', one); end loop;
      end $$`
    await tx`
      insert into activity (id, type, actor_id, project_id, task_id, entity_id, created_at)
      select
        (lpad(to_hex(1763000000000 + n * 10), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid,
        (array['task.created', 'task.updated', 'comment.created'])[1 + n % 3],
        (${people}::uuid[])[1 + n % 49],
        (${projects}::uuid[])[case when n % 2 = 0 then 1 else 1 + n % 200 end],
        case when n % 5000 = 0 then ${task}::uuid when n % 5000 = 99 then ${shared}::uuid end,
        ${task}::uuid, to_timestamp((1763000000000 + n * 10) / 1000.0)
      from (select n::bigint from generate_series(1, ${rows}::int) n) numbers`
    await tx`
      do $$ declare one text; begin
        for one in select indexdef from built loop execute one; end loop;
      end $$`
  }, far)
  await db.read((sql) => sql`vacuum analyze`, far)
}, 180_000)

afterAll(() => database[Symbol.asyncDispose]())

const counters = (): Promise<{ scans: number; pages: number }> =>
  db.read(async (sql) => {
    await sql`select pg_stat_force_next_flush()`
    const [row] = await sql<{ scans: number; pages: number }[]>`
      select s.seq_scan as scans,
        (io.heap_blks_hit + io.heap_blks_read + io.idx_blks_hit + io.idx_blks_read)::int as pages
      from pg_stat_user_tables s join pg_statio_user_tables io using (relid) where s.relname = 'activity'`
    return row!
  })

/** Sequential scans, and pages of the table and its indexes that the work touched. */
const costOf = async (work: () => Promise<unknown>): Promise<{ scans: number; pages: number }> => {
  const before = await counters()
  await work()
  const after = await counters()
  return { scans: after.scans - before.scans, pages: after.pages - before.pages }
}

const middle = '019a7db0-0000-7000-8000-000000000000'

const filters: Record<string, ActivityFilter> = {
  nothing: {},
  'a type': { types: ['task.updated'] },
  'a type that never occurred': { types: ['project.deleted'] },
  'an actor': { actorId: people[7]! },
  'an actor who did nothing': { actorId: people[49]! },
  'an actor and a type that never occurred': {
    actorId: people[7]!,
    types: ['share.removed', 'member.added'],
  },
  'a time': { from: '019a7db0-0000-0000-0000-000000000000', to: middle },
}

const sources: [string, ActivitySource, number][] = [
  ['a project with half of all rows', { kind: 'project', projectId: projects[0]! }, 1],
  ['a small project', { kind: 'project', projectId: projects[3]! }, 1],
  // A filter reads all rows of its task: 200.
  ['a task', { kind: 'task', taskId: task, projectId: projects[0]! }, 17],
  ['everything', { kind: 'own', userId: me }, 21],
]

/** A look into an index: its depth, and the rows of a page. */
const pagesPerLook = 12
const pagesOfPage = 150

for (const [what, source, places] of sources) {
  test.each(Object.keys(filters))(`of ${what}, filtered by %s: bounded by the page`, async (name) => {
    const filter = filters[name]!
    const looks = places * (filter.types?.length ?? (filter.actorId === undefined ? 1 : 17))
    for (const after of [null, [middle]]) {
      const slice = { limit: 20, after, page: null }
      const cost = await costOf(() => db.read((sql) => selectActivities(sql, source, filter, slice)))
      expect(cost.scans).toBe(0)
      expect(cost.pages).toBeLessThan(looks * pagesPerLook + pagesOfPage)
    }
    const deep = { limit: 20, after: null, page: 3 }
    const cost = await costOf(() => db.read((sql) => selectActivities(sql, source, filter, deep)))
    expect(cost.scans).toBe(0)
  })
}

test('counting a small project reads its own rows', async () => {
  const source = { kind: 'project', projectId: projects[3]! } as const
  const cost = await costOf(async () => {
    expect(await db.read((sql) => countActivities(sql, source, {}))).toBe(rows / 200)
  })
  expect(cost.scans).toBe(0)
  expect(cost.pages).toBeLessThan(200)
})

test('rows come newest first and from the right places', async () => {
  const slice = { limit: 100, after: null, page: null }
  const found = await db.read((sql) => selectActivities(sql, { kind: 'own', userId: me }, {}, slice))
  expect(found).toHaveLength(101)
  expect(found.map(({ id }) => id)).toEqual(
    found
      .map(({ id }) => id)
      .toSorted()
      .toReversed(),
  )
  expect(found.every(({ projectId, taskId }) => mine.includes(projectId) || taskId === shared)).toBe(true)
})

test('the counter of sequential scans counts a scan', async () => {
  const { scans } = await costOf(() => db.read((sql) => sql`select max(changes::text) from activity`))
  expect(scans).toBeGreaterThan(0)
})
