// Counters equal the rows at every moment: at each live snapshot the statistics that are read (counters and the entries not
// counted yet) are what a count of the rows gives, while writers and workers run and workers are killed. The oracle is one
// SQL statement over the rows that shares nothing with the product.
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openDatabase, type Database, type Tx } from '../../src/db/client.ts'
import { insertPositions } from '../../src/db/log/consumers.ts'
import { claimCheck } from '../../src/db/statistics/checks.ts'
import { ensureDatabase, migrate } from '../../src/db/migrations/migrate.ts'
import { checkCounters } from '../../src/domain/statistics/check.ts'
import { readStatistics } from '../../src/domain/statistics/statistics.ts'
import { systemWrite, write } from '../../src/domain/write.ts'
import { createLog } from '../../src/log.ts'
import type { Actor } from '../../src/model/actor.ts'
import { projectScope } from '../../src/model/scope.ts'
import { newId } from '../../src/model/scalar.ts'
import { stats } from '../../src/worker/consumers/stats.ts'
import { newStats, type Consumer } from '../../src/worker/engine/consumer.ts'
import { createLogSource } from '../../src/worker/engine/log-source.ts'
import { PositionStore } from '../../src/worker/engine/position-store.ts'
import { ShardConsumer } from '../../src/worker/engine/shard-consumer.ts'
import {
  checkStatistics,
  checkStatisticsNightly,
  newStatisticsStats,
} from '../../src/worker/loops/statistics.ts'
import { openRedis } from '../../src/redis/connection.ts'
import { variantEnvironment } from '../chaos/variants.ts'
import { createRandom, type Random } from '../oracle/random.ts'
import { testDatabase } from '../support/environment.ts'
import { eventually } from '../support/eventually.ts'
import { callsOf, type Calls } from '../support/tasks.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { openWorker, readyPort, spawnWorker } from './rig.ts'

const log = createLog('test', 'silent')

let world: World
let people: Person[]
let as: Calls[]
/** Projects of all people. */
let projects: string[]

beforeEach(async () => {
  world = await startWorld()
  people = await Promise.all(['A', 'B', 'C'].map((name) => world.register(name)))
  as = people.map((person) => callsOf(world, person))
  const made = await Promise.all(
    people.map((_, n) => as[n]!.project({ editor: people.filter((_, m) => m !== n) })),
  )
  projects = made.map(({ id }) => id)
}, 60_000)

afterEach(() => world[Symbol.asyncDispose]())

const statuses = ['todo', 'in_progress', 'done', 'cancelled']
const priorities = ['low', 'medium', 'high', 'urgent']
const tags = ['red', 'green', 'blue', 'straße', 'x'.repeat(50)]

/** Random writes of every kind until `count` were answered. Some are refused: tasks that others deleted or moved. */
const writeAtRandom = async (random: Random, count: number): Promise<void> => {
  const ids: string[] = []
  const some = () => tags.filter(() => random.next() < 0.3)
  const fields = () => ({
    ...(random.next() < 0.6 && { status: random.pick(statuses) }),
    ...(random.next() < 0.5 && { priority: random.pick(priorities) }),
    ...(random.next() < 0.5 && { tags: some() }),
  })
  const create = (own: Calls, more: object = {}) =>
    own.call<{ id: string }>('POST', '/api/tasks', {
      title: 'Task',
      projectId: random.pick(projects),
      ...fields(),
      ...more,
    })
  const kinds: ((own: Calls) => Promise<unknown>)[] = [
    async (own) => {
      const { status, body } = await create(own)
      if (status === 201) ids.push(body.id)
    },
    (own) => own.call('PATCH', `/api/tasks/${random.pick(ids)}`, { title: 'Changed', ...fields() }),
    (own) => own.call('POST', `/api/tasks/${random.pick(ids)}/move`, { projectId: random.pick(projects) }),
    async (own) => {
      const id = random.pick(ids)
      const { status, body } = await own.call<{ projectId: string }>('GET', `/api/tasks/${id}`)
      if (status === 200) await create(own, { projectId: body.projectId, parentId: id })
    },
    (own) => own.call('DELETE', `/api/tasks/${random.pick(ids)}`),
    (own) =>
      own.call('PATCH', '/api/tasks/bulk', {
        ids: Array.from({ length: 5 }, () => random.pick(ids)),
        changes: { title: 'All', ...fields() },
      }),
    (own) =>
      own.call('POST', '/api/tasks/batch', {
        operations: [
          { op: 'create', data: { title: 'New', projectId: random.pick(projects), ...fields() } },
          { op: 'update', id: random.pick(ids), data: { title: 'Old', ...fields() } },
        ],
      }),
    (own) => own.call('POST', `/api/tasks/${random.pick(ids)}/tags`, { tags: ['added', ...some()] }),
    async (own) => {
      if (random.next() > 0.2) return
      const gone = random.between(0, projects.length - 1)
      const { body } = await own.call<{ id: string }>('POST', '/api/projects', { name: 'Next' })
      const [id] = projects.splice(gone, 1, body.id)
      for (const other of as) await other.call('DELETE', `/api/projects/${id}`)
    },
  ]
  for (let n = 0; n < 6; n += 1) await kinds[0]!(as[n % 3]!)
  let done = 0
  const work = async (own: Calls): Promise<void> => {
    while (done < count) {
      done += 1
      await (random.next() < 0.3 ? kinds[0]! : random.pick(kinds))(own)
    }
  }
  await Promise.all([...as, ...as].map(work))
}

