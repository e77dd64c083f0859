// Following the log while Redis, PostgreSQL and the writers misbehave. In the end the ledger of what was heard is
// compared with the whole log: nothing lost, repeated, reordered or invented, whatever happened.
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
import { flawless } from '../ledger.ts'
import { randomOf, seed } from '../seed.ts'
import { follow, startTraffic } from '../traffic.ts'
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
  expect(await follower.verdict()).toEqual(flawless)
  const { fromStream, fromLog, gapFills, contiguityViolations } = follower.tail.stats
  expect({ all: fromStream + fromLog, gapFills, contiguityViolations }).toEqual({
    all: 300 * tries,
    gapFills: 0,
    contiguityViolations: 0,
  })
  expect(fromLog).toBeLessThan(10) // a push that took its time is overtaken by the look at the log
})

test('several tails hear the same, and each starts at the heads of its moment', async () => {
  await using early = await follow(world)
  await using traffic = startTraffic(world, publisher, randomOf(seed))
  await eventually(() => expect(traffic.acknowledged.length).toBeGreaterThan(50))
  await using late = await follow(world)
  await eventually(() => expect(traffic.acknowledged.length).toBeGreaterThan(150))
  await traffic.stop()
  expect(await early.verdict()).toEqual(flawless)
  expect(await late.verdict()).toEqual(flawless)
  expect(late.ledger.heard.length).toBeLessThan(early.ledger.heard.length)
})

test('what no writer pushes arrives from the log within half a second, also without a sweeper', async () => {
  await sweeper[Symbol.asyncDispose]()
  await using follower = await follow(world)
  let committed = 0
  await expectWithin(500, async () => {
    await commitMany(world.db, scope, 5)
    committed += 5
    return durationOf(async () => expect(await follower.verdict()).toEqual(flawless))
  })
  expect(follower.tail.stats).toMatchObject({ fromStream: 0, fromLog: committed })
})

test('a hole in what the stream tells is filled; a reader that trusts the stream loses it', async () => {
  await sweeper[Symbol.asyncDispose]()
  const { epoch, seqs } = await world.db.read(readHeads)
  await using follower = await follow(world)
  publisher.publish(await commit(world.db, [entryOf(scope)]))
  await eventually(() => expect(follower.tail.stats.fromStream).toBe(1))
  await commitMany(world.db, scope, 3) // by a process that crashed before its pushes
  await world.redis.flushall()
  publisher.publish(await commit(world.db, [entryOf(scope)]))
  await eventually(() => expect(follower.ledger.heard.length).toBe(5), { everyMs: 1 })
  expect(await follower.verdict()).toEqual(flawless)
  expect(follower.tail.stats.contiguityViolations).toBe(0)

  // The negative control: what a plain XREAD from where the first entry ended would have got.
  const trusting = await world.redis.xread('STREAMS', streamKey(epoch, shard), `${seqs[shard]! + 1}-0`)
  expect(trusting![0]![1]).toHaveLength(1) // of four
})

test('a stream with a hole inside is noticed and repaired from the log', async () => {
  await sweeper[Symbol.asyncDispose]()
  await using follower = await follow(world)
  const { epoch, entries } = await commit(world.db, [entryOf(scope), entryOf(scope), entryOf(scope)])
  const adding = world.redis.multi() // nothing of ours writes this, but somebody with redis-cli can
  for (const entry of [entries[0]!, entries[2]!]) {
    const fields = encodeEntry(entry).flatMap((value, n) => ['sfce'[n]!, value])
    adding.xadd(streamKey(epoch, shard), `${entry.seq}-0`, ...fields)
  }
  await adding.exec()
  expect(await follower.verdict()).toEqual(flawless)
  expect(follower.tail.stats.contiguityViolations).toBe(1)
})

/** Traffic runs while `disturb` does its worst; returns the follower's verdict and figures. */
const underTraffic = async (
  disturb: () => Promise<void>,
  { connect = world.connect, perSecond = 300 } = {},
) => {
  await using follower = await follow(world, { connect })
  await using traffic = startTraffic(world, publisher, randomOf(seed), { perSecond })
  await eventually(() => expect(follower.ledger.heard.length).toBeGreaterThan(50))
  await disturb()
  const before = follower.tail.stats.fromStream
  await eventually(() => expect(follower.tail.stats.fromStream).toBeGreaterThan(before + 50), {
    timeoutMs: 8_000,
  })
  await traffic.stop()
  const verdict = await follower.verdict()
  const heard = new Set(follower.ledger.heard.map(({ entityId }) => entityId))
  const missing = traffic.acknowledged.filter((id) => !heard.has(id)).length
  await eventually(() => expect(Date.now() - follower.tail.confirmedAt).toBeLessThan(1_000))
  return { verdict, missing, stats: follower.tail.stats }
}

const unharmed = {
  verdict: flawless,
  missing: 0,
  stats: expect.objectContaining({ contiguityViolations: 0 }),
}

test('FLUSHALL again and again', async () => {
  const outcome = await underTraffic(async () => {
    for (let n = 0; n < 5; n += 1) {
      await world.redis.flushall()
      await Bun.sleep(40) // the pace of the harm, not a wait for an effect
    }
  })
  expect(outcome).toEqual(unharmed)
}, 20_000)

