// Whatever happens to workers and to Redis, everybody is told of everything exactly once and of nothing else. The
// oracle is the list of what was done through the API while it happened.
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { join } from 'node:path'
import { openRedis } from '../../src/redis/connection.ts'
import { createLog } from '../../src/log.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import type { ChildSettings } from './child.ts'
import { announced, inboxes, withWorkers } from './rig.ts'

let world: World
let owner: Person
let people: Person[]
let projectId: string
/** What must have been told in the end. */
let expected: string[]

beforeEach(async () => {
  world = await startWorld()
  // Installs the consumers: what happens from here on counts.
  await withWorkers(1, { ...world, overdueIntervalMs: 60_000 }, async () => {})
  owner = await world.register()
  people = [await world.register(), await world.register(), await world.register()]
  projectId = (await call(owner, 'POST', '/api/projects', { name: 'Apollo' })).id
  expected = []
  for (const { id, email } of people) {
    await call(owner, 'POST', `/api/projects/${projectId}/members`, { email, role: 'editor' })
    expected.push(`project_invited null ${id}`)
  }
}, 30_000)

afterEach(() => world[Symbol.asyncDispose]())

const call = async (who: Person, method: string, path: string, body?: unknown) => {
  const answer = await world.call(method, path, { token: who.token, body })
  if (answer.status >= 300)
    throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
  return answer.body
}

/** A task that is assigned, completed by a third person, and overdue when `isLate`. */
const act = async (n: number, isLate = false): Promise<void> => {
  const [assignee, other] = [people[n % 3]!, people[(n + 1) % 3]!]
  const dueAt = isLate ? new Date(Date.now() - 1000).toISOString() : null
  const { id } = await call(owner, 'POST', '/api/tasks', {
    projectId,
    title: `Task ${n}`,
    assigneeId: assignee.id,
    dueAt,
  })
  expected.push(`assigned ${id} ${assignee.id}`)
  if (isLate) {
    expected.push(`overdue ${id} ${assignee.id}`)
    return
  }
  await call(other, 'PATCH', `/api/tasks/${id}`, { status: 'done' })
  expected.push(`completed ${id} ${assignee.id}`, `completed ${id} ${owner.id}`)
}

const actAll = async (count: number, isLate = false): Promise<void> => {
  const numbers = Array.from({ length: count }, (_, n) => n)
  const work = async (): Promise<void> => {
    for (let n = numbers.pop(); n !== undefined; n = numbers.pop()) await act(n, isLate)
  }
  await Promise.all([work(), work(), work(), work()])
}

/** Something under way, and whether it still is. */
const begin = (work: Promise<void>): { isOver: boolean; done: Promise<void> } => {
  const state = {
    isOver: false,
    done: work.finally(() => {
      state.isOver = true
    }),
  }
  state.done.catch(() => {}) // whoever awaits it hears
  return state
}

/** Waits until all is told, then shows that the inboxes and the log hold exactly that. */
const verify = async (): Promise<void> => {
  await eventually(
    async () => expect((await inboxes(world)).length).toBeGreaterThanOrEqual(expected.length),
    {
      timeoutMs: 15_000,
      everyMs: 50,
    },
  )
  await eventually(async () => {
    const late = await world.server.deps.db.read(
      (sql) => sql`select from feed_head h join consumer_cursor c using (shard) where c.seq < h.seq`,
    )
    expect(late.length).toBe(0)
  })
  expect(await inboxes(world)).toEqual(expected.sort())
  expect(await announced(world)).toEqual(expected.sort())
}

const spawn = (settings: Partial<ChildSettings>) =>
  Bun.spawn(
    [
      process.execPath,
      join(import.meta.dir, 'child.ts'),
      JSON.stringify({
        databaseUrl: world.databaseUrl,
        redisUrl: world.redisUrl,
        overdueIntervalMs: 100,
        ...settings,
      }),
    ],
    { stdout: 'pipe', stderr: 'inherit' },
  )

