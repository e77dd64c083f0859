// Whatever fails, each cause notifies its recipients exactly once, and nothing else does. The oracle is the list of what
// the API did meanwhile.
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { openRedis } from '../../src/redis/connection.ts'
import { createLog } from '../../src/log.ts'
import { createRandom } from '../oracle/random.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { dueFailpoints, variantEnvironment, workerFailpoints } from '../chaos/variants.ts'
import { announced, inboxes, readyPort, spawnWorker, withWorkers } from './rig.ts'

let world: World
let owner: Person
let people: Person[]
let projectId: string
/** The notifications that must exist in the end. */
let expected: string[]

beforeEach(async () => {
  world = await startWorld()
  // Installs the consumers: what is written from here on counts.
  await withWorkers(1, { ...world, overdueIntervalMs: 60_000 }, async () => {})
  owner = await world.register()
  people = [await world.register(), await world.register(), await world.register()]
  projectId = (await world.project(owner, { editor: people })).id
  expected = people.map(({ id }) => `project_invited null ${id}`)
}, 90_000)

afterEach(() => world[Symbol.asyncDispose]())

/** As a client on a slow machine does it: under one key until it is answered. */
const ask = async (person: Person, method: string, path: string, body: object): Promise<{ id: string }> => {
  const headers = { 'Idempotency-Key': crypto.randomUUID() }
  let answered: { id: string } | undefined
  await eventually(
    async () => {
      const answer = await world.call<{ id: string }>(method, path, { token: person.token, body, headers })
      expect(answer.status).toBeLessThan(300)
      answered = answer.body
    },
    { timeoutMs: 20_000, everyMs: 100 },
  )
  return answered!
}

/**
 * A task that is assigned, then commented on and completed by a third person. When `isDue` it is overdue or due soon
 * instead.
 */
const act = async (n: number, isDue = false): Promise<void> => {
  const [assignee, other] = [people[n % 3]!, people[(n + 1) % 3]!]
  const dueKind = n % 2 === 0 ? 'overdue' : 'due_soon'
  const dueAt = isDue
    ? new Date(Date.now() + (dueKind === 'overdue' ? -1_000 : 3_600_000)).toISOString()
    : null
  const { id } = await ask(owner, 'POST', '/api/tasks', {
    projectId,
    title: `Task ${n}`,
    assigneeId: assignee.id,
    dueAt,
  })
  expected.push(`assigned ${id} ${assignee.id}`)
  if (isDue) {
    expected.push(`${dueKind} ${id} ${assignee.id}`)
    return
  }
  const body = { body: `Comment ${n}`, mentions: [owner.id] }
  await ask(other, 'POST', `/api/tasks/${id}/comments`, body)
  expected.push(`mentioned ${id} ${owner.id}`, `commented ${id} ${assignee.id}`)
  await ask(other, 'PATCH', `/api/tasks/${id}`, { status: 'done' })
  expected.push(`completed ${id} ${assignee.id}`, `completed ${id} ${owner.id}`)
}

/** Resolves when `count` more notifications are due than now, or when `work` is over. */
const progress = async (count: number, work: { isOver: boolean }): Promise<void> => {
  const target = expected.length + count
  await eventually(() => expect(work.isOver || expected.length >= target).toBe(true), { timeoutMs: 30_000 })
}

const actAll = async (count: number, isDue = false): Promise<void> => {
  const numbers = Array.from({ length: count }, (_, n) => n)
  const work = async (): Promise<void> => {
    for (let n = numbers.pop(); n !== undefined; n = numbers.pop()) await act(n, isDue)
  }
  await Promise.all([work(), work(), work(), work()])
}

/** Work under way. */
const begin = (work: Promise<unknown>): { isOver: boolean; done: Promise<unknown> } => {
  const state = {
    isOver: false,
    done: work.finally(() => {
      state.isOver = true
    }),
  }
  state.done.catch(() => {}) // rejects where it is awaited
  return state
}

/** Waits for the consumers, then shows that the inboxes and the log hold exactly the expected notifications. */
const verify = async (): Promise<void> => {
  await eventually(
    async () => expect((await inboxes(world)).length).toBeGreaterThanOrEqual(expected.length),
    {
      timeoutMs: 30_000,
      everyMs: 50,
    },
  )
  await eventually(
    async () => {
      const late = await world.server.deps.db.read(
        (sql) => sql`select from feed_head h join consumer_cursor c using (shard) where c.seq < h.seq`,
      )
      expect(late.length).toBe(0)
    },
    { timeoutMs: 20_000, everyMs: 50 },
  )
  expect(await inboxes(world)).toEqual(expected.sort())
  expect(await announced(world)).toEqual(expected.sort())
}

