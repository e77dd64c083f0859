// What statistics cost: for a user with 1,000 projects among many tasks, few statements that scan no large table, and
// nothing of the log where nothing is uncounted.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Database, Tx } from '../../src/db/client.ts'
import { readStatistics } from '../../src/domain/statistics/statistics.ts'
import type { Actor } from '../../src/model/actor.ts'
import { newId } from '../../src/model/scalar.ts'
import { openTestDatabase, planOptions, type OpenedDatabase } from '../support/database.ts'

const projectCount = 1_000
const otherProjects = 3_000
const tasksEach = 20

let database: OpenedDatabase
let db: Database
const me = newId()
const mine = Array.from({ length: projectCount }, newId)

beforeAll(async () => {
  database = await openTestDatabase(planOptions())
  db = database.db
  await db.transact(
    async (tx) => {
      const projects = [...mine, ...Array.from({ length: otherProjects }, newId)]
      await tx`insert into users (id, email, name, password_hash) values (${me}, 'me@example.com', 'Me', 'none')`
      await tx`insert into projects (id, name) select id, 'Project' from unnest(${projects}::uuid[]) as id`
      await tx`
        insert into members (project_id, user_id, role) select id, ${me}, 'owner' from unnest(${mine}::uuid[]) as id`
      await tx`
        insert into tasks (id, project_id, title, rank, status, due_at, tags, completed_at)
        select gen_random_uuid(), p.id, 'Task', 'a', case when n % 2 = 0 then 'done' else 'todo' end,
          case when n % 5 = 0 then now() + (n - 10) * interval '1 day' end, array['t' || n],
          case when n % 2 = 0 then now() - n * interval '1 day' end
        from projects p cross join generate_series(1, ${tasksEach}::int) as n`
      // As the migration counts them.
      await tx`
        insert into project_statistics (project_id, todo, done, medium)
        select project_id, count(*) filter (where status = 'todo'), count(*) filter (where status = 'done'), count(*)
        from tasks group by project_id`
      await tx`
        insert into project_tag_counts
        select project_id, tag, count(*) from tasks, unnest(tags) as tag group by project_id, tag`
      await tx`
        insert into project_completions
        select project_id, date_bin('15 minutes', completed_at, 'epoch'), count(*)
        from tasks where completed_at is not null group by 1, 2`
      await tx`insert into scope_head (scope, seq) select 'project:' || id, 0 from projects`
      await tx`
        insert into consumer_cursor (consumer, shard, seq) select 'stats', shard, seq from feed_head
        on conflict do nothing`
    },
    { deadlineMs: 60_000 },
  )
  await db.read((sql) => sql`vacuum analyze`, { deadlineMs: 60_000 })
}, 120_000)

afterAll(() => database[Symbol.asyncDispose]())

const large = ['tasks', 'project_statistics', 'project_tag_counts', 'project_completions', 'scope_head']

interface Work {
  scans: number
  logReads: number
}

const workOf = (): Promise<Work> =>
  db.read(async (sql) => {
    await sql`select pg_stat_force_next_flush()`
    const [row] = await sql<Work[]>`
      select coalesce(sum(seq_scan) filter (where relname = any(${large}::text[])), 0)::int as scans,
        coalesce(sum(idx_scan) filter (where relname like 'feed\\_%' and relname <> 'feed_head' and relname <> 'feed_origin'), 0)::int
          as "logReads"
      from pg_stat_user_tables`
    return row!
  })

const actor = { userId: me, role: 'user', credential: { kind: 'system' } } as unknown as Actor

/** Reads statistics, and counts the statements. */
const read = (projectId?: string) =>
  db.snapshot(
    async (tx) => {
      let statements = 0
      const counting = new Proxy(tx, {
        apply(target, that, args: unknown[]) {
          // A template that begins a statement; fragments and names of columns are parts of others.
          const [text] = Array.isArray(args[0]) ? (args[0] as string[]) : []
          if (text !== undefined && /^\s*(?:select|with)\b/.test(text)) statements += 1
          return Reflect.apply(target as never, that, args)
        },
      })
      const within = { of: () => ({ snapshot: (work: (tx: Tx) => unknown) => work(counting) }) }
      const { statistics } = await readStatistics({ db: within as never }, actor, projectId)
      return { statistics, statements }
    },
    { deadlineMs: 60_000 },
  )

test('statistics of a user with 1,000 projects are few statements that scan no table', async () => {
  await read() // prepares the statements
  const before = await workOf()
  const { statistics, statements } = await read()
  const after = await workOf()
  expect(statistics).toMatchObject({
    total: projectCount * tasksEach,
    byStatus: { done: (projectCount * tasksEach) / 2 },
    byPriority: { medium: projectCount * tasksEach },
    overdue: projectCount,
  })
  expect(statistics.byTag.length).toBe(tasksEach)
  expect({ scans: after.scans - before.scans, logReads: after.logReads - before.logReads }).toEqual({
    scans: 0,
    logReads: 0,
  })
  expect(statements).toBeLessThan(30) // parts of the same few statements included, and none for each project
}, 30_000)

test('statistics of one project read that project', async () => {
  await read(mine[0])
  const before = await workOf()
  const { statistics } = await read(mine[0])
  expect(statistics.total).toBe(tasksEach)
  expect((await workOf()).scans - before.scans).toBe(0)
}, 30_000)
