// Tail, ring, hub and history together: which state a listener sees when it is called.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { LogFollower } from '../../../src/changelog/follower/log-follower.ts'
import { newLiveStats } from '../../../src/changelog/live-stats.ts'
import { ensureEpoch } from '../../../src/db/log/epochs.ts'
import { shardOf } from '../../../src/model/scope.ts'
import { openRedis } from '../../../src/redis/connection.ts'
import { eventually } from '../../support/eventually.ts'
import { commit, entryOf, log, openWorld, scopeOf, type World } from '../world.ts'

let world: World
const scope = scopeOf(1)
const shard = shardOf(scope)

beforeAll(async () => {
  world = await openWorld()
})
afterAll(() => world[Symbol.asyncDispose]())

const open = async (): Promise<LogFollower & { replays: ReturnType<typeof newLiveStats>['replays'] }> => {
  const { connect, redis, db, tailDb } = world
  const stats = newLiveStats()
  const follower = new LogFollower({ connect, redis, db, tailDb, log, stats })
  await follower.start()
  return Object.assign(follower, { replays: stats.replays })
}

const append = () => commit(world.db, [entryOf(scope)])

test('positions and memory include an entry before control listeners, subscribers and readers receive it', async () => {
  await using follower = await open()
  const before = follower.positions[shard]!
  const received: string[] = []
  const note = (who: string): void => {
    const held = follower.history.recent(shard, before)!.at(-1)!.seq
    received.push(`${who} ${follower.positions[shard]! - before} ${held - before}`)
  }
  follower.onControl(() => note('control'))
  follower.subscribe(scope, { onEntries: () => note('subscriber') }, 'immediate')
  follower.onAdvance((advanced) => advanced === shard && note('reader'))
  await commit(world.db, [{ ...entryOf(scope), control: { kind: 'delete' } }])
  await eventually(() => expect(received).toEqual(['control 1 1', 'subscriber 1 1', 'reader 1 1']))
})

test('whole entries are read from memory, from the stream or from the log, up to the position', async () => {
  await append()
  await using follower = await open() // knows the entry by its number alone
  const before = follower.positions[shard]!
  await append()
  await eventually(() => expect(follower.positions[shard]).toBe(before + 1))
  expect(await follower.read(shard, before + 1, 10)).toEqual([])
  expect(await follower.read(shard, before, 10)).toMatchObject([{ seq: before + 1, scope }])
  expect(await follower.read(shard, before - 1, 10)).toMatchObject([{ seq: before }, { seq: before + 1 }])
  expect(follower.replays).toEqual({ ring: 1, stream: 0, log: 1, shared: 0 })
})

test('a new epoch empties the memory, then calls the listeners in order, then the subscribers', async () => {
  await using follower = await open()
  await append()
  await eventually(() =>
    expect(follower.history.recent(shard, follower.positions[shard]! - 1)).not.toBeNull(),
  )
  const called: string[] = []
  follower.subscribe(scope, { onEntries() {}, onEpochChange: () => called.push('subscriber') }, 'immediate')
  follower.onEpochChange(() => {
    expect(follower.history.recent(shard, follower.positions[shard]! - 1)).toBeNull()
    called.push(`first in ${follower.epoch}`)
  })
  follower.onEpochChange(() => called.push('second'))
  const leave = follower.onEpochChange(() => called.push('left'))
  leave()
  const { epoch } = await world.db.transact((tx) => ensureEpoch(tx, true))
  await follower.awaitEpoch(epoch)
  expect(called).toEqual([`first in ${epoch}`, 'second', 'subscriber'])
})

test('a subscriber that throws is reported to every failure listener, and following goes on', async () => {
  await using follower = await open()
  const failures: string[] = []
  follower.onDeliveryFailure(() => failures.push('first'))
  follower.onDeliveryFailure(() => failures.push('second'))
  const leave = follower.subscribe(
    scope,
    {
      onEntries() {
        throw new Error('a bug')
      },
    },
    'immediate',
  )
  await append()
  await eventually(() => expect(failures).toEqual(['first', 'second']))
  leave()
  let received = 0
  follower.subscribe(scope, { onEntries: ({ length }) => (received += length) }, 'immediate')
  await append()
  await eventually(() => expect(received).toBe(1))
  expect(failures).toHaveLength(2)
  expect(follower.scopeCount).toBe(1)
})

test('entries of this process are received without Redis, in order and once', async () => {
  const { redis, db, tailDb } = world
  const connect = () => openRedis('redis://127.0.0.1:1', 'blocking', log) // no stream is ever read
  await using follower = new LogFollower({ connect, redis, db, tailDb, log })
  await follower.start()
  const received: number[] = []
  follower.subscribe(
    scope,
    { onEntries: (entries) => received.push(...entries.map(({ seq }) => seq)) },
    'immediate',
  )
  const [first, second, third] = [await append(), await append(), await append()]
  const seqs = [first, second, third].map(({ entries }) => entries[0]!.seq)
  // Offered in another order than committed, twice, and with one that does not belong to this epoch.
  for (const one of [second, first, second, { epoch: 'other', entries: third.entries }]) follower.offer(one)
  expect(received).toEqual([])
  await eventually(() => expect(received.length).toBeGreaterThan(1), { everyMs: 1 })
  expect(received).toEqual(seqs.slice(0, received.length))
  expect(follower.stats.fromCommit).toBe(2)
  await eventually(() => expect(received).toEqual(seqs)) // the last one from the log
})

test('an entry that does not continue its shard waits for the one before it', async () => {
  await using follower = await open()
  const received: number[] = []
  follower.subscribe(
    scope,
    { onEntries: (entries) => received.push(...entries.map(({ seq }) => seq)) },
    'immediate',
  )
  const [first, second] = [await append(), await append()] // the first as if by another process
  follower.offer(second)
  await eventually(() => expect(received.length).toBe(2))
  expect(received).toEqual([first, second].map(({ entries }) => entries[0]!.seq))
})
