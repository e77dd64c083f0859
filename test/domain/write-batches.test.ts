// Writes of many requests in one transaction: the outcome of each is its own, in the order of the log as if they had run
// one after another.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { openDatabase, type Database } from '../../src/db/client.ts'
import { createTask, deleteTask, replaceTask, updateTask, addTags } from '../../src/domain/tasks/tasks.ts'
import { runOperations, updateTasksInBulk } from '../../src/domain/tasks/task-batch.ts'
import { WriteCoalescer } from '../../src/domain/write-coalescer.ts'
import type { IdempotencyClaim, WriteRequest, WriteResult } from '../../src/domain/write.ts'
import { AppError } from '../../src/errors.ts'
import { createLog } from '../../src/log.ts'
import type { Actor } from '../../src/model/actor.ts'
import { newId } from '../../src/model/scalar.ts'
import { projectScope, shardOf } from '../../src/model/scope.ts'
import type { Task } from '../../src/model/task.ts'
import { createRandom } from '../oracle/random.ts'
import { eventually } from '../support/eventually.ts'
import { countingProxy, type MessageCounts } from '../support/message-count.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

const log = createLog('test', 'silent')
const seed = Number(process.env['TIDE_SEED'] ?? Math.floor(Math.random() * 1e9))

let world: World
let ada: Person

beforeAll(async () => {
  console.log(`TIDE_SEED=${seed}`)
  world = await startWorld()
  ada = await world.register('Ada')
}, 30_000)

afterAll(() => world[Symbol.asyncDispose]())

const actorOf = ({ id }: Person): Actor => ({
  userId: id,
  role: 'user',
  credential: { kind: 'system' },
})

const unclaimed = <T>(actor: Actor): WriteRequest<T> => ({ actor, claim: null })

const keyed = <T>(actor: Actor, key: string): WriteRequest<T> => {
  const claim: IdempotencyClaim<T> = {
    key,
    method: 'POST',
    path: '/',
    fingerprint: new Uint8Array(32),
    texts: () => [],
    toResponse: (value) => ({ status: 200, headers: {}, body: JSON.stringify(value) }),
  }
  return { actor, claim }
}

const written = <T>(result: WriteResult<T>): T => {
  if (result.kind !== 'written') throw new Error('a replay where a write was expected')
  return result.value
}

