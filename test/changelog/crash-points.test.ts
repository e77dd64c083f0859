// A writer is killed with SIGKILL at every point between its last statement and the end of its push, while others
// continue to write. A tail receives every committed entry, once and in order, and nothing else.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { createPublisher, type StreamPublisher } from '../../src/changelog/publisher.ts'
import { startSweeper } from '../../src/changelog/sweeper.ts'
import { crash, crashPoints, type CrashPoint } from './crash.ts'
import { noErrors } from './received-entries.ts'
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
  sent: 'with the push in flight',
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
      expect(await follower.deliveryErrors()).toEqual(noErrors)
      const received = new Set(follower.received.entries.map(({ entityId }) => entityId))
      const acknowledged = [...traffic.acknowledged, ...crashes.flatMap(({ acknowledged }) => acknowledged)]
      expect(acknowledged.length).toBeGreaterThan(rounds * 20)
      expect(acknowledged.filter((id) => !received.has(id))).toEqual([])
      const uncommitted = crashes.flatMap(({ uncommitted }) => uncommitted)
      expect(uncommitted.filter((id) => received.has(id))).toEqual([])
      if (point === 'uncommitted') expect(uncommitted).toHaveLength(rounds * 8)
      expect(follower.tail.stats.contiguityViolations).toBe(0)
    }, 180_000)
  }
}
