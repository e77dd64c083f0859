// The storms of storm-run.ts at a size for every run of the tests.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { startWorld, type World } from '../support/world.ts'
import { readyPort, spawnWorker, withWorkers } from './rig.ts'
import { awayStorm, dueStorm, prepareAwayStorm } from './storm.ts'

let world: World

beforeAll(async () => {
  world = await startWorld()
  // Installs the consumers: what is written from here on counts.
  await withWorkers(1, { ...world, overdueIntervalMs: 60_000 }, async () => {})
}, 60_000)

afterAll(() => world[Symbol.asyncDispose]())

test('tasks that fall due at one instant are each notified once, although one of two workers is killed', async () => {
  const { databaseUrl, redisUrl } = world
  const start = async () => {
    const child = spawnWorker({ databaseUrl, redisUrl, overdueIntervalMs: 100 })
    await readyPort(child)
    const kill = async () => {
      child.kill('SIGKILL')
      await child.exited
    }
    return { pid: child.pid, kill }
  }
  const [first, second] = await Promise.all([start(), start()])
  const storm = { databaseUrl, count: 3_000, timeoutMs: 60_000 }
  const result = await dueStorm(storm, () => Promise.resolve([first, second]))
  await second.kill()
  console.log(result)
  expect(result.largestTransaction).toBeLessThanOrEqual(200)
  expect(result.residentMiB.most - result.residentMiB.before).toBeLessThan(200)
}, 120_000)

test('what happened while no worker ran is notified once, by one worker or two', async () => {
  const scene = await prepareAwayStorm(world.url, world.databaseUrl)
  for (const workers of [1, 2]) {
    await using running = new AsyncDisposableStack()
    const result = await awayStorm(scene, { changes: 1_280, workers, timeoutMs: 60_000 }, async () => {
      const started = Promise.withResolvers<unknown>()
      const ended = Promise.withResolvers<void>()
      const work = withWorkers(workers, { ...world, overdueIntervalMs: 60_000 }, () => {
        started.resolve(null)
        return ended.promise
      })
      running.defer(async () => {
        ended.resolve()
        await work
      })
      await Promise.race([started.promise, work])
      return []
    })
    console.log(result)
    expect(result.notifications).toBe(640)
  }
}, 180_000)
