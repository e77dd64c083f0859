// Overdue tasks: one notification for each due time, to the first user who can read the task, in any number of workers.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { openDatabase } from '../../src/db/client.ts'
import { createLog } from '../../src/log.ts'
import { overdue } from '../../src/domain/notifications/due-sources.ts'
import { newDueStats, notifyDue } from '../../src/worker/loops/due.ts'
import { prepared } from '../support/tasks.ts'
import { testDatabase } from '../support/environment.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { announced, inboxes, withWorkers } from './rig.ts'

const log = createLog('test', 'silent')
const signal = new AbortController().signal
const soon = (ms: number): string => new Date(Date.now() + ms).toISOString()

let world: World
let owner: Person
let editor: Person
let projectId: string

beforeAll(async () => {
  world = await startWorld()
  ;({ owner, editor } = await world.people('owner', 'editor'))
  projectId = (await world.project(owner, { editor })).id
})

afterAll(() => world[Symbol.asyncDispose]())

const newTask = async (who: Person, fields: object): Promise<string> =>
  (await prepared(() => world.ask(who, 'POST', '/api/tasks', { projectId, title: 'Write it', ...fields }))).id

/** One run of the loop. */
const runOnce = async (stats = newDueStats()) => {
  await notifyDue({ ...world.server.deps, stats, signal }, overdue)
  return stats
}

const notified = async (taskId: string): Promise<string[]> => {
  const inbox = await inboxes(world)
  expect(await announced(world)).toEqual(inbox)
  return inbox.filter((line) => line.startsWith(`overdue ${taskId}`)).map((line) => line.split(' ')[2]!)
}

test('an overdue task is notified once, with its log entry', async () => {
  const task = await newTask(owner, { assigneeId: editor.id, dueAt: soon(-1000) })
  await runOnce()
  await runOnce()
  expect(await notified(task)).toEqual([editor.id])
})

test('tasks that are not due, done or cancelled are not notified', async () => {
  const tasks = [
    await newTask(owner, { dueAt: soon(60_000) }),
    await newTask(owner, { dueAt: soon(-1000), status: 'done' }),
    await newTask(owner, { dueAt: soon(-1000), status: 'cancelled' }),
  ]
  await runOnce()
  expect((await Promise.all(tasks.map(notified))).flat()).toEqual([])
})

test('a new due time and reopening make a task overdue again, other changes do not', async () => {
  const task = await newTask(owner, { dueAt: soon(-1000) })
  const change = async (fields: object) => {
    await world.ask(owner, 'PATCH', `/api/tasks/${task}`, fields)
    await runOnce()
    return (await notified(task)).length
  }
  await runOnce()
  expect(await change({ title: 'Other' })).toBe(1)
  expect(await change({ dueAt: soon(-500) })).toBe(2)
  expect(await change({ status: 'done' })).toBe(2)
  expect(await change({ status: 'todo' })).toBe(3)
})

test('the recipient is the first of assignee, creator and owners who can read the task', async () => {
  const leaving = await world.register()
  await world.ask(owner, 'POST', `/api/projects/${projectId}/members`, {
    email: leaving.email,
    role: 'editor',
  })
  const toCreator = await newTask(editor, { assigneeId: leaving.id, dueAt: soon(-1000) })
  const toOwner = await newTask(leaving, { assigneeId: leaving.id, dueAt: soon(-1000) })
  const shared = await newTask(leaving, { assigneeId: leaving.id, dueAt: soon(-1000) })
  await world.ask(owner, 'DELETE', `/api/projects/${projectId}/members/${leaving.id}`)
  await world.ask(owner, 'POST', `/api/tasks/${shared}/shares`, { userId: leaving.id, permission: 'view' })
  await runOnce()
  expect(await notified(toCreator)).toEqual([editor.id])
  expect(await notified(toOwner)).toEqual([owner.id])
  expect(await notified(shared)).toEqual([leaving.id])
})

test("an admin, who may read everything, receives no notification of other users' tasks", async () => {
  const admin = await world.registerAdmin()
  const task = await newTask(owner, { dueAt: soon(-1000) })
  await world.server.deps.db.transact(
    (tx) => tx`update tasks set assignee_id = ${admin.id} where id = ${task}`,
  )
  await runOnce()
  expect(await notified(task)).toEqual([owner.id])
})

test('tasks of an archived project wait until it is unarchived and delay no others', async () => {
  const archived = (await world.ask(owner, 'POST', '/api/projects', { name: 'Old' })).id
  const waiting = await newTask(owner, { projectId: archived, dueAt: soon(-5000) })
  await world.ask(owner, 'POST', `/api/projects/${archived}/archive`)
  const other = await newTask(owner, { dueAt: soon(-1000) })
  await runOnce()
  expect(await notified(waiting)).toEqual([])
  expect(await notified(other)).toEqual([owner.id])
  await world.ask(owner, 'POST', `/api/projects/${archived}/unarchive`)
  await runOnce()
  expect(await notified(waiting)).toEqual([owner.id])
})