interface Numbers {
  total: number
  done: number
  low: number
  byTag: string
  days: string
}

/** The rows of a project, counted by one statement. */
const oracle = async (tx: Tx, projectId: string): Promise<Numbers> => {
  const [row] = await tx<Numbers[]>`
    select count(*) as total, count(*) filter (where status = 'done') as done,
      count(*) filter (where priority = 'low') as low,
      coalesce((
        select string_agg(tag || ' ' || n, ',' order by tag collate "C") from (
          select tag, count(*) as n from tasks, unnest(tags) as tag where project_id = ${projectId} group by tag
        ) tagged
      ), '') as "byTag",
      coalesce((
        select string_agg(day || ' ' || n, ',' order by day) from (
          select to_char(completed_at at time zone 'UTC', 'YYYY-MM-DD') as day, count(*) as n
          from tasks where project_id = ${projectId} and completed_at is not null group by 1
        ) completed
      ), '') as days
    from tasks where project_id = ${projectId}`
  return row!
}

/** What a reader of the snapshot is answered. */
const answered = async (tx: Tx, projectId: string): Promise<Numbers> => {
  const reader = { userId: people[0]!.id, role: 'admin', credential: { kind: 'system' } } as unknown as Actor
  const within = { of: () => ({ snapshot: (work: (tx: Tx) => unknown) => work(tx) }) }
  const { statistics } = await readStatistics({ db: within as never }, reader, projectId)
  const text = (counts: [string, number][]) =>
    counts
      .filter(([, count]) => count > 0)
      .sort(([a], [b]) => (Buffer.from(a) < Buffer.from(b) ? -1 : 1))
      .map((pair) => pair.join(' '))
      .join()
  return {
    total: statistics.total,
    done: statistics.byStatus.done,
    low: statistics.byPriority.low,
    byTag: text(statistics.byTag.map(({ tag, count }) => [tag, count])),
    days: text(statistics.completedPerDay.map(({ date, count }) => [date, count])),
  }
}

interface Found {
  snapshots: number
  /** Snapshots in which the consumer was behind the log. */
  behind: number
  differences: string[]
}

/** Compares every project at one snapshot. */
const compare = async (db: Database, found: Found): Promise<void> => {
  await db.snapshot(
    async (tx) => {
      const [late] = await tx<{ entries: number }[]>`
        select coalesce(sum(h.seq - c.seq), 0)::int as entries
        from feed_head h join consumer_cursor c using (shard) where c.consumer = 'stats'`
      const alive = await tx<{ id: string }[]>`select id from projects`
      found.snapshots += 1
      if (late!.entries > 0) found.behind += 1
      for (const { id } of alive) {
        const [rows, read] = [await oracle(tx, id), await answered(tx, id)]
        if (!Bun.deepEquals(rows, read))
          found.differences.push(`${JSON.stringify(rows)} ≠ ${JSON.stringify(read)}`)
      }
    },
    { deadlineMs: 30_000 },
  )
}

