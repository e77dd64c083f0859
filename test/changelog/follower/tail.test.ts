// Following the log during failures of Redis, PostgreSQL and writers. At the end the received entries are compared
// with the whole log: none lost, repeated, reordered or foreign.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'bun:test'
import { addressOf } from '../../../src/db/address.ts'
import { openDatabase } from '../../../src/db/client.ts'
import { ensureEpoch } from '../../../src/db/log/epochs.ts'
import { readHeads } from '../../../src/db/log/feed.ts'
import { createPublisher, type StreamPublisher } from '../../../src/changelog/publisher.ts'
import { openRedis } from '../../../src/redis/connection.ts'
import { streamKey } from '../../../src/changelog/stream.ts'
import { encodeEntry } from '../../../src/changelog/stream-entry.ts'
import { shardCount, shardOf } from '../../../src/model/scope.ts'
import { startSweeper, type Sweeper } from '../../../src/changelog/sweeper.ts'
import { durationOf, eventually, expectWithin } from '../../support/eventually.ts'
import { tcpProxy } from '../../support/tcp-proxy.ts'
import { noErrors } from '../received-entries.ts'
import { randomOf, seed } from '../seed.ts'
import { follow, startTraffic, type Follower } from '../traffic.ts'
import { commit, commitMany, entryOf, log, openWorld, scopeOf, type World } from '../world.ts'

let world: World
let publisher: StreamPublisher
let sweeper: Sweeper
let alarms: number
const scope = scopeOf(1)
const shard = shardOf(scope)

beforeAll(async () => {
  world = await openWorld()
})

beforeEach(async () => {
  await eventually(() => world.redis.flushall())
  publisher = createPublisher({ redis: world.redis, db: world.db, log })
  alarms = 0
  const onLost = async (): Promise<void> => void (alarms += 1)
  sweeper = startSweeper({ redis: world.redis, db: world.tailDb, log, onLost })
})

afterEach(async () => {
  await sweeper[Symbol.asyncDispose]()
  await publisher[Symbol.asyncDispose]()
  expect(alarms).toBe(0)
})

afterAll(() => world[Symbol.asyncDispose]())

test('entries arrive in order, once, within milliseconds of their commit', async () => {
  const arrivedAt = new Map<string, number>()
  await using follower = await follow(world, {
    also: (_, entries) => {
      for (const { entityId } of entries) arrivedAt.set(entityId!, performance.now())
    },
  })
  let tries = 0
  await expectWithin(5, async () => {
    tries += 1
    const waitsMs: number[] = []
    for (let n = 0; n < 300; n += 1) {
      const entry = entryOf(scopeOf(n))
      const appended = await commit(world.db, [entry])
      const committedAt = performance.now()
      publisher.publish(appended)
      await eventually(() => expect(arrivedAt.has(entry.id!)).toBe(true), { everyMs: 1 })
      waitsMs.push(arrivedAt.get(entry.id!)! - committedAt)
    }
    const median = waitsMs.sort((a, b) => a - b)[150]!
    console.log(`commit to tail: median ${median.toFixed(2)} ms, p99 ${waitsMs[297]!.toFixed(2)} ms`)
    return median
  })
  expect(await follower.deliveryErrors()).toEqual(noErrors)
  const { fromStream, fromLog, gapFills, contiguityViolations } = follower.tail.stats
  expect({ all: fromStream + fromLog, gapFills, contiguityViolations }).toEqual({
    all: 300 * tries,
    gapFills: 0,
    contiguityViolations: 0,
  })
  expect(fromLog).toBeLessThan(10) // a slow push is overtaken by the poll of the log
})

test('several tails receive the same entries, each from the heads at its start', async () => {
  await using early = await follow(world)
  await using traffic = startTraffic(world, publisher, randomOf(seed))
  await eventually(() => expect(traffic.acknowledged.length).toBeGreaterThan(50))
  await using late = await follow(world)
  await eventually(() => expect(traffic.acknowledged.length).toBeGreaterThan(150))
  await traffic.stop()
  expect(await early.deliveryErrors()).toEqual(noErrors)
  expect(await late.deliveryErrors()).toEqual(noErrors)
  expect(late.received.entries.length).toBeLessThan(early.received.entries.length)
})

