// From COMMIT to the streams, and repairs of streams: gaps, FLUSHALL, a Redis that is down or does not answer.
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test'
import { ensureEpoch } from '../../src/db/log/epochs.ts'
import { readHeads } from '../../src/db/log/feed.ts'
import { type Appended } from '../../src/db/log/append.ts'
import { createPublisher, type StreamPublisher } from '../../src/changelog/publisher.ts'
import { openRedis } from '../../src/redis/connection.ts'
import { repairStream } from '../../src/changelog/repair-stream.ts'
import { readLog, type LogPage } from '../../src/changelog/follower/read-log.ts'
import { Ring } from '../../src/changelog/follower/ring.ts'
import { pushEntries, readStream, readTop, streamKey } from '../../src/changelog/stream.ts'
import { plainEntry } from '../../src/changelog/stream-entry.ts'
import { startSweeper, type Sweeper } from '../../src/changelog/sweeper.ts'
import { shardOf } from '../../src/model/scope.ts'
import type { LogEntry } from '../../src/model/event.ts'
import { durationOf, eventually, expectWithin } from '../support/eventually.ts'
import { commit, commitMany, entryOf, log, openWorld, scopeOf, type World } from './world.ts'

let world: World
let publisher: StreamPublisher
let epoch: string
const scope = scopeOf(1)
const shard = shardOf(scope)

beforeAll(async () => {
  world = await openWorld()
  epoch = (await world.db.read(readHeads)).epoch
})

beforeEach(async () => {
  await world.redis.flushall()
  await publisher?.[Symbol.asyncDispose]()
  publisher = createPublisher({ redis: world.redis, db: world.db, log })
})