test('all clients of Redis killed again and again', async () => {
  const killer = openRedis(world.server.url, 'request', log)
  await eventually(() => killer.client.ping())
  const outcome = await underTraffic(async () => {
    for (let n = 0; n < 5; n += 1) {
      await killer.client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
      await Bun.sleep(40)
    }
  })
  await killer[Symbol.asyncDispose]()
  expect(outcome).toEqual(unharmed)
}, 20_000)

test('Redis killed -9 and started again, empty', async () => {
  const outcome = await underTraffic(async () => {
    await world.server.kill()
    await Bun.sleep(300)
    await world.server.start()
  })
  expect(outcome).toEqual(unharmed)
}, 20_000)

test('Redis frozen for three seconds: entries keep coming, from the log', async () => {
  const outcome = await underTraffic(async () => {
    process.kill(world.server.pid, 'SIGSTOP')
    await Bun.sleep(3_000)
    process.kill(world.server.pid, 'SIGCONT')
  })
  expect(outcome).toEqual(unharmed)
  expect(outcome.stats.fromLog).toBeGreaterThan(300)
}, 20_000)

test('a connection to Redis that goes half-open is replaced', async () => {
  const { hostname, port, password } = new URL(world.server.url)
  await using proxy = await tcpProxy({ host: hostname, port: Number(port) })
  const connect = () => openRedis(`redis://:${password}@127.0.0.1:${proxy.port}`, 'blocking', log)
  const outcome = await underTraffic(
    async () => {
      proxy.blackhole()
      await Bun.sleep(500)
      proxy.heal() // new connections only
    },
    { connect },
  )
  expect(outcome).toEqual(unharmed)
}, 20_000)

test('Redis without memory: entries keep coming', async () => {
  await using follower = await follow(world)
  await using traffic = startTraffic(world, publisher, randomOf(seed))
  await world.redis.config('SET', 'maxmemory', '1')
  await eventually(() => expect(publisher.stats.failed).toBeGreaterThan(10))
  await eventually(() => expect(follower.ledger.heard.length).toBeGreaterThan(100))
  await world.redis.config('SET', 'maxmemory', '0')
  const { fromStream } = follower.tail.stats
  await eventually(() => expect(follower.tail.stats.fromStream).toBeGreaterThan(fromStream + 50))
  await traffic.stop()
  expect(await follower.verdict()).toEqual(flawless)
}, 20_000)

test('Redis away from the start, and there later', async () => {
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
  expect(await follower.verdict()).toEqual(flawless)
}, 20_000)

test('PostgreSQL out of reach: streams go on, the confirmation grows old and comes back', async () => {
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
  await eventually(() => expect(follower.ledger.heard.length).toBeGreaterThan(50))
  expect(Date.now() - follower.tail.confirmedAt).toBeLessThan(1_000)
  proxy.blackhole()
  await eventually(() => expect(Date.now() - follower.tail.confirmedAt).toBeGreaterThan(1_500))
  const heard = follower.ledger.heard.length
  await eventually(() => expect(follower.ledger.heard.length).toBeGreaterThan(heard + 50))
  proxy.heal()
  await eventually(() => expect(Date.now() - follower.tail.confirmedAt).toBeLessThan(1_000))
  await traffic.stop()
  expect(await follower.verdict()).toEqual(flawless)
}, 20_000)

test('all backends of PostgreSQL terminated under traffic', async () => {
  const outcome = await underTraffic(async () => {
    for (let n = 0; n < 3; n += 1) {
      await world.db
        .read(
          (sql) => sql`
            select pg_terminate_backend(pid) from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid()`,
        )
        .catch(() => {})
      await Bun.sleep(100)
    }
  })
  expect(outcome).toEqual(unharmed)
}, 20_000)

test('a new epoch: positions jump to the heads, the keys change, and what follows arrives', async () => {
  const epochs: string[] = []
  await using follower = await follow(world, { onEpochChange: (epoch) => epochs.push(epoch) })
  publisher.publish(await commit(world.db, [entryOf(scope)]))
  await eventually(() => expect(follower.ledger.heard).toHaveLength(1))
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
  expect(await follower.verdict()).toEqual(flawless)
}, 20_000)

test('far behind: thousands of entries arrive in bounded steps while the event loop stays free', async () => {
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
  expect(await follower.verdict()).toEqual(flawless)
  clearInterval(metronome)
  await world.server.start()
  expect(largest.entries).toBeLessThanOrEqual(500)
  expect(largest.steps).toBeGreaterThan(6)
  console.log(
    `6000 entries from the log in ${largest.steps} steps, largest lag ${Math.max(...lags).toFixed(0)} ms`,
  )
}, 20_000)

test('a listener that throws does not stop the others from hearing', async () => {
  let calls = 0
  await using follower = await follow(world, {
    also: () => {
      calls += 1
      throw new Error('listener')
    },
  })
  publisher.publish(await commit(world.db, [entryOf(scope)]))
  publisher.publish(await commit(world.db, [entryOf(scope)]))
  expect(await follower.verdict()).toEqual(flawless)
  expect(calls).toBeGreaterThan(0)
})

test('positions are those of all shards, and closing is quick whatever is away', async () => {
  const follower = await follow(world)
  expect(follower.tail.positions).toHaveLength(shardCount)
  process.kill(world.server.pid, 'SIGSTOP')
  const startedAt = performance.now()
  await follower[Symbol.asyncDispose]()
  process.kill(world.server.pid, 'SIGCONT')
  expect(performance.now() - startedAt).toBeLessThan(3_000)
})