/** Compares again and again until `work` ends, and once more. */
const compareDuring = async (db: Database, work: Promise<unknown>): Promise<Found> => {
  const found: Found = { snapshots: 0, behind: 0, differences: [] }
  const over = { is: false }
  const ended = work.finally(() => {
    over.is = true
  })
  ended.catch(() => {}) // rejects below
  while (!over.is && found.differences.length === 0) await compare(db, found)
  await ended
  await compare(db, found)
  return found
}

const counted = (db: Pick<Database, 'read'> = world.server.deps.db): Promise<void> =>
  eventually(
    async () => {
      const late = await db.read(
        (sql) => sql`
          select from consumer_cursor c join feed_head h using (shard) where c.consumer = 'stats' and c.seq < h.seq`,
      )
      expect(late.length).toBe(0)
    },
    { timeoutMs: 20_000 },
  )

const newSeed = (): Random => {
  const seed = Date.now() % 1_000_000
  console.log({ seed })
  return createRandom(seed)
}

const settings = () => ({
  databaseUrl: world.databaseUrl,
  redisUrl: world.redisUrl,
  overdueIntervalMs: 60_000,
})

const openReader = (): Database =>
  openDatabase({ url: world.databaseUrl, max: 2, applicationName: 'reader', log })

test('every live snapshot is exact while workers are killed and Redis is emptied, at rest nothing is left over', async () => {
  const random = newSeed()
  await using db = openReader()
  await using redis = openRedis(world.redisUrl, 'request', log)
  const writing = writeAtRandom(random, 500)
  const over = { is: false }
  const killing = (async (): Promise<void> => {
    const points = ['before-effect', 'before-commit', 'after-commit']
    for (let n = 0; !over.is; n += 1) {
      // Two at once, one of which crashes at a point of its consumers.
      const [crashing, killed] = [
        spawnWorker(settings(), {
          ...variantEnvironment('failpoints'),
          TIDE_FAILPOINT: points[n % 3]!,
          TIDE_FAILPOINT_AFTER: String(random.between(1, 6)),
        }),
        spawnWorker(settings()),
      ]
      await Promise.race([readyPort(killed), crashing.exited])
      await Promise.race([crashing.exited, writing.catch(() => {})])
      for (const child of [crashing, killed]) child.kill('SIGKILL')
      await Promise.all([crashing.exited, killed.exited, redis.client.flushall()])
    }
  })()
  const found = await compareDuring(
    db,
    writing.finally(() => {
      over.is = true
    }),
  )
  await killing
  console.log({ snapshots: found.snapshots, behind: found.behind })
  expect(found.differences).toEqual([])
  expect(found.behind).toBeGreaterThan(0)

  await using _worker = await openWorker(settings())
  await counted()
  await compare(db, found)
  expect(found.differences).toEqual([])
  const [left] = await db.read(
    (sql) => sql<{ zeros: number; orphans: number; letters: number }[]>`
      select
        (select count(*) from project_tag_counts where count <= 0)
          + (select count(*) from project_completions where count <= 0) as zeros,
        (select count(*) from project_statistics s where not exists (select from projects where id = s.project_id))
          + (select count(*) from project_tag_counts s where not exists (select from projects where id = s.project_id))
          + (select count(*) from project_completions s where not exists (select from projects where id = s.project_id))
          as orphans,
        (select count(*) from dead_letter) as letters`,
  )
  expect(left).toEqual({ zeros: 0, orphans: 0, letters: 0 })
}, 180_000)