const spawn = (environment?: Record<string, string>) =>
  spawnWorker(
    { databaseUrl: world.databaseUrl, redisUrl: world.redisUrl, overdueIntervalMs: 100 },
    environment,
  )

for (const point of workerFailpoints) {
  test(`a worker killed ${point} again and again notifies of everything once`, async () => {
    await actAll(30)
    for (let after = 0; after < 3; after += 1) {
      const child = spawn({
        ...variantEnvironment('failpoints'),
        TIDE_FAILPOINT: point,
        TIDE_FAILPOINT_AFTER: String(after),
      })
      for (let n = 0; child.exitCode === null && child.signalCode === null; n += 1) await act(n)
      expect(child.signalCode).toBe('SIGKILL')
    }
    await withWorkers(1, { ...world, overdueIntervalMs: 100 }, verify)
  }, 120_000)
}

for (const point of dueFailpoints) {
  test(`a worker killed ${point} again and again notifies of every due time once`, async () => {
    await actAll(20, true)
    for (let after = 0; after < 3; after += 1) {
      const child = spawn({
        ...variantEnvironment('failpoints'),
        TIDE_FAILPOINT: point,
        TIDE_FAILPOINT_AFTER: String(after),
      })
      for (let n = 0; child.exitCode === null && child.signalCode === null; n += 1) await act(n, true)
      expect(child.signalCode).toBe('SIGKILL')
    }
    await withWorkers(1, { ...world, overdueIntervalMs: 100 }, verify)
  }, 120_000)
}

test('workers killed at random moments, one after the other, notify of everything once', async () => {
  const seed = Date.now() % 1_000_000
  console.log({ seed })
  const random = createRandom(seed)
  const writing = begin(actAll(150).then(() => actAll(50, true)))
  while (!writing.isOver) {
    const child = spawn()
    await readyPort(child)
    await progress(random.between(1, 60), writing)
    child.kill('SIGKILL')
    await child.exited
  }
  await writing.done
  await withWorkers(1, { ...world, overdueIntervalMs: 100 }, verify)
}, 180_000)

test('two workers at once notify of everything once', async () => {
  await withWorkers(2, { ...world, overdueIntervalMs: 100 }, async () => {
    await Promise.all([actAll(60), actAll(30, true)])
    await verify()
  })
}, 90_000)

test('a worker that was away notifies of what happened meanwhile, those who can read it now', async () => {
  await actAll(40)
  const gone = people[2]!
  await world.ask(owner, 'DELETE', `/api/projects/${projectId}/members/${gone.id}`)
  expected = expected.filter((line) => !line.endsWith(gone.id))
  const archived = (await world.ask(owner, 'POST', '/api/projects', { name: 'Old' })).id
  await world.ask(owner, 'POST', `/api/projects/${archived}/members`, {
    email: people[0]!.email,
    role: 'editor',
  })
  await world.ask(owner, 'POST', '/api/tasks', {
    projectId: archived,
    title: 'Old',
    assigneeId: people[0]!.id,
  })
  await world.ask(owner, 'POST', `/api/projects/${archived}/archive`)
  const deleted = await world.ask(owner, 'POST', '/api/tasks', {
    projectId,
    title: 'Gone',
    assigneeId: people[0]!.id,
  })
  await world.ask(owner, 'DELETE', `/api/tasks/${deleted.id}`)
  await withWorkers(1, { ...world, overdueIntervalMs: 60_000 }, verify)
}, 90_000)

test('a Redis that is emptied again and again loses no notification', async () => {
  await using redis = openRedis(world.redisUrl, 'request', createLog('test', 'silent'))
  await withWorkers(1, { ...world, overdueIntervalMs: 100 }, async () => {
    const writing = begin(actAll(120))
    while (!writing.isOver) {
      await redis.client.flushall().catch(() => {})
      await progress(5, writing)
    }
    await writing.done
    await verify()
  })
}, 90_000)

test('without Redis everything is notified all the same', async () => {
  await withWorkers(1, { ...world, redisUrl: 'redis://127.0.0.1:1', overdueIntervalMs: 100 }, async () => {
    await actAll(40)
    await verify()
  })
}, 90_000)

test('PostgreSQL that drops every connection now and then loses no notification', async () => {
  const drop = (): Promise<unknown> =>
    world.server.deps.db.read(
      (sql) => sql`
        select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and application_name like '%worker%'`,
    )
  await withWorkers(1, { ...world, overdueIntervalMs: 100 }, async () => {
    const writing = begin(Promise.all([actAll(100), actAll(30, true)]))
    for (let drops = 0; drops < 10 && !writing.isOver; drops += 1) {
      await progress(20, writing)
      await drop()
    }
    await writing.done
    await verify()
  })
}, 120_000)
