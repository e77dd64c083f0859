// Requeued dead letters: effects exactly once beside other requeues and lost connections, none where it fails again, and
// counters that stay equal to the rows.
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test'
import type { Tx } from '../../src/db/client.ts'
import { countDeadLetters, insertDeadLetter, selectDeadLetters } from '../../src/db/log/dead-letters.ts'
import { requeueDeadLetter, type LetterHandler } from '../../src/domain/dead-letters.ts'
import { checkCounters } from '../../src/domain/statistics/check.ts'
import { AppError, isTransient } from '../../src/errors.ts'
import { createLog } from '../../src/log.ts'
import { systemActor } from '../../src/model/actor.ts'
import type { LogEntry } from '../../src/model/event.ts'
import { projectScope, shardOf, userScope } from '../../src/model/scope.ts'
import { consumers } from '../../src/worker/all-consumers.ts'
import { stats } from '../../src/worker/consumers/stats.ts'
import { newStats, type Consumer } from '../../src/worker/engine/consumer.ts'
import { createLogSource } from '../../src/worker/engine/log-source.ts'
import { PositionStore } from '../../src/worker/engine/position-store.ts'
import { ShardConsumer } from '../../src/worker/engine/shard-consumer.ts'
import { checkStatistics, newStatisticsStats } from '../../src/worker/loops/statistics.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { announced, inboxes } from './rig.ts'

const log = createLog('test', 'silent')

let world: World
let anna: Person

beforeAll(async () => {
  world = await startWorld()
  anna = await world.register()
  await world.server.deps.db.transact((tx) => tx`create table handled (seq bigint)`)
}, 30_000)
beforeEach(() => world.server.deps.db.transact((tx) => tx`truncate handled, dead_letter`))
afterAll(() => world[Symbol.asyncDispose]())

/** The entry of a new task, assigned to the person. */
const assignment = async (person: Person): Promise<LogEntry> => {
  const { id } = await world.project(anna, { editor: person })
  await world.ask(anna, 'POST', '/api/tasks', { title: 'T', projectId: id, assigneeId: person.id })
  return (await world.entries(projectScope(id))).find(({ type }) => type === 'task.created')!
}

const bury = (consumer: string, entry: LogEntry): Promise<void> =>
  world.server.deps.db.transact((tx) =>
    insertDeadLetter(tx, { consumer, entry, error: 'a bug', attempts: 5 }),
  )

const requeue = (handlers: readonly LetterHandler[], consumer: string, { shard, seq }: LogEntry) => {
  const { db, publisher } = world.server.deps
  return requeueDeadLetter({ db, publisher, consumers: handlers }, { consumer, shard, seq }, systemActor)
}

const letters = (): Promise<number> => world.server.deps.db.read(countDeadLetters)

const handled = (): Promise<number[]> =>
  world.server.deps.db.read(async (sql) =>
    (await sql<{ seq: number }[]>`select seq from handled order by seq`).map(({ seq }) => seq),
  )

/** Inserts the number of the entry, then does `after`. */
const recording = (after: (tx: Tx) => Promise<unknown>): LetterHandler => ({
  name: 'recording',
  async handle(tx, entries) {
    for (const { seq } of entries) await tx`insert into handled (seq) values (${seq})`
    await after(tx)
    return []
  },
})

test('a letter that five requeue at once notifies once, and open sockets too', async () => {
  const bert = await world.register()
  const entry = await assignment(bert)
  await bury('notifications', entry)
  await using socket = await world.socket(bert)
  socket.send({ t: 'sub', rid: 1, scope: 'user:me', cursor: null })
  await socket.take('synced')
  // On a slow machine a requeue may give up waiting for the lock of the letter.
  const outcomes = await Promise.all(
    Array.from({ length: 5 }, () =>
      requeue(consumers, 'notifications', entry).then(
        ({ outcome }) => outcome,
        (error: unknown) => (isTransient(error) ? 'missing' : error),
      ),
    ),
  )
  expect(outcomes.filter((one) => one === 'requeued')).toHaveLength(1)
  expect(outcomes.filter((one) => one === 'missing')).toHaveLength(4)
  const once = [`assigned ${entry.entityId} ${bert.id}`]
  expect((await inboxes(world)).filter((one) => one.endsWith(bert.id))).toEqual(once)
  expect((await announced(world)).filter((one) => one.endsWith(bert.id))).toEqual(once)
  expect(await socket.take((frame) => frame.type === 'notification.created')).toMatchObject({
    scope: userScope(bert.id),
  })
  expect(await letters()).toBe(0)
})