test('control: with the position in another transaction a live snapshot differs', async () => {
  const random = newSeed()
  const { db, publisher, follower } = world.server.deps
  await using reader = openReader()
  const found: Found = { snapshots: 0, behind: 0, differences: [] }
  const careless: Consumer = {
    ...stats,
    async handle(_tx, entries) {
      await db.transact((tx) => stats.handle(tx, entries))
      if (found.differences.length === 0) await compare(reader, found) // between the two commits
      return []
    },
  }
  using source = createLogSource(follower)
  const stop = new AbortController()
  const runs = Array.from({ length: 16 }, (_, shard) =>
    new ShardConsumer(
      { db, publisher, source, positions: new PositionStore(db), log },
      careless,
      shard,
      newStats(),
    ).run(stop.signal),
  )
  await writeAtRandom(random, 150)
  await eventually(() => expect(found.differences.length).toBeGreaterThan(0), { timeoutMs: 30_000 })
  stop.abort()
  await Promise.all(runs)
}, 60_000)

test('`stats.updated` follows every change, at most once in five seconds for a project', async () => {
  const [own, id] = [as[0]!, projects[0]!]
  await using _worker = await openWorker(settings())
  const announced = async () =>
    (await world.entries(projectScope(id))).filter(({ type }) => type === 'stats.updated')
  await using socket = await world.socket(people[1]!)
  socket.send({ t: 'sub', rid: 1, scope: projectScope(id), cursor: null })
  let total = 0
  await eventually(
    async () => {
      total += 1
      await own.task({ projectId: id, status: 'done' })
      expect((await announced()).length).toBeGreaterThanOrEqual(2)
    },
    { timeoutMs: 30_000, everyMs: 100 },
  )
  await eventually(
    async () => {
      const data = JSON.parse((await announced()).at(-1)!.frame!).data
      expect(data).toEqual({
        projectId: id,
        total,
        byStatus: { todo: 0, in_progress: 0, done: total, cancelled: 0 },
        byPriority: { low: 0, medium: total, high: 0, urgent: 0 },
        completionRate: 1,
      })
    },
    { timeoutMs: 20_000 },
  )
  const times = (await announced()).map(({ at }) => Date.parse(at))
  for (const [index, at] of times.slice(1).entries()) expect(at - times[index]!).toBeGreaterThanOrEqual(5_000)
}, 90_000)

test('counters that differ from the rows are found, logged and repaired while everything runs', async () => {
  const random = newSeed()
  await using _worker = await openWorker(settings())
  await using db = openReader()
  await writeAtRandom(random, 60)
  await counted()
  const alive = await db.read(async (sql) =>
    (await sql<{ id: string }[]>`select id from projects`).map(({ id }) => id),
  )
  const wrong = projects[0]!
  await db.transact(async (tx) => {
    await tx`
      insert into project_statistics (project_id, todo) values (${wrong}, 7)
      on conflict (project_id) do update set todo = project_statistics.todo + 7, urgent = project_statistics.urgent - 1`
    await tx`
      insert into project_tag_counts (project_id, tag, count) values (${wrong}, 'ghost', 3)`
    await tx`delete from project_completions where project_id = ${wrong}`
  })
  const drift = newStatisticsStats()
  const lines: string[] = []
  const recording = { error: (_fields: object, text: string) => lines.push(text) } as never
  const check = () =>
    checkStatistics({ db, log: recording, stats: drift, signal: new AbortController().signal }, alive)
  const writing = writeAtRandom(random, 60)
  await check()
  expect(drift.drifted).toBe(1)
  expect(lines).toEqual(['counters of a project differed from its rows and were repaired'])
  await writing
  await check()
  expect(drift.drifted).toBe(1)
  const found: Found = { snapshots: 0, behind: 0, differences: [] }
  await compare(db, found)
  expect(found.differences).toEqual([])
}, 90_000)

test('of two workers one does the check of a night', async () => {
  const { db } = world.server.deps
  const claims = await Promise.all([1, 2, 3].map(() => db.transact((tx) => claimCheck(tx, 0))))
  expect(claims.filter((night) => night !== null).length).toBe(1)
  expect(await db.transact((tx) => claimCheck(tx, 24))).toBeNull()
})

/** Makes the claim of this night an hour and a minute old, unfinished. */
const claimEarlier = async (): Promise<void> => {
  await world.server.deps.db.transact(async (tx) => {
    await tx`delete from statistics_checks`
    expect(await claimCheck(tx, 0)).not.toBeNull()
    await tx`update statistics_checks set started_at = now() - interval '61 minutes'`
  })
}

