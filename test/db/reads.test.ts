// The statements of coalesced reads: every caller sees what a read of its own would give, and no plan reads a table.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Database } from '../../src/db/client.ts'
import { selectHeadsForEach, selectReadableHeads } from '../../src/db/log/scope-heads.ts'
import { selectProject, selectProjectForEach } from '../../src/db/projects/projects.ts'
import { openReads } from '../../src/db/reads.ts'
import { TaskTexts } from '../../src/db/tasks/task-texts.ts'
import { selectTasks } from '../../src/db/tasks/tasks.ts'
import { selectUser, selectUserForEach } from '../../src/db/users/users.ts'
import { newId } from '../../src/model/scalar.ts'
import { projectScope, userScope } from '../../src/model/scope.ts'
import { openTestDatabase, planOptions, type OpenedDatabase } from '../support/database.ts'

let database: OpenedDatabase
let db: Database
const users = Array.from({ length: 200 }, newId)
/** Small tables are rightly read whole. */
const others = Array.from({ length: 5_000 }, newId)
const projects = Array.from({ length: 400 }, newId)
let tasks: string[]

beforeAll(async () => {
  database = await openTestDatabase(planOptions())
  db = database.db
  await db.transact(
    async (tx) => {
      await tx`
        insert into users (id, email, name, password_hash)
        select id, id || '@example.com', 'Reader', 'none' from unnest(${[...users, ...others]}::uuid[]) as id`
      await tx`insert into projects (id, name) select id, 'Project' from unnest(${[...projects, ...others]}::uuid[]) as id`
      await tx`
        insert into members (project_id, user_id, role)
        select (${projects}::uuid[])[p], (${users}::uuid[])[1 + (p * 7 + m * 13) % 200], (array['owner', 'editor', 'viewer'])[m]
        from generate_series(1, 400) p, generate_series(1, 3) m`
      await tx`
        insert into tasks (id, project_id, title, rank)
        select gen_random_uuid(), (${projects}::uuid[])[1 + n % 400], 'Task ' || n, 'a' from generate_series(1, 20000) n`
      await tx`
        insert into shares (task_id, user_id, permission)
        select id, (${users}::uuid[])[1 + n % 200], case when n % 2 = 0 then 'view' else 'edit' end
        from (select id, row_number() over (order by id)::int as n from tasks) t where n % 5 = 0`
      await tx`
        insert into scope_head (scope, seq)
        select 'project:' || id, 7 from unnest(${[...projects, ...others]}::uuid[]) as id
        union all select 'user:' || id, 9 from unnest(${users.slice(100)}::uuid[]) as id`
    },
    { deadlineMs: 60_000 },
  )
  await db.read((sql) => sql`vacuum analyze`, { deadlineMs: 60_000 })
  tasks = (await db.read((sql) => sql<{ id: string }[]>`select id from tasks`)).map(({ id }) => id)
}, 120_000)