/** Writes of their own, over connections of their own. */
const openWrites = async (
  url = world.databaseUrl,
  options: { isOn?: boolean; besideAfterMs?: number } = {},
): Promise<{ db: Database; writes: WriteCoalescer } & AsyncDisposable> => {
  const stack = new AsyncDisposableStack()
  const db = stack.use(openDatabase({ url, max: 8, applicationName: 'write-batches', log }))
  const writes = stack.use(
    new WriteCoalescer({ db, publisher: { publish: () => {} }, isOn: true, ...options }),
  )
  return { db, writes, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

/** Runs `work` while another transaction holds what `lock` locks. */
const whileLocked = async (
  lock: (tx: Parameters<Parameters<Database['transact']>[0]>[0]) => Promise<unknown>,
  work: (release: () => void) => Promise<void>,
): Promise<void> => {
  const gate = Promise.withResolvers<void>()
  const isHeld = Promise.withResolvers<void>()
  const holding = world.server.deps.db.transact(async (tx) => {
    await lock(tx)
    isHeld.resolve()
    await gate.promise
  })
  holding.catch(isHeld.reject)
  await isHeld.promise
  try {
    await work(gate.resolve)
  } finally {
    gate.resolve()
    await holding
  }
}

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (error: unknown) => (error instanceof AppError ? error.code : String(error)),
  )

test('64 creations at once are one transaction with the statements and round trips of one', async () => {
  await using proxy = await countingProxy(world.databaseUrl)
  // One batch at a time, however slow the machine is.
  await using own = await openWrites(proxy.url, { besideAfterMs: 60_000 })
  const project = await world.project(ada)
  const create = () => createTask(own, unclaimed(actorOf(ada)), { title: 'One', projectId: project.id })
  const counted = async (work: () => Promise<unknown>): Promise<MessageCounts> => {
    const before = proxy.counts()
    await work()
    const after = proxy.counts()
    return {
      statements: after.statements - before.statements,
      commits: after.commits - before.commits,
      roundTrips: after.roundTrips - before.roundTrips,
    }
  }
  const createMany = (count: number) => Promise.all(Array.from({ length: count }, create))
  for (let warm = 0; warm < 3; warm += 1) await createMany(8) // statements are prepared once a connection
  // begin, lock the project, read it, insert, append, commit
  expect(await counted(create)).toEqual({ statements: 6, commits: 1, roundTrips: 2 })
  expect(await counted(() => createMany(64))).toEqual({ statements: 6, commits: 1, roundTrips: 2 })
  const entries = await world.entries(projectScope(project.id))
  const ranks = entries.flatMap(({ frame }) => {
    const { data } = JSON.parse(frame!) as { data: Task }
    return data.rank === undefined ? [] : [data.rank]
  })
  expect(ranks).toHaveLength(89)
  expect(ranks).toEqual(ranks.toSorted())
})

test('many changes of one task are one row update and one entry each, with the state in between', async () => {
  await using own = await openWrites()
  const actor = actorOf(ada)
  const task = written(await createTask(own, unclaimed(actor), { title: 'Start' }))
  const results = await Promise.all(
    Array.from({ length: 40 }, (_, n) =>
      updateTask(own, unclaimed(actor), task.id, { title: `T${n}` }, null),
    ),
  )
  const versions = results.map((result) => written(result).version)
  expect(versions).toEqual(Array.from({ length: 40 }, (_, n) => n + 2))
  const entries = (await world.entries(projectScope(ada.inboxId))).filter(
    ({ entityId }) => entityId === task.id,
  )
  expect(entries.map(({ version }) => version)).toEqual(Array.from({ length: 41 }, (_, n) => n + 1))
  expect(entries.slice(1).map(({ changes }) => changes)).toEqual(
    Array.from({ length: 40 }, (_, n) => ({
      title: { from: n === 0 ? 'Start' : `T${n - 1}`, to: `T${n}` },
    })),
  )
  expect(written(await updateTask(own, unclaimed(actor), task.id, {}, null)).title).toBe('T39')
})

test('each member of a batch has its own outcome: conflicts, refusals and deletions in the order of arrival', async () => {
  await using own = await openWrites()
  const actor = actorOf(ada)
  const stranger = actorOf(await world.register())
  const task = written(await createTask(own, unclaimed(actor), { title: 'Start' }))
  const child = written(await createTask(own, unclaimed(actor), { title: 'Below', parentId: task.id }))
  const id = newId()
  const patch = (title: string, seen: number[] | null = null) =>
    codeOf(updateTask(own, unclaimed(actor), task.id, { title }, seen))
  const outcomes = await Promise.all([
    patch('First, alone'),
    patch('Stale', [1]),
    patch('Fresh', [2]),
    codeOf(updateTask(own, unclaimed(stranger), task.id, { title: 'Not mine' }, null)),
    codeOf(createTask(own, unclaimed(actor), { id, title: 'Mine' })),
    codeOf(createTask(own, unclaimed(actor), { id, title: 'Again' })),
    codeOf(updateTask(own, unclaimed(actor), id, { title: 'Known before its answer' }, [1])),
    codeOf(deleteTask(own, unclaimed(actor), task.id, null)),
    patch('Gone'),
    codeOf(updateTask(own, unclaimed(actor), child.id, { title: 'Gone too' }, null)),
    codeOf(deleteTask(own, unclaimed(actor), id, [2])),
    codeOf(createTask(own, unclaimed(actor), { id, title: 'Not again' })),
  ])
  expect(outcomes).toEqual([
    'done',
    'version_conflict',
    'done',
    'not_found',
    'done',
    'id_taken',
    'done',
    'done',
    'not_found',
    'not_found',
    'done',
    'id_taken',
  ])
  const entries = await world.entries(projectScope(ada.inboxId))
  const of = (entity: string) =>
    entries.filter(({ entityId }) => entityId === entity).map(({ type, version }) => `${type} ${version}`)
  expect(of(task.id)).toEqual(['task.created 1', 'task.updated 2', 'task.updated 3', 'task.deleted 4'])
  expect(of(child.id)).toEqual(['task.created 1', 'task.deleted 2'])
  expect(of(id)).toEqual(['task.created 1', 'task.updated 2', 'task.deleted 3'])
})

test('a member that violates a constraint gets its own error, the others of its batch are written once', async () => {
  await using own = await openWrites()
  const project = await world.project(ada)
  const actor = actorOf(ada)
  // An account that was deleted while its request was on the way.
  const gone: Actor = { userId: newId(), role: 'admin', credential: { kind: 'system' } }
  const before = await world.entries(projectScope(project.id))
  const outcomes = await Promise.all(
    [actor, actor, gone, actor, actor].map((by, n) =>
      codeOf(createTask(own, unclaimed(by), { title: `N${n}`, projectId: project.id })),
    ),
  )
  expect(outcomes).toEqual(['done', 'done', 'unauthenticated', 'done', 'done'])
  const after = await world.entries(projectScope(project.id))
  expect(after.length).toBe(before.length + 4)
})

test('a failed member keeps nothing under its key, a repeated one is replayed', async () => {
  await using own = await openWrites()
  const actor = actorOf(ada)
  const task = written(await createTask(own, unclaimed(actor), { title: 'Start' }))
  const key = newId()
  const patch = (seen: number[] | null) =>
    updateTask(own, keyed(actor, key), task.id, { status: 'done' }, seen)
  const beside = () => createTask(own, keyed<Task>(actor, newId()), { title: 'Beside' })
  const [, failed] = await Promise.all([beside(), codeOf(patch([7])), beside()])
  expect(failed).toBe('version_conflict')
  const repeats = await Promise.all([patch(null), patch(null), beside(), patch(null)])
  expect(repeats.map(({ kind }) => kind)).toEqual(['written', 'replayed', 'written', 'replayed'])
  const bodies = repeats.map(({ response }) => response!.body)
  expect(new Set([bodies[0], bodies[1], bodies[3]]).size).toBe(1)
  const [row] = await world.server.deps.db.read(
    (sql) => sql<{ unfilled: number }[]>`
      select count(*)::int as unfilled from idempotency_keys where status is null`,
  )
  expect(row!.unfilled).toBe(0)
})

test('writes to other tasks are answered while one task is locked elsewhere, which is written after', async () => {
  await using own = await openWrites()
  const actor = actorOf(ada)
  const [held, other] = [
    written(await createTask(own, unclaimed(actor), { title: 'Held' })),
    written(await createTask(own, unclaimed(actor), { title: 'Other' })),
  ]
  await whileLocked(
    (tx) => tx`select from tasks where id = ${held.id} for update`,
    async (release) => {
      let isHeld = true
      const late = updateTask(own, unclaimed(actor), held.id, { title: 'Late' }, null)
      const isAnswered = late.finally(() => {
        isHeld = false
      })
      for (let n = 0; n < 5; n += 1) {
        const beside = await Promise.all([
          updateTask(own, unclaimed(actor), other.id, { title: `Beside ${n}` }, null),
          createTask(own, unclaimed(actor), { title: 'Made beside' }),
        ])
        expect(beside.map(({ kind }) => kind)).toEqual(['written', 'written'])
      }
      expect(isHeld).toBe(true)
      release()
      expect(written(await isAnswered).title).toBe('Late')
    },
  )
})

test('a batch that waits for a shard is rolled back after 200 ms, so that two processes never deadlock for longer', async () => {
  await using own = await openWrites()
  const actor = actorOf(ada)
  const task = written(await createTask(own, unclaimed(actor), { title: 'Start' }))
  let late: Promise<WriteResult<Task>> | undefined
  await whileLocked(
    async (tx) => {
      await tx`select from feed_head where shard = ${shardOf(projectScope(ada.inboxId))} for update`
      late = updateTask(own, unclaimed(actor), task.id, { title: 'Late' }, null)
      // The batch has the task and waits for the shard; this transaction has the shard and waits for the task.
      await eventually(async () => {
        const [row] = await own.db.read(
          (sql) => sql<{ waiting: number }[]>`
            select count(*)::int as waiting from pg_stat_activity
            where application_name = 'write-batches' and wait_event_type = 'Lock'`,
        )
        expect(row!.waiting).toBe(1)
      })
      await tx`update tasks set comment_count = 1, version = version + 1 where id = ${task.id}`
    },
    async () => {},
  )
  expect(written(await late!)).toMatchObject({ title: 'Late', commentCount: 1, version: 3 })
})

test('batches of two processes over the same tasks all end, with one version after another', async () => {
  await using one = await openWrites()
  await using two = await openWrites()
  const actor = actorOf(ada)
  const project = await world.project(ada)
  const tasks = await Promise.all(
    Array.from({ length: 6 }, async (_, n) =>
      written(await createTask(one, unclaimed(actor), { title: `T${n}`, projectId: project.id })),
    ),
  )
  const outcomes = await Promise.all(
    Array.from({ length: 120 }, (_, n) =>
      codeOf(updateTask(n % 2 ? one : two, unclaimed(actor), tasks[n % 6]!.id, { title: `N${n}` }, null)),
    ),
  )
  expect(new Set(outcomes)).toEqual(new Set(['done']))
  const entries = await world.entries(projectScope(project.id))
  for (const { id } of tasks) {
    const versions = entries.filter(({ entityId }) => entityId === id).map(({ version }) => version)
    expect(versions).toEqual(Array.from({ length: 21 }, (_, n) => n + 1))
  }
})

test('a caller has 512 writes waiting, the next is refused with 429, another caller is served', async () => {
  await using own = await openWrites()
  const bob = await world.register()
  await whileLocked(
    (tx) => tx`select from feed_head for update`,
    async (release) => {
      const flood = Array.from({ length: 1_100 }, () =>
        codeOf(createTask(own, unclaimed(actorOf(ada)), { title: 'Flood' })),
      )
      const other = codeOf(createTask(own, unclaimed(actorOf(bob)), { title: 'Other' }))
      release()
      expect(await other).toBe('done')
      const codes = await Promise.all(flood)
      expect(codes.slice(0, 512).filter((code) => code === 'rate_limited')).toEqual([])
      expect(codes.filter((code) => code === 'rate_limited').length).toBeGreaterThan(0)
    },
  )
}, 30_000)

/** One request of a random history. */
type Step = (deps: { writes: WriteCoalescer }, key: string) => Promise<WriteResult<unknown>>

interface History {
  people: Person[]
  projectId: string
  ids: string[]
}

const stepOf = (random: ReturnType<typeof createRandom>, { people, projectId, ids }: History): Step => {
  const actor = actorOf(random.pick(people))
  const id = random.pick(ids)
  const dice = random.next()
  const title = `T${random.between(0, 1_000_000)}`
  const parentId = random.next() < 0.5 ? random.pick(ids) : null
  const assigneeId = random.next() < 0.3 ? random.pick(people).id : null
  const seen = random.next() < 0.2 ? [random.between(1, 6)] : null
  if (dice < 0.35) {
    const input = { id, title, projectId, parentId: random.next() < 0.4 ? parentId : null, assigneeId }
    return (deps, key) => createTask(deps, keyed(actor, key), input)
  }
  if (dice < 0.6) {
    const status = random.pick(['todo', 'done', 'cancelled', 'in_progress'] as const)
    const patch = random.next() < 0.3 ? { title, assigneeId } : { status }
    return (deps, key) => updateTask(deps, keyed(actor, key), id, patch, seen)
  }
  if (dice < 0.7) return (deps, key) => updateTask(deps, keyed(actor, key), id, { parentId }, seen)
  if (dice < 0.75) return (deps, key) => replaceTask(deps, keyed(actor, key), id, { title, parentId }, seen)
  if (dice < 0.85) return (deps, key) => addTags(deps, keyed(actor, key), id, [`tag${random.between(0, 30)}`])
  if (dice < 0.9) {
    const some = Array.from({ length: 3 }, () => random.pick(ids))
    return (deps, key) => updateTasksInBulk(deps, keyed(actor, key), some, { priority: 'high' })
  }
  if (dice < 0.94) {
    return (deps, key) =>
      runOperations(deps, keyed(actor, key), [
        { op: 'update', id, data: { title }, ifVersion: null },
        { op: 'delete', id: random.pick(ids), ifVersion: null },
      ])
  }
  return (deps, key) => deleteTask(deps, keyed(actor, key), id, seen)
}

/** Frames and answers without what differs between two databases and moments. */
const comparable = (text: string | null, names: Map<string, string>): unknown => {
  if (text === null) return null
  const value: unknown = JSON.parse(text, (name, inner: unknown) => {
    if (['rank', 'createdAt', 'updatedAt', 'cursor', 'at'].includes(name)) return undefined
    if (name === 'completedAt') return inner !== null
    return inner
  })
  let plain = JSON.stringify(value)
  for (const [id, name] of names) plain = plain.replaceAll(id, name)
  return JSON.parse(plain)
}

test('a random history in batches is that of its requests one after another, in the order of the log', async () => {
  await using alone = await startWorld({ writeCoalescing: false })
  const random = createRandom(seed)
  const prepare = async (at: World): Promise<History> => {
    const people = [await at.register('A'), await at.register('B'), await at.register('C')]
    const [owner, editor, viewer] = [people[0]!, people[1]!, people[2]!]
    const project = await at.project(owner, { editor, viewer })
    return { people, projectId: project.id, ids: [] }
  }
  const create = async (at: World, { people: [owner], projectId, ids }: History): Promise<void> => {
    const operations = ids.slice(0, 20).map((id) => ({ op: 'create', data: { id, title: id, projectId } }))
    await at.ask(owner!, 'POST', '/api/tasks/batch', { operations })
  }
  const here = await prepare(world)
  const there = await prepare(alone)
  here.ids = there.ids = Array.from({ length: 40 }, () => newId())
  await create(world, here)
  await create(alone, there)
  const seeds = Array.from({ length: 300 }, () => random.between(0, 2 ** 31))
  const run = (history: History, deps: { writes: WriteCoalescer }, n: number) =>
    stepOf(createRandom(seeds[n]!), history)(deps, `step ${n}`)

  await using one = await openWrites()
  await using two = await openWrites()
  const answers: unknown[] = []
  for (let from = 0; from < seeds.length; from += 50) {
    const batch = Array.from({ length: 50 }, (_, n) => from + n)
    const settled = await Promise.allSettled(batch.map((n) => run(here, n % 3 === 0 ? two : one, n)))
    answers.push(...settled.map((answer) => (answer.status === 'fulfilled' ? answer.value : answer.reason)))
  }
  const unexpected = answers.filter(
    (answer) => answer instanceof Error && !(answer instanceof AppError && answer.status < 500),
  )
  expect(unexpected).toEqual([])

  // One after another, without batches, in the order of the log.
  const namesOf = ({ people, projectId }: History) =>
    new Map([[projectId, 'project'], ...people.map(({ id }, n): [string, string] => [id, `person ${n}`])])
  const logOf = async (at: World, { projectId }: History) =>
    (await at.entries(projectScope(projectId))).filter(({ op }) => op?.startsWith('step '))
  const logged = await logOf(world, here)
  const order = [...new Set(logged.map(({ op }) => op))].map((op) => Number(op!.slice('step '.length)))
  expect(order.length).toBeGreaterThan(40)
  await using serial = await openWrites(alone.databaseUrl, { isOn: false })
  for (const n of order) {
    const answer = await run(there, serial, n)
    expect(comparable(answer.response!.body, namesOf(there))).toEqual(
      comparable((answers[n] as WriteResult<unknown>).response!.body, namesOf(here)),
    )
  }
  const framesOf = (entries: typeof logged, history: History) =>
    entries.map(({ frame }) => comparable(frame, namesOf(history)))
  expect(framesOf(await logOf(alone, there), there)).toEqual(framesOf(logged, here))

  // The rows are those of the last entries.
  const rowsOf = async (at: World, { projectId }: History) =>
    at.server.deps.db.read(
      (sql) => sql`
        select id, parent_id, title, status, priority, assignee_id is null as free, tags, version, content_version,
          due_rev, completed_at is null as open, words::text, title_key, words_version <= version as current
        from tasks where project_id = ${projectId} order by id`,
    )
  const [rowsHere, rowsThere] = [await rowsOf(world, here), await rowsOf(alone, there)]
  const prefixOf = ({ projectId }: History) => projectId.slice(-8)
  const plain = (rows: unknown, history: History) =>
    JSON.stringify(rows).replaceAll(prefixOf(history), 'prefix')
  expect(plain(rowsHere, here)).toBe(plain(rowsThere, there))

  // Equal requests are replayed word for word, where their task can still be read.
  for (const n of order.slice(0, 60)) {
    const again = await run(here, one, n).catch((error: unknown) => error)
    if (again instanceof AppError) continue // it may no longer read the task
    const first = answers[n] as WriteResult<unknown>
    expect((again as WriteResult<unknown>).kind).toBe('replayed')
    expect((again as WriteResult<unknown>).response!.body).toBe(first.response!.body)
  }
}, 60_000)