test('entries that no writer pushes arrive from the log within half a second, also without a sweeper', async () => {
  await sweeper[Symbol.asyncDispose]()
  await using follower = await follow(world)
  let committed = 0
  await expectWithin(500, async () => {
    await commitMany(world.db, scope, 5)
    committed += 5
    return durationOf(async () => expect(await follower.deliveryErrors()).toEqual(noErrors))
  })
  expect(follower.tail.stats).toMatchObject({ fromStream: 0, fromLog: committed })
})

test('a gap before the next entry of a stream is filled; a reader of the stream alone loses entries', async () => {
  await sweeper[Symbol.asyncDispose]()
  const { epoch, seqs } = await world.db.read(readHeads)
  await using follower = await follow(world)
  publisher.publish(await commit(world.db, [entryOf(scope)]))
  await eventually(() => expect(follower.tail.stats.fromStream).toBe(1))
  await commitMany(world.db, scope, 3) // by a process that crashed before its pushes
  await world.redis.flushall()
  publisher.publish(await commit(world.db, [entryOf(scope)]))
  await eventually(() => expect(follower.received.entries.length).toBe(5), { everyMs: 1 })
  expect(await follower.deliveryErrors()).toEqual(noErrors)
  expect(follower.tail.stats.contiguityViolations).toBe(0)

  // The negative control: what a plain XREAD from the first entry on returns.
  const streamed = await world.redis.xread('STREAMS', streamKey(epoch, shard), `${seqs[shard]! + 1}-0`)
  expect(streamed![0]![1]).toHaveLength(1) // of four
})

test('a gap within a stream is detected and filled from the log', async () => {
  await sweeper[Symbol.asyncDispose]()
  await using follower = await follow(world)
  const { epoch, entries } = await commit(world.db, [entryOf(scope), entryOf(scope), entryOf(scope)])
  const adding = world.redis.multi() // no process of ours writes this; an operator with redis-cli can
  for (const entry of [entries[0]!, entries[2]!]) {
    const fields = encodeEntry(entry).flatMap((value, n) => ['sfce'[n]!, value])
    adding.xadd(streamKey(epoch, shard), `${entry.seq}-0`, ...fields)
  }
  await adding.exec()
  expect(await follower.deliveryErrors()).toEqual(noErrors)
  expect(follower.tail.stats.contiguityViolations).toBe(1)
})

/** Runs `disturb` under traffic; returns the follower's delivery errors and figures. */
const underTraffic = async (
  disturb: (follower: Follower) => Promise<void>,
  { connect = world.connect, perSecond = 300 } = {},
) => {
  await using follower = await follow(world, { connect })
  await using traffic = startTraffic(world, publisher, randomOf(seed), { perSecond })
  await eventually(() => expect(follower.received.entries.length).toBeGreaterThan(50))
  await disturb(follower)
  const before = follower.tail.stats.fromStream
  await eventually(() => expect(follower.tail.stats.fromStream).toBeGreaterThan(before + 50), {
    timeoutMs: 8_000,
  })
  await traffic.stop()
  const deliveryErrors = await follower.deliveryErrors()
  const received = new Set(follower.received.entries.map(({ entityId }) => entityId))
  const missing = traffic.acknowledged.filter((id) => !received.has(id)).length
  await eventually(() => expect(Date.now() - follower.tail.confirmedAt).toBeLessThan(1_000))
  return { deliveryErrors, missing, stats: follower.tail.stats }
}

/** Resolves when the follower has received `count` further entries from the sources. */
const furtherEntries = (
  { tail: { stats } }: Follower,
  count: number,
  sources: ('fromStream' | 'fromLog')[] = ['fromStream', 'fromLog'],
): Promise<void> => {
  const soFar = (): number => sources.reduce((sum, source) => sum + stats[source], 0)
  const upTo = soFar() + count
  return eventually(() => expect(soFar()).toBeGreaterThanOrEqual(upTo), { timeoutMs: 8_000 })
}

const withoutErrors = {
  deliveryErrors: noErrors,
  missing: 0,
  stats: expect.objectContaining({ contiguityViolations: 0 }),
}

test('Redis is flushed repeatedly', async () => {
  const outcome = await underTraffic(async (follower) => {
    for (let n = 0; n < 5; n += 1) {
      await world.redis.flushall()
      await furtherEntries(follower, 12)
    }
  })
  expect(outcome).toEqual(withoutErrors)
}, 20_000)

