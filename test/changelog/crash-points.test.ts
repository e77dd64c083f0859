// A writer dies by kill -9 at every point between its last statement and the end of its push, while others write
// on. A tail hears everything that was committed, once and in order, and nothing else.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { createPublisher, type StreamPublisher } from '../../src/changelog/publisher.ts'
import { startSweeper } from '../../src/changelog/sweeper.ts'
import { crash, crashPoints, type CrashPoint } from './crash.ts'
import { flawless } from './ledger.ts'
import { randomOf, seed } from './seed.ts'
import { follow, startTraffic } from './traffic.ts'
import { log, openWorld, type World } from './world.ts'

const rounds = 3

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

const places: Record<CrashPoint, string> = {
  uncommitted: 'before COMMIT',
  committed: 'after COMMIT, before the push',
  sent: 'with the push on its way',
  half: 'between the pushes of two shards',
}

for (const point of crashPoints) {
  for (const isSwept of [true, false]) {
    test(`killed ${places[point]}, ${isSwept ? 'with' : 'without'} a sweeper: nothing lost, nothing repeated`, async () => {
      await using stack = new AsyncDisposableStack()
      if (isSwept) {
        stack.use(startSweeper({ redis: world.redis, db: world.tailDb, log, onLost: async () => {} }))
      }
      const follower = stack.use(await follow(world))
      const traffic = stack.use(startTraffic(world, publisher, randomOf(seed), { perSecond: 100 }))
      const crashes = await Promise.all(
        Array.from({ length: rounds }, (_, n) => crash(world, point, seed + n)),
      )
      await traffic.stop()
      expect(await follower.verdict()).toEqual(flawless)
      const heard = new Set(follower.ledger.heard.map(({ entityId }) => entityId))
      const acknowledged = [...traffic.acknowledged, ...crashes.flatMap(({ acknowledged }) => acknowledged)]
      expect(acknowledged.length).toBeGreaterThan(rounds * 20)
      expect(acknowledged.filter((id) => !heard.has(id))).toEqual([])
      const doomed = crashes.flatMap(({ doomed }) => doomed)
      expect(doomed.filter((id) => heard.has(id))).toEqual([])
      if (point === 'uncommitted') expect(doomed).toHaveLength(rounds * 8)
      expect(follower.tail.stats.contiguityViolations).toBe(0)
    }, 30_000)
  }
}
