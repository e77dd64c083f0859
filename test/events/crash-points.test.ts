// A writer dies by kill -9 at every point between its last statement and the end of its push, while others write
// on. A tail hears everything that was committed, once and in order, and nothing else.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { createPublisher, type StreamPublisher } from '../../src/events/publisher.ts'
import { startSweeper } from '../../src/events/sweeper.ts'
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

/** Runs the writer to its death; answers what it said. */
const crash = async (point: string, seed: number): Promise<{ acknowledged: string[]; doomed: string[] }> => {
  const child = Bun.spawn(
    [
      process.execPath,
      join(import.meta.dir, 'crashing-writer.ts'),
      world.databaseUrl,
      world.server.url,
      point,
      String(seed),
    ],
    { stdout: 'pipe', stderr: 'inherit', env: process.env },
  )
  const deadline = setTimeout(() => child.kill('SIGTERM'), 15_000)
  const said = await new Response(child.stdout).text()
  await child.exited
  clearTimeout(deadline)
  expect(child.signalCode).toBe('SIGKILL')
  const idsOf = (word: string) =>
    said.split('\n').flatMap((line) => (line.startsWith(`${word} `) ? [line.slice(word.length + 1)] : []))
  return { acknowledged: idsOf('acknowledged'), doomed: idsOf('doomed') }
}

const points = {
  uncommitted: 'before COMMIT',
  committed: 'after COMMIT, before the push',
  sent: 'with the push on its way',
  half: 'between the pushes of two shards',
}

for (const [point, where] of Object.entries(points)) {
  for (const isSwept of [true, false]) {
    test(`killed ${where}, ${isSwept ? 'with' : 'without'} a sweeper: nothing lost, nothing repeated`, async () => {
      await using stack = new AsyncDisposableStack()
      if (isSwept) {
        stack.use(startSweeper({ redis: world.redis, db: world.tailDb, log, onAhead: () => {} }))
      }
      const follower = stack.use(await follow(world))
      const traffic = stack.use(startTraffic(world, publisher, randomOf(seed), { perSecond: 100 }))
      const crashes = await Promise.all(Array.from({ length: rounds }, (_, n) => crash(point, seed + n)))
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
