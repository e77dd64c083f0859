// All faults together: writers run and are killed while Redis is flushed, frozen, killed and disconnected and the
// backends of PostgreSQL are terminated, in an order the seed decides. TIDE_CHAOS_SECONDS sets the duration.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { createPublisher, type StreamPublisher } from '../../src/changelog/publisher.ts'
import { startSweeper } from '../../src/changelog/sweeper.ts'
import { eventually } from '../support/eventually.ts'
import { crash, crashPoints } from './crash.ts'
import { noErrors } from './received-entries.ts'
import { randomOf, seed } from './seed.ts'
import { follow, startTraffic, type Traffic } from './traffic.ts'
import { log, openWorld, type World } from './world.ts'

const seconds = Number(process.env['TIDE_CHAOS_SECONDS'] ?? 5)

let world: World
let publisher: StreamPublisher

beforeAll(async () => {
  world = await openWorld()
  publisher = createPublisher({ redis: world.redis, db: world.db, log })
})

afterAll(async () => {
  await publisher[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

const random = randomOf(seed)
const upTo = (n: number): number => Math.floor(random() * n)

/** Resolves after this many further acknowledged writes: the length of a fault and of the pause after it. */
const written = ({ acknowledged }: Traffic, count: number): Promise<void> => {
  const upTo = acknowledged.length + count
  return eventually(() => expect(acknowledged.length).toBeGreaterThanOrEqual(upTo), { timeoutMs: 20_000 })
}

const faults: Record<string, (traffic: Traffic) => Promise<unknown>> = {
  flush: () => world.redis.flushall(),
  cut: () => world.redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'),
  async freeze(traffic) {
    process.kill(world.server.pid, 'SIGSTOP')
    try {
      await written(traffic, upTo(500))
    } finally {
      process.kill(world.server.pid, 'SIGCONT')
    }
  },
  async restart(traffic) {
    await world.server.kill()
    try {
      await written(traffic, upTo(100))
    } finally {
      await world.server.start()
    }
  },
  terminate: () =>
    world.db.read(
      (sql) => sql`
        select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and random() < 0.7`,
    ),
  crash: () => crash(world, crashPoints[upTo(crashPoints.length)]!, upTo(1e9)),
}

test(
  `${seconds} s of every fault in random order: nothing lost, repeated, reordered or invented`,
  async () => {
    await using _ = startSweeper({ redis: world.redis, db: world.tailDb, log, onLost: async () => {} })
    await using one = await follow(world)
    await using other = await follow(world)
    await using traffic = startTraffic(world, publisher, randomOf(seed), { perSecond: 200 })
    const counts: Record<string, number> = {}
    const endsAt = performance.now() + seconds * 1_000
    while (performance.now() < endsAt) {
      const name = Object.keys(faults)[upTo(Object.keys(faults).length)]!
      counts[name] = (counts[name] ?? 0) + 1
      await faults[name]!(traffic).catch(() => {}) // a fault may hit the connection that causes it
      await written(traffic, upTo(30))
    }
    await traffic.stop()
    expect(await one.deliveryErrors(10_000)).toEqual(noErrors)
    expect(await other.deliveryErrors(10_000)).toEqual(noErrors)
    const received = new Set(one.received.entries.map(({ entityId }) => entityId))
    expect(traffic.acknowledged.filter((id) => !received.has(id))).toEqual([])
    expect(one.tail.stats.contiguityViolations + other.tail.stats.contiguityViolations).toBe(0)
    // Recovery needs no action: new entries arrive through the stream again.
    const { fromStream } = one.tail.stats
    await using after = startTraffic(world, publisher, randomOf(seed), { perSecond: 200 })
    await eventually(() => expect(one.tail.stats.fromStream).toBeGreaterThan(fromStream + 50), {
      timeoutMs: 10_000,
    })
    await after.stop()
    expect(Date.now() - one.tail.confirmedAt).toBeLessThan(1_000)
    console.log({ faults: counts, acknowledged: traffic.acknowledged.length, ...one.tail.stats })
  },
  (seconds + 60) * 1_000,
)