test('all client connections of Redis are killed repeatedly', async () => {
  const killer = openRedis(world.server.url, 'request', log)
  await eventually(() => killer.client.ping())
  const outcome = await underTraffic(async (follower) => {
    for (let n = 0; n < 5; n += 1) {
      await killer.client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
      await furtherEntries(follower, 12)
    }
  })
  await killer[Symbol.asyncDispose]()
  expect(outcome).toEqual(withoutErrors)
}, 20_000)

test('Redis is killed with SIGKILL and started empty', async () => {
  const outcome = await underTraffic(async (follower) => {
    await world.server.kill()
    await furtherEntries(follower, 90, ['fromLog'])
    await world.server.start()
  })
  expect(outcome).toEqual(withoutErrors)
}, 20_000)

test('Redis is frozen until its connection is replaced: entries arrive from the log', async () => {
  let connections = 0
  const connect = () => {
    connections += 1
    return world.connect()
  }
  const outcome = await underTraffic(
    async (follower) => {
      const before = connections
      process.kill(world.server.pid, 'SIGSTOP')
      try {
        await furtherEntries(follower, 301, ['fromLog'])
        await eventually(() => expect(connections).toBeGreaterThan(before), { timeoutMs: 8_000 })
      } finally {
        process.kill(world.server.pid, 'SIGCONT')
      }
    },
    { connect },
  )
  expect(outcome).toEqual(withoutErrors)
  expect(outcome.stats.fromLog).toBeGreaterThan(300)
}, 20_000)

test('a connection to Redis that goes half-open is replaced', async () => {
  const { hostname, port, password } = new URL(world.server.url)
  await using proxy = await tcpProxy({ host: hostname, port: Number(port) })
  const connect = () => openRedis(`redis://:${password}@127.0.0.1:${proxy.port}`, 'blocking', log)
  const outcome = await underTraffic(
    async (follower) => {
      proxy.blackhole()
      await furtherEntries(follower, 150, ['fromLog'])
      proxy.heal() // new connections only
    },
    { connect },
  )
  expect(outcome).toEqual(withoutErrors)
}, 20_000)

test('Redis is out of memory: entries arrive from the log', async () => {
  await using follower = await follow(world)
  await using traffic = startTraffic(world, publisher, randomOf(seed))
  await world.redis.config('SET', 'maxmemory', '1')
  await eventually(() => expect(publisher.stats.failed).toBeGreaterThan(10))
  await eventually(() => expect(follower.received.entries.length).toBeGreaterThan(100))
  await world.redis.config('SET', 'maxmemory', '0')
  const { fromStream } = follower.tail.stats
  await eventually(() => expect(follower.tail.stats.fromStream).toBeGreaterThan(fromStream + 50))
  await traffic.stop()
  expect(await follower.deliveryErrors()).toEqual(noErrors)
}, 20_000)

test('Redis is down at the start and up later', async () => {
  const { port, password } = new URL(world.server.url)
  await world.server.kill()
  await using follower = await follow(world, {
    connect: () => openRedis(`redis://:${password}@127.0.0.1:${port}`, 'blocking', log),
  })
  await using traffic = startTraffic(world, publisher, randomOf(seed))
  await eventually(() => expect(follower.tail.stats.fromLog).toBeGreaterThan(100))
  expect(Date.now() - follower.tail.confirmedAt).toBeLessThan(1_000)
  await world.server.start()
  await eventually(() => expect(follower.tail.stats.fromStream).toBeGreaterThan(50))
  await traffic.stop()
  expect(await follower.deliveryErrors()).toEqual(noErrors)
}, 20_000)