afterAll(async () => {
  await publisher[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

const held = async (): Promise<number[]> =>
  (await readStream(world.redis, epoch, shard, 0, Number.MAX_SAFE_INTEGER, 100_000)).map(({ seq }) => seq)

const head = async (): Promise<number> => (await world.db.read(readHeads)).seqs[shard]!

const entriesOf = (appended: Appended[]): LogEntry[] =>
  appended.flatMap(({ entries }) => entries).sort((a, b) => a.seq - b.seq)

const lastOf = ({ entries }: Appended): number => entries.at(-1)!.seq

test('published entries arrive as they were appended', async () => {
  const appended = await commit(world.db, [entryOf(scope), entryOf(scope), entryOf(scopeOf(2))])
  publisher.publish(appended)
  await eventually(() => expect(publisher.stats.pushed).toBe(3))
  for (const entry of appended.entries) {
    const [read] = await readStream(world.redis, epoch, entry.shard, entry.seq - 1, entry.seq, 1)
    expect(plainEntry(read!)).toEqual(entry)
  }
})

test('entries committed while a push is in flight are in the next push, in any order of publish calls', async () => {
  const appended = await commitMany(world.db, scope, 40)
  appended.sort((a, b) => lastOf(a) - lastOf(b))
  publisher.publish(appended[0]!)
  for (const one of appended.slice(1).toReversed()) publisher.publish(one)
  await eventually(() => expect(publisher.stats.pushed).toBe(40))
  expect(publisher.stats).toMatchObject({ pushes: 2, refused: 0, failed: 0, dropped: 0 })
  const seqs = appended.map(lastOf)
  expect(await held()).toEqual(seqs)
})

test('a gap left by another process is filled from the log', async () => {
  const [first, ...others] = [...(await commitMany(world.db, scope, 6))].sort((a, b) => lastOf(a) - lastOf(b))
  publisher.publish(first!)
  await eventually(() => expect(publisher.stats.pushed).toBe(1))
  publisher.publish(others.at(-1)!) // the four between were committed by a process that crashed
  await eventually(async () => expect(await held()).toHaveLength(6))
  expect(publisher.stats).toMatchObject({ refused: 1, failed: 0 })
})

test('publishing while Redis is down takes no time and raises no error', async () => {
  const client = openRedis('redis://127.0.0.1:1', 'request', log)
  const disconnected = createPublisher({ redis: client.client, db: world.db, log })
  const appended = await commit(world.db, [entryOf(scope)])
  let published = 0
  await expectWithin(100, () =>
    durationOf(() => {
      for (let n = 0; n < 1_000; n += 1) disconnected.publish(appended)
      published += 1_000
    }),
  )
  await eventually(() => expect(disconnected.stats.dropped).toBe(published))
  await disconnected[Symbol.asyncDispose]()
  await client[Symbol.asyncDispose]()
})

test('the backlog behind a Redis that does not answer is bounded, and closing does not wait for it', async () => {
  const client = openRedis(world.server.url, 'request', log)
  await eventually(() => client.client.ping())
  const waiting = createPublisher({ redis: client.client, db: world.db, log })
  const appended = await commit(world.db, [entryOf(scope, 1, { title: 'x'.repeat(10_000) })])
  process.kill(world.server.pid, 'SIGSTOP')
  try {
    for (let n = 0; n < 2_000; n += 1) waiting.publish(appended) // 20 MB
    expect(waiting.stats.dropped).toBeGreaterThan(1_000)
    const startedAt = performance.now()
    await waiting[Symbol.asyncDispose]()
    await client[Symbol.asyncDispose]()
    expect(performance.now() - startedAt).toBeLessThan(4_000)
  } finally {
    process.kill(world.server.pid, 'SIGCONT')
  }
  await eventually(() => world.redis.ping())
})

test('the sweeper pushes entries that no process pushed', async () => {
  await commitMany(world.db, scope, 300)
  await using sweeper = startSweeper({ redis: world.redis, db: world.tailDb, log, onLost: async () => {} })
  await eventually(async () => expect((await held()).at(-1)).toBe(await head()))
  await commitMany(world.db, scope, 30)
  await eventually(async () => expect((await held()).at(-1)).toBe(await head()))
  const seqs = await held()
  expect(seqs).toEqual(seqs.map((_, n) => seqs[0]! + n))
  expect(sweeper.stats.repairs).toBeGreaterThan(1)
})

test('a stream that cannot be filled does not keep the sweeper from the others', async () => {
  const broken = streamKey(epoch, shard === 0 ? 1 : 0)
  await world.redis.set(broken, 'no stream')
  await commitMany(world.db, scope, 20)
  await using sweeper = startSweeper({ redis: world.redis, db: world.tailDb, log, onLost: async () => {} })
  await eventually(async () => expect((await held()).at(-1)).toBe(await head()))
  await eventually(() => expect(sweeper.stats.failures).toBeGreaterThan(1))
  await commitMany(world.db, scope, 20)
  await eventually(async () => expect((await held()).at(-1)).toBe(await head()))
  await world.redis.del(broken)
})

test('after FLUSHALL a stream restarts with the last entries, not with the first', async () => {
  for (let n = 0; n < 4; n += 1) await commitMany(world.db, scope, 200)
  await using _ = startSweeper({ redis: world.redis, db: world.tailDb, log, onLost: async () => {} })
  await eventually(async () => expect((await held()).at(-1)).toBe(await head()))
  await world.redis.flushall()
  await eventually(async () => expect((await held()).at(-1)).toBe(await head()))
  expect((await held()).length).toBe(512)
})

test('a stream that ends before the retained log restarts where the log begins', async () => {
  const old = await commit(world.db, [entryOf(scope)])
  publisher.publish(old)
  await eventually(() => expect(publisher.stats.pushed).toBe(1))
  await commitMany(world.db, scope, 20)
  const top = lastOf(old)
  await world.db.read((sql) => sql`delete from feed where shard = ${shard} and seq <= ${top + 10}`) // retention
  expect(
    await repairStream({ redis: world.redis, db: world.db }, { epoch, shard, top, upTo: top + 20 }),
  ).toBe('done')
  expect(await held()).toEqual(Array.from({ length: 10 }, (_, n) => top + 11 + n))
  const upTo = top + 10
  expect(await repairStream({ redis: world.redis, db: world.db }, { epoch, shard, top, upTo })).toBe(
    'nothing',
  )
})

/** A sweeper whose first attempt to replace the epoch fails. */
const startFailingOnce = (lost: string[]): Sweeper =>
  startSweeper({
    redis: world.redis,
    db: world.tailDb,
    log,
    async onLost(found) {
      lost.push(found)
      if (lost.length === 1) throw new Error('PostgreSQL is away again')
      await world.db.transact((tx) => ensureEpoch(tx, found))
    },
    everyMs: 10,
  })

const expectNoFurtherLoss = async (sweeper: Sweeper, lost: string[]): Promise<void> => {
  const { ticks } = sweeper.stats
  const { length } = lost
  await eventually(() => expect(sweeper.stats.ticks).toBeGreaterThan(ticks + 3))
  expect(lost).toHaveLength(length)
}

test('a stream ahead of the log ends its epoch, also after a failed attempt', async () => {
  const [last] = (await commit(world.db, [entryOf(scope)])).entries
  const lost: string[] = []
  await using sweeper = startFailingOnce(lost)
  await expectNoFurtherLoss(sweeper, lost)
  expect(lost).toEqual([])
  await pushEntries(world.redis, epoch, shard, [{ ...last!, seq: last!.seq + 1 }])
  await eventually(async () => expect((await world.db.read(readHeads)).epoch).not.toBe(epoch))
  expect(lost).toEqual([epoch, epoch])
  await expectNoFurtherLoss(sweeper, lost)
  ;({ epoch } = await world.db.read(readHeads))
})

test('a failover ends the epoch, also when later entries have taken the lost numbers', async () => {
  await commit(world.db, [entryOf(scope)])
  const lost: string[] = []
  await using sweeper = startFailingOnce(lost)
  await expectNoFurtherLoss(sweeper, lost)
  await world.db.transact((tx) => tx`update feed_origin set timeline = timeline + 1`)
  await eventually(async () => expect((await world.db.read(readHeads)).epoch).not.toBe(epoch))
  expect(lost).toEqual([epoch, epoch])
  await expectNoFurtherLoss(sweeper, lost)
  ;({ epoch } = await world.db.read(readHeads))
})

test('the sweeper continues after Redis was down', async () => {
  await using sweeper = startSweeper({
    redis: world.redis,
    db: world.tailDb,
    log,
    onLost: async () => {},
    everyMs: 20,
  })
  await world.server.kill()
  await eventually(() => expect(sweeper.stats.failures).toBeGreaterThan(0))
  await commitMany(world.db, scope, 10)
  await world.server.start()
  await eventually(async () => expect((await held()).at(-1)).toBe(await head()))
})

test('a read uses the nearest source that has the next number', async () => {
  const ring = new Ring()
  const sources = { ring, redis: world.redis, db: world.db }
  const entries = entriesOf(await commitMany(world.db, scope, 30))
  const first = entries[0]!.seq
  const last = entries.at(-1)!.seq
  publisher.publish({ epoch, entries: entries.slice(10) })
  await eventually(() => expect(publisher.stats.pushed).toBe(20))
  ring.append(shard, entries.slice(20))

  const cases: { after: number; source: LogPage['source']; count: number }[] = [
    { after: last - 5, source: 'ring', count: 5 },
    { after: first + 12, source: 'stream', count: 17 },
    { after: first + 9, source: 'stream', count: 20 },
    { after: first + 8, source: 'log', count: 21 },
    { after: first - 1, source: 'log', count: 30 },
    { after: last, source: 'log', count: 0 },
  ]
  for (const { after, source, count } of cases) {
    const page = await readLog(sources, epoch, shard, after, last, 1_000)
    expect({ source: page.source, entries: page.entries.map(plainEntry) }).toEqual({
      source,
      entries: entries.filter(({ seq }) => seq > after),
    })
    expect(page.entries).toHaveLength(count)
  }
  const bounded = await readLog(sources, epoch, shard, last - 8, last - 4, 3)
  expect(bounded.entries.map(({ seq }) => seq)).toEqual([last - 7, last - 6, last - 5])
})

test('a stream with a gap or without entries is not used', async () => {
  const entries = entriesOf(await commitMany(world.db, scope, 5))
  const first = entries[0]!.seq
  publisher.publish({ epoch, entries })
  await eventually(() => expect(publisher.stats.pushed).toBe(5))
  await world.redis.xdel(streamKey(epoch, shard), `${first + 2}-0`)
  const page = await readLog({ redis: world.redis, db: world.db }, epoch, shard, first - 1, first + 4, 10)
  expect(page.source).toBe('log')
  expect(page.entries).toHaveLength(5)
})

test('reading continues while Redis is down', async () => {
  const { entries } = await commit(world.db, [entryOf(scope), entryOf(scope)])
  const client = openRedis('redis://127.0.0.1:1', 'request', log)
  const after = entries[0]!.seq - 1
  const page = await readLog({ redis: client.client, db: world.db }, epoch, shard, after, after + 2, 10)
  expect(page).toEqual({ source: 'log', entries })
  await client[Symbol.asyncDispose]()
})

test('tops are 0 without a stream', async () => {
  expect(await readTop(world.redis, epoch, 15 - shard)).toBe(0)
})