test('a letter that fails again stays without effects, and is handled once its cause is gone', async () => {
  const entry = await assignment(await world.register())
  await bury('recording', entry)
  let isBroken = true
  const handlers = [
    recording(async () => {
      if (isBroken) throw new Error('still a bug')
    }),
  ]
  expect(await requeue(handlers, 'recording', entry)).toEqual({ outcome: 'failed', error: 'still a bug' })
  expect([await handled(), await letters()]).toEqual([[], 1])
  expect(await world.server.deps.db.read(selectDeadLetters)).toMatchObject([
    { error: 'still a bug', attempts: 6 },
  ])
  isBroken = false
  expect(await requeue(handlers, 'recording', entry)).toEqual({ outcome: 'requeued' })
  expect(await requeue(handlers, 'recording', entry)).toEqual({ outcome: 'missing' })
  expect([await handled(), await letters()]).toEqual([[entry.seq], 0])
})

test('a requeue whose session ends before the commit has no effect, and can be repeated', async () => {
  const entry = await assignment(await world.register())
  await bury('recording', entry)
  let tries = 0
  const handlers = [
    recording(async (tx) => {
      if ((tries += 1) === 1) await tx`select pg_terminate_backend(pg_backend_pid())`
    }),
  ]
  const failed = await requeue(handlers, 'recording', entry).catch((error: unknown) => error)
  expect(failed).toBeInstanceOf(AppError)
  expect(failed).toMatchObject({ code: 'unavailable' })
  expect([await handled(), await letters()]).toEqual([[], 1])
  expect(await requeue(handlers, 'recording', entry)).toEqual({ outcome: 'requeued' })
  expect([await handled(), await letters()]).toEqual([[entry.seq], 0])
})

test('a letter of a consumer that this version does not have stays', async () => {
  const entry = await assignment(await world.register())
  await bury('gone', entry)
  expect(await requeue(consumers, 'gone', entry)).toEqual({ outcome: 'unknown' })
  expect(await letters()).toBe(1)
})

/** Counts the project's log by a consumer that cannot handle `poison`, until the letter is there. */
const countWithout = async (poison: LogEntry): Promise<void> => {
  const { db, publisher, follower } = world.server.deps
  const failing: Consumer = {
    ...stats,
    collectMs: 0,
    async handle(tx, entries) {
      if (entries.some(({ seq }) => seq === poison.seq)) throw new Error('cannot be counted')
      return stats.handle(tx, entries)
    },
  }
  using source = createLogSource(follower)
  const stop = new AbortController()
  const deps = { db, publisher, source, positions: new PositionStore(db), log }
  const running = new ShardConsumer(deps, failing, shardOf(poison.scope), newStats()).run(stop.signal)
  await eventually(async () => expect(await letters()).toBe(1), { timeoutMs: 15_000 })
  stop.abort()
  await running
}

test.each([false, true])(
  'counters equal the rows after a letter of stats is requeued; repaired by the nightly check before: %p',
  async (isRepaired) => {
    const { db } = world.server.deps
    const entry = await assignment(await world.register())
    const projectId = entry.scope.slice('project:'.length)
    await countWithout(entry)
    const state = () => db.snapshot((tx) => checkCounters(tx, projectId))
    expect(await state()).toBe('drifted')
    if (isRepaired) {
      const drift = newStatisticsStats()
      await checkStatistics({ db, log, stats: drift, signal: new AbortController().signal }, [projectId])
      expect(drift.drifted).toBe(1)
    }
    expect(await requeue(consumers, 'stats', entry)).toEqual({ outcome: 'requeued' })
    expect([await state(), await letters()]).toEqual(['exact', 0])
  },
  30_000,
)