const checks = (): Promise<{ projects: number; isFinished: boolean }[]> =>
  world.server.deps.db.read(async (sql) => [
    ...(await sql<{ projects: number; isFinished: boolean }[]>`
      select projects, finished_at is not null as "isFinished" from statistics_checks`),
  ])

test('the check of a worker that died in it is done by one other worker after an hour, and then by none', async () => {
  const { db } = world.server.deps
  await claimEarlier()
  await db.transact((tx) => tx`update statistics_checks set started_at = now() - interval '59 minutes'`)
  expect(await db.transact((tx) => claimCheck(tx, 0))).toBeNull() // it may still be running
  await claimEarlier()
  const claims = await Promise.all([1, 2, 3].map(() => db.transact((tx) => claimCheck(tx, 0))))
  expect(claims.filter((night) => night !== null).length).toBe(1)
  await claimEarlier()
  const { signal } = new AbortController()
  await checkStatisticsNightly({ db, log, stats: newStatisticsStats(), signal }, 0)
  expect(await checks()).toEqual([{ projects: expect.any(Number), isFinished: true }])
  await db.transact((tx) => tx`update statistics_checks set started_at = now() - interval '5 hours'`)
  expect(await db.transact((tx) => claimCheck(tx, 0))).toBeNull()
})

test('a check that its worker stops is not recorded as done', async () => {
  const { db } = world.server.deps
  await world.project(await world.register())
  await claimEarlier()
  await checkStatisticsNightly({ db, log, stats: newStatisticsStats(), signal: AbortSignal.abort() }, 0)
  expect(await checks()).toEqual([{ projects: 0, isFinished: false }])
})

test('counters start from the rows and the heads of one snapshot, while writers run', async () => {
  await using server = await testDatabase({ empty: true })
  const { url } = server
  await ensureDatabase(url)
  const folder = await mkdtemp(join(tmpdir(), 'migrations-'))
  const sqlDir = join(import.meta.dir, '..', '..', 'sql')
  for (const file of await readdir(sqlDir))
    if (/^\d{4}_/.test(file) && file < '0024') await cp(join(sqlDir, file), join(folder, file))
  await migrate({ url, log, folder })
  await rm(folder, { recursive: true })
  await using db = openDatabase({ url, max: 8, applicationName: 'start', log })
  const ids = Array.from({ length: 20 }, newId)
  await db.transact(async (tx) => {
    await tx`insert into projects ${tx(ids.map((id) => ({ id, name: 'Project' })))}`
    await insertPositions(tx, 'notifications')
  })
  let written = 0
  const stop = new AbortController()
  const insert = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      const projectId = ids[written % ids.length]!
      written += 1
      await write({ db, publisher: { publish() {} } }, systemWrite, async (tx) => {
        const id = newId()
        const [row] = await tx<{ completedAt: string }[]>`
          insert into tasks (id, project_id, title, rank, status, completed_at, tags)
          values (${id}, ${projectId}, 'Task', 'a', 'done', now(), '{x}')
          returning completed_at as "completedAt"`
        const changes = {
          status: { from: null, to: 'done' },
          priority: { from: null, to: 'medium' },
          tags: { from: null, to: ['x'] },
          completedAt: { from: null, to: row!.completedAt },
        }
        const scope = projectScope(projectId)
        return {
          value: null,
          entries: [{ scope, type: 'task.created' as const, id, version: 1, actorId: null, changes }],
        }
      })
    }
  }
  const writing = [insert(), insert(), insert()]
  await eventually(() => expect(written).toBeGreaterThan(100), { timeoutMs: 20_000 })
  await migrate({ url, log })
  const at = written
  await eventually(() => expect(written).toBeGreaterThan(at + 50), { timeoutMs: 20_000 })
  stop.abort()
  await Promise.all(writing)
  const outcomes = await Promise.all(ids.map((id) => db.snapshot((tx) => checkCounters(tx, id))))
  expect(new Set(outcomes)).toEqual(new Set(['exact']))
}, 90_000)
