// Activity is made exactly once whatever happens to workers, equals what the log says, starts with what the log still has,
// and stays when the log drops it. The oracle is the log itself.
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { openRedis } from '../../src/redis/connection.ts'
import { insertOldestPositions } from '../../src/db/log/consumers.ts'
import { activityOf } from '../../src/domain/activity/rows.ts'
import { createLog } from '../../src/log.ts'
import type { LogEntry } from '../../src/model/event.ts'
import { createRandom } from '../oracle/random.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { readyPort, spawnWorker, withWorkers } from './rig.ts'

let world: World
let owner: Person
let projectIds: string[]

beforeEach(async () => {
  world = await startWorld()
  owner = await world.register()
  projectIds = [(await world.project(owner)).id, (await world.project(owner)).id]
}, 30_000)

afterEach(() => world[Symbol.asyncDispose]())

const settings = () => ({
  databaseUrl: world.databaseUrl,
  redisUrl: world.redisUrl,
  overdueIntervalMs: 60_000,
})

/** What the log says, as rows. */
const expected = async (): Promise<string[]> => {
  const entries = await world.server.deps.db.read(
    (sql) => sql<LogEntry[]>`
      select shard, seq, at, scope, type, entity_id as "entityId", version, actor_id as "actorId", op, control,
        changes, quiet, override, frame
      from feed`,
  )
  return entries
    .flatMap((entry) => activityOf(entry) ?? [])
    .map(({ id, type, taskId, entityId, changes }) => JSON.stringify([id, type, taskId, entityId, changes]))
    .sort()
}

const stored = async (): Promise<string[]> => {
  const rows = await world.server.deps.db.read(
    (sql) => sql<{ id: string; type: string; taskId: string | null; entityId: string; changes: object }[]>`
      select id, type, task_id as "taskId", entity_id as "entityId", changes from activity`,
  )
  return rows
    .map(({ id, type, taskId, entityId, changes }) => JSON.stringify([id, type, taskId, entityId, changes]))
    .sort()
}

const sorted = (rows: string[]) => rows.map((row) => JSON.parse(row) as unknown[])

const verify = async (): Promise<void> => {
  const all = sorted(await expected())
  expect(all.length).toBeGreaterThan(0)
  await eventually(async () => expect(sorted(await stored())).toEqual(all), { timeoutMs: 20_000 })
}

/** Creates, changes, moves and deletes tasks in two projects, from several connections. */
const act = async (count: number): Promise<void> => {
  const random = createRandom(count)
  const work = async (n: number): Promise<void> => {
    const [here, there] = n % 2 === 0 ? projectIds : projectIds.toReversed()
    const { id } = await world.ask(owner, 'POST', '/api/tasks', { projectId: here, title: `Task ${n}` })
    await world.ask(owner, 'PATCH', `/api/tasks/${id}`, {
      status: 'done',
      tags: [`t${random.between(0, 4)}`],
    })
    if (random.between(0, 2) === 0)
      await world.ask(owner, 'POST', `/api/tasks/${id}/move`, { projectId: there })
    if (random.between(0, 3) === 0) await world.ask(owner, 'DELETE', `/api/tasks/${id}`)
  }
  const numbers = Array.from({ length: count }, (_, n) => n)
  const run = async (): Promise<void> => {
    for (let n = numbers.pop(); n !== undefined; n = numbers.pop()) await work(n)
  }
  await Promise.all([run(), run(), run(), run()])
}

test('workers are killed one after another, and each entry has its row once', async () => {
  const workers = Array.from({ length: 2 }, () => spawnWorker(settings()))
  await Promise.all(workers.map(readyPort))
  const work = act(60)
  for (let round = 0; round < 3; round += 1) {
    const before = (await expected()).length
    await eventually(async () => expect((await expected()).length).toBeGreaterThan(before + 10), {
      timeoutMs: 20_000,
    }).catch(() => {})
    const victim = workers.shift()!
    victim.kill('SIGKILL')
    await victim.exited
    workers.push(spawnWorker(settings()))
  }
  await work
  await verify()
  for (const worker of workers) {
    worker.kill('SIGKILL')
    await worker.exited
  }
}, 60_000)

test('Redis is emptied and two workers race', async () => {
  const redis = openRedis(world.redisUrl, 'request', createLog('test', 'silent'))
  try {
    await withWorkers(2, settings(), async () => {
      const work = act(30)
      await redis.client.flushall()
      await work
      await redis.client.flushall()
      await verify()
    })
  } finally {
    await redis[Symbol.asyncDispose]()
  }
}, 60_000)

test('installed on a database whose log goes back, it starts with the oldest entry; a position that exists stays', async () => {
  await act(10)
  const { db } = world.server.deps
  await db.transact(async (tx) => {
    await tx`delete from consumer_cursor where consumer = 'activity'`
    // The log of one shard no longer has its first entries.
    await tx`delete from feed where seq <= 2`
    await insertOldestPositions(tx, 'activity')
  })
  const positions = () =>
    db.read(
      (sql) => sql<{ seq: number; oldest: number | null; head: number }[]>`
        select c.seq, (select min(f.seq) from feed f where f.shard = c.shard) as oldest, h.seq as head
        from consumer_cursor c join feed_head h using (shard) where c.consumer = 'activity'`,
    )
  for (const { seq, oldest, head } of await positions()) expect(seq).toBe(oldest === null ? head : oldest - 1)
  await withWorkers(1, settings(), verify)
  const reached = await positions()
  await db.transact((tx) => insertOldestPositions(tx, 'activity'))
  expect(await positions()).toEqual(reached)
})

test('a worker that was away makes what happened meanwhile; what the log drops stays', async () => {
  await act(20)
  expect(await stored()).toEqual([])
  await withWorkers(1, settings(), verify)
  const kept = await stored()
  await world.server.deps.db.transact((tx) => tx`delete from feed`)
  expect(await stored()).toEqual(kept)
  const { items } = await world.ask(owner, 'GET', `/api/activity?projectId=${projectIds[0]}`)
  expect(items.length).toBeGreaterThan(10)
})