test('a locked task is left to the next run, without waiting', async () => {
  const locked = await newTask(owner, { dueAt: soon(-5000) })
  const free = await newTask(owner, { dueAt: soon(-1000) })
  await world.server.deps.db.transact(async (tx) => {
    await tx`select from tasks where id = ${locked} for update`
    await runOnce()
  })
  expect(await notified(locked)).toEqual([])
  expect(await notified(free)).toEqual([owner.id])
  await runOnce()
  expect(await notified(locked)).toEqual([owner.id])
})

test('the tasks of a locked project are left to the next run and delay no others', async () => {
  const busy = (await world.ask(owner, 'POST', '/api/projects', { name: 'Busy' })).id
  const instant = soon(-5000)
  const waiting = await Promise.all(
    Array.from({ length: 210 }, () => newTask(owner, { projectId: busy, dueAt: instant })),
  )
  const free = await newTask(owner, { dueAt: instant })
  await world.server.deps.db.transact(async (tx) => {
    await tx`select from projects where id = ${busy} for update`
    await runOnce()
  })
  expect(await notified(waiting[0]!)).toEqual([])
  expect(await notified(free)).toEqual([owner.id])
  expect((await runOnce()).tasks).toBe(210)
}, 20_000)

test('two workers that run all the time notify of each due time once', async () => {
  await withWorkers(2, { ...world, overdueIntervalMs: 100 }, async () => {
    const tasks = await Promise.all(
      Array.from({ length: 60 }, (_, n) => newTask(owner, { dueAt: soon(n * 20), assigneeId: editor.id })),
    )
    const wanted = tasks.map((id) => `overdue ${id} ${editor.id}`).sort()
    const ofThese = (lines: string[]) => lines.filter((line) => wanted.includes(line))
    await eventually(
      async () => expect(ofThese(await inboxes(world)).length).toBeGreaterThanOrEqual(wanted.length),
      {
        timeoutMs: 20_000,
        everyMs: 50,
      },
    )
    expect(ofThese(await inboxes(world))).toEqual(wanted)
    expect(ofThese(await announced(world))).toEqual(wanted)
  })
}, 30_000)

test('100,000 tasks due at one instant are each notified once, in bounded memory and transactions', async () => {
  const count = 100_000
  await using database = await testDatabase()
  await using db = openDatabase({
    url: database.url,
    max: 4,
    applicationName: 'overdue',
    log,
    statementTimeoutMs: 60_000,
    deadlineMs: 60_000,
  })
  await db.transact(
    async (tx) => {
      await tx`
        insert into users (id, email, name, password_hash)
        select gen_random_uuid(), n || '@example.com', 'Person', '' from generate_series(1, 100) n`
      await tx`insert into projects (id, name) select gen_random_uuid(), 'Project' from users`
      await tx`
        insert into members (project_id, user_id, role)
        select p.id, u.id, 'owner'
        from (select id, row_number() over () as n from projects) p
        join (select id, row_number() over () as n from users) u using (n)`
    },
    { deadlineMs: 60_000 },
  )
  // In pieces, because a statement may take a minute.
  const piece = 5_000
  for (let from = 0; from < count; from += piece)
    await db.transact(
      (tx) => tx`
        insert into tasks (id, project_id, title, rank, creator_id, due_at)
        select gen_random_uuid(), m.project_id, 'Task ' || n, 'a', m.user_id, now()
        from generate_series(${from + 1}::int, ${from + piece}::int) n
        join (select *, row_number() over () as k from members) m on m.k = n % 100 + 1`,
      { deadlineMs: 60_000 },
    )
  const stats = newDueStats()
  Bun.gc(true)
  const before = process.memoryUsage().rss
  const startedAt = performance.now()
  await notifyDue({ db, publisher: { publish() {} }, stats, signal }, overdue)
  const seconds = (performance.now() - startedAt) / 1000
  const megabytes = (process.memoryUsage().rss - before) / 1024 / 1024
  console.log({ count, seconds, megabytes, transactions: stats.transactions })
  const [row] = await db.read(
    (sql) => sql<{ rows: number; tasks: number; entries: number; quiet: number }[]>`
      select count(*) as rows, count(distinct task_id) as tasks,
        (select count(*) from feed where type = 'notification.created') as entries,
        (select count(*) from feed where quiet) as quiet
      from notifications where kind = 'overdue'`,
    { deadlineMs: 20_000 },
  )
  expect(row).toEqual({ rows: count, tasks: count, entries: count, quiet: 0 })
  expect(stats.lateness.count).toBe(count)
  expect(stats.transactions).toBeGreaterThanOrEqual(count / 200)
  expect(seconds).toBeLessThan(60)
  expect(megabytes).toBeLessThan(200)
}, 400_000)