afterAll(() => database[Symbol.asyncDispose]())

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e9))
const random = (() => {
  let state = seed >>> 0
  return (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
})()
const any = <T>(list: T[]): T => list[random(list.length)]!

const relations = ['tasks', 'members', 'shares', 'projects', 'users', 'scope_head']

const sequentialScans = (): Promise<Record<string, number>> =>
  db.read(async (sql) => {
    await sql`select pg_stat_force_next_flush()`
    const rows = await sql<{ name: string; count: number }[]>`
      select relname as name, seq_scan::int as count from pg_stat_user_tables
      where relname = any(${relations}) order by relname`
    return Object.fromEntries(rows.map(({ name, count }) => [name, count]))
  })

test.each([1, 64])('no plan for %i keys reads a whole table', async (count) => {
  const pairs = Array.from({ length: count }, () => ({ userId: any(users), id: any(tasks) }))
  const inProjects = pairs.map(({ userId }) => ({ userId, id: any(projects) }))
  const lists = pairs.map(({ userId }) => [userScope(userId), projectScope(any(projects))])
  const before = await sequentialScans()
  await db.read(async (sql) => {
    const texts = new TaskTexts()
    await texts.selectForEach(sql, pairs)
    await texts.selectForEach(sql, pairs)
    await selectProjectForEach(sql, inProjects)
    await selectUserForEach(
      sql,
      pairs.map(({ userId }) => userId),
    )
    await selectHeadsForEach(sql, lists)
    await selectReadableHeads(sql, pairs[0]!.userId, 200)
  })
  expect(await sequentialScans()).toEqual(before)
})

test('what is counted here would be seen', async () => {
  const before = await sequentialScans()
  await db.read((sql) => sql`select max(length(title)) from tasks`)
  expect((await sequentialScans())['tasks']).toBeGreaterThan(before['tasks']!)
})

test(`reads of many users at once give each what a lone read gives, SEED=${seed}`, async () => {
  const reads = openReads(db)
  for (let round = 0; round < 5; round += 1) {
    await db.transact(
      (tx) => tx`
        update tasks set title = ${`Title ${round}`}, version = version + 1
        where id = any(${tasks.slice(0, 50).filter(() => random(3) === 0)}::uuid[])`,
    )
    const asked = Array.from({ length: 100 }, () => ({
      userId: any(users.slice(0, 20)),
      id: random(10) === 0 ? newId() : any(tasks.slice(0, 50)),
      projectId: random(10) === 0 ? newId() : any(projects.slice(0, 50)),
      otherId: random(10) === 0 ? newId() : any(users),
    }))
    const together = await Promise.all(
      asked.map(async ({ userId, id, projectId, otherId }) => [
        await reads.task(userId, id),
        await reads.project(userId, projectId),
        await reads.user(userId, otherId),
      ]),
    )
    for (const [index, { userId, id, projectId, otherId }] of asked.entries()) {
      const [row] = await db.read((sql) => selectTasks(sql, userId, [id]))
      const lone = row && {
        version: row.task.version,
        text: JSON.stringify(row.task),
        member: row.member,
        share: row.share,
      }
      expect(together[index]).toEqual([
        lone ?? null,
        await db.read((sql) => selectProject(sql, userId, projectId)),
        await db.read((sql) => selectUser(sql, otherId)),
      ])
    }
  }
})

test('heads come in the order of their scopes; a scope without entries has 0', async () => {
  const [quiet, busy] = [userScope(users[0]!), userScope(users[150]!)]
  const lists = [[quiet, busy], [projectScope(projects[3]!)], [], [busy, quiet, busy]]
  const heads = await db.read((sql) => selectHeadsForEach(sql, lists))
  expect(heads.map((text) => text.split(' ')[1])).toEqual(['0,9', '7', '', '9,0,9'])
  expect(new Set(heads.map((text) => text.split(' ')[0])).size).toBe(1)
})

test('readable scopes are those of the user, of memberships and of shared tasks, unless they are too many', async () => {
  const userId = users[30]!
  const found = await db.read((sql) => selectReadableHeads(sql, userId, 200))
  const ids = await db.read(
    (sql) => sql<{ id: string }[]>`
      select project_id as id from members where user_id = ${userId}
      union select t.project_id from shares s join tasks t on t.id = s.task_id where s.user_id = ${userId}`,
  )
  expect(found!.scopes.toSorted()).toEqual(
    [userScope(userId), ...ids.map(({ id }) => projectScope(id))].toSorted(),
  )
  const again = await db.read((sql) => selectHeadsForEach(sql, [found!.scopes]))
  expect([found!.heads]).toEqual(again)
  expect(await db.read((sql) => selectReadableHeads(sql, userId, ids.length + 1))).not.toBeNull()
  expect(await db.read((sql) => selectReadableHeads(sql, userId, ids.length))).toBeNull()
})

test('a version that comes again with another change, as after a restored backup, is read', async () => {
  const reads = openReads(db)
  const id = tasks[60]!
  const userId = users[0]!
  const titleOf = async () => JSON.parse((await reads.task(userId, id))!.text).title
  const change = (title: string, version: number, at: string) =>
    db.transact(
      (tx) =>
        tx`update tasks set title = ${title}, version = ${version}, updated_at = ${at} where id = ${id}`,
    )
  await change('lost', 7, '2026-11-20T10:00:00.000Z')
  expect([await titleOf(), await titleOf()]).toEqual(['lost', 'lost'])
  await change('other', 7, '2026-11-20T11:00:00.000Z')
  expect(await titleOf()).toBe('other')
})

test('texts are kept within a bound', async () => {
  const texts = new TaskTexts(100_000)
  for (let start = 0; start < 500; start += 100) {
    const pairs = tasks.slice(start, start + 100).map((id) => ({ userId: users[0]!, id }))
    await db.read((sql) => texts.selectForEach(sql, pairs))
    expect(texts.bytes).toBeWithin(90_000, 100_001)
  }
})