for (const dieAt of ['before-effect', 'before-commit', 'after-commit'] as const) {
  test(`a worker killed ${dieAt} again and again tells everything once`, async () => {
    await actAll(30)
    for (let dieAfter = 1; dieAfter <= 3; dieAfter += 1) {
      const child = spawn({ dieAt, dieAfter })
      for (let n = 0; child.exitCode === null && child.signalCode === null; n += 1) await act(n)
      expect(child.signalCode).toBe('SIGKILL')
    }
    await withWorkers(1, { ...world, overdueIntervalMs: 100 }, verify)
  }, 60_000)
}

test('workers killed at random moments, one after the other, tell everything once', async () => {
  const seed = Date.now() % 1_000_000
  console.log({ seed })
  let state = seed
  const random = (): number => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647
  const writing = begin(actAll(150).then(() => actAll(50, true)))
  while (!writing.isOver) {
    const child = spawn({})
    await child.stdout.getReader().read()
    await Bun.sleep(random() * 700) // the moment is the point
    child.kill('SIGKILL')
    await child.exited
  }
  await writing.done
  await withWorkers(1, { ...world, overdueIntervalMs: 100 }, verify)
}, 90_000)

test('two workers that run at once tell everything once', async () => {
  await withWorkers(2, { ...world, overdueIntervalMs: 100 }, async () => {
    await Promise.all([actAll(60), actAll(30, true)])
    await verify()
  })
}, 30_000)

test('a worker that was away tells what happened meanwhile, to those who may read it now', async () => {
  await actAll(40)
  const gone = people[2]!
  await call(owner, 'DELETE', `/api/projects/${projectId}/members/${gone.id}`)
  expected = expected.filter((line) => !line.endsWith(gone.id))
  const archived = (await call(owner, 'POST', '/api/projects', { name: 'Old' })).id
  await call(owner, 'POST', `/api/projects/${archived}/members`, { email: people[0]!.email, role: 'editor' })
  await call(owner, 'POST', '/api/tasks', { projectId: archived, title: 'Old', assigneeId: people[0]!.id })
  await call(owner, 'POST', `/api/projects/${archived}/archive`)
  const deleted = await call(owner, 'POST', '/api/tasks', {
    projectId,
    title: 'Gone',
    assigneeId: people[0]!.id,
  })
  await call(owner, 'DELETE', `/api/tasks/${deleted.id}`)
  await withWorkers(1, { ...world, overdueIntervalMs: 60_000 }, verify)
}, 30_000)

test('a Redis that is emptied again and again costs nobody a notification', async () => {
  await using redis = openRedis(world.redisUrl, 'request', createLog('test', 'silent'))
  await withWorkers(1, { ...world, overdueIntervalMs: 100 }, async () => {
    const writing = begin(actAll(120))
    while (!writing.isOver) {
      await redis.client.flushall().catch(() => {})
      await Bun.sleep(50)
    }
    await writing.done
    await verify()
  })
}, 30_000)

test('without Redis everything is told all the same', async () => {
  await withWorkers(1, { ...world, redisUrl: 'redis://127.0.0.1:1', overdueIntervalMs: 100 }, async () => {
    await actAll(40)
    await verify()
  })
}, 30_000)

test('PostgreSQL dropping every connection now and then costs nobody a notification', async () => {
  const drop = async (): Promise<void> => {
    for (let round = 0; round < 10; round += 1) {
      await world.server.deps.db.read(
        (sql) => sql`
          select pg_terminate_backend(pid) from pg_stat_activity
          where datname = current_database() and application_name like '%worker%'`,
      )
      await Bun.sleep(200)
    }
  }
  await withWorkers(1, { ...world, overdueIntervalMs: 100 }, async () => {
    await Promise.all([actAll(100), actAll(30, true), drop()])
    await verify()
  })
}, 60_000)