test('PostgreSQL is unreachable: streams continue, and the confirmation becomes old until it is back', async () => {
  const { host, port } = addressOf(world.databaseUrl)
  await using proxy = await tcpProxy({ host, port })
  const url = new URL(world.databaseUrl)
  url.hostname = '127.0.0.1'
  url.port = String(proxy.port)
  url.searchParams.delete('host')
  url.searchParams.delete('port')
  await using db = openDatabase({ url: url.href, max: 2, applicationName: 'proxied', log })
  await using follower = await follow(world, { db })
  await using traffic = startTraffic(world, publisher, randomOf(seed))
  await eventually(() => expect(follower.received.entries.length).toBeGreaterThan(50))
  expect(Date.now() - follower.tail.confirmedAt).toBeLessThan(1_000)
  proxy.blackhole()
  await eventually(() => expect(Date.now() - follower.tail.confirmedAt).toBeGreaterThan(1_500))
  const received = follower.received.entries.length
  await eventually(() => expect(follower.received.entries.length).toBeGreaterThan(received + 50))
  proxy.heal()
  await eventually(() => expect(Date.now() - follower.tail.confirmedAt).toBeLessThan(1_000))
  await traffic.stop()
  expect(await follower.deliveryErrors()).toEqual(noErrors)
}, 20_000)

test('all backends of PostgreSQL are terminated under traffic', async () => {
  const outcome = await underTraffic(async (follower) => {
    for (let n = 0; n < 3; n += 1) {
      await world.db
        .read(
          (sql) => sql`
            select pg_terminate_backend(pid) from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid()`,
        )
        .catch(() => {})
      await furtherEntries(follower, 30)
    }
  })
  expect(outcome).toEqual(withoutErrors)
}, 20_000)

test('a new epoch: positions move to the heads, stream keys change, and later entries arrive', async () => {
  const epochs: string[] = []
  await using follower = await follow(world, { onEpochChange: (epoch) => epochs.push(epoch) })
  publisher.publish(await commit(world.db, [entryOf(scope)]))
  await eventually(() => expect(follower.received.entries).toHaveLength(1))
  const before = follower.tail.epoch
  const { epoch } = await world.db.transact((tx) => ensureEpoch(tx, true))
  await eventually(() => expect(epochs).toEqual([epoch]))
  expect(follower.tail.epoch).toBe(epoch)
  expect(epoch).not.toBe(before)
  expect([...follower.tail.positions]).toEqual((await world.db.read(readHeads)).seqs)
  const { fromStream } = follower.tail.stats
  await using traffic = startTraffic(world, publisher, randomOf(seed))
  await eventually(() => expect(follower.tail.stats.fromStream).toBeGreaterThan(fromStream + 50))
  await traffic.stop()
  expect(await follower.deliveryErrors()).toEqual(noErrors)
}, 20_000)

test('a tail that is far behind receives thousands of entries in bounded steps and yields the event loop', async () => {
  await sweeper[Symbol.asyncDispose]()
  await world.server.kill()
  const largest = { steps: 0, entries: 0 }
  await using follower = await follow(world, {
    also: (_, entries) => {
      largest.steps += 1
      largest.entries = Math.max(largest.entries, entries.length)
    },
  })
  const lags: number[] = []
  let lastAt = performance.now()
  const metronome = setInterval(() => {
    lags.push(performance.now() - lastAt - 5)
    lastAt = performance.now()
  }, 5)
  const entries = Array.from({ length: 150 }, () => entryOf(scope))
  await Promise.all(Array.from({ length: 40 }, () => commit(world.db, entries)))
  expect(await follower.deliveryErrors()).toEqual(noErrors)
  clearInterval(metronome)
  await world.server.start()
  expect(largest.entries).toBeLessThanOrEqual(500)
  expect(largest.steps).toBeGreaterThan(6)
  console.log(
    `6000 entries from the log in ${largest.steps} steps, largest lag ${Math.max(...lags).toFixed(0)} ms`,
  )
}, 20_000)

test('a listener that throws does not end the delivery', async () => {
  let calls = 0
  await using follower = await follow(world, {
    also: () => {
      calls += 1
      throw new Error('listener')
    },
  })
  publisher.publish(await commit(world.db, [entryOf(scope)]))
  publisher.publish(await commit(world.db, [entryOf(scope)]))
  expect(await follower.deliveryErrors()).toEqual(noErrors)
  expect(calls).toBeGreaterThan(0)
})

test('positions cover all shards, and closing is quick while Redis is frozen', async () => {
  const follower = await follow(world)
  expect(follower.tail.positions).toHaveLength(shardCount)
  process.kill(world.server.pid, 'SIGSTOP')
  const startedAt = performance.now()
  await follower[Symbol.asyncDispose]()
  process.kill(world.server.pid, 'SIGCONT')
  expect(performance.now() - startedAt).toBeLessThan(3_000)
})
