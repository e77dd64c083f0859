// What a write costs Redis, in commands: pushes by digest, and reads that collect what was pushed meanwhile.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { createPublisher } from '../../src/changelog/publisher.ts'
import type { Appended } from '../../src/db/log/append.ts'
import { shardCount } from '../../src/model/scope.ts'
import { startSweeper } from '../../src/changelog/sweeper.ts'
import { eventually } from '../support/eventually.ts'
import { noErrors } from './received-entries.ts'
import { follow } from './traffic.ts'
import { commit, entryOf, log, openWorld, scopeOf, type World } from './world.ts'

let world: World

beforeAll(async () => {
  world = await openWorld()
})
afterAll(() => world[Symbol.asyncDispose]())

/** Calls of each command since the last reset, scripts' own commands included. */
const commands = async (): Promise<Record<string, number>> => {
  const text = await world.redis.info('commandstats')
  return Object.fromEntries(
    [...text.matchAll(/^cmdstat_(\S+?):calls=(\d+)/gm)].map(([, name, calls]) => [name!, Number(calls)]),
  )
}

test('a thousand entries of one burst cost a push for each batch, and the script is sent once', async () => {
  await using publisher = createPublisher({ redis: world.redis, db: world.db, log })
  const appended: Appended[] = []
  for (let n = 0; n < 100; n += 1) {
    const entries = Array.from({ length: 10 }, () => entryOf(scopeOf(n % 10)))
    appended.push(await commit(world.db, entries))
  }
  await world.redis.script('FLUSH')
  await world.redis.config('RESETSTAT')
  for (const one of appended) publisher.publish(one)
  await eventually(() => expect(publisher.stats.pushed).toBe(1_000))
  const { eval: texts = 0, evalsha = 0, xadd, expire } = await commands()
  console.log({ texts, evalsha, xadd, expire })
  // In each shard one push with the first entry, then one with all others. Until the first EVAL is answered, each shard's
  // first push finds no script.
  expect(texts).toBeLessThanOrEqual(10)
  expect(evalsha).toBeLessThanOrEqual(2 * 10)
  expect(xadd).toBe(1_000)
  expect(expire).toBeLessThanOrEqual(2 * 10)
})

test('a paced tail reads what was pushed meanwhile at once, and misses nothing', async () => {
  await using publisher = createPublisher({ redis: world.redis, db: world.db, log })
  const paceMs = 50
  await using paced = await follow(world, { paceMs })
  const startedAt = performance.now()
  for (let n = 0; n < 200; n += 1)
    publisher.publish(await commit(world.db, [entryOf(scopeOf(n % shardCount))]))
  const errors = await paced.deliveryErrors()
  const intervals = (performance.now() - startedAt) / paceMs
  expect(errors).toEqual(noErrors)
  expect(paced.tail.stats.streamReads).toBeLessThanOrEqual(intervals + 1)
})

test('an idle sweeper asks Redis for all tops in one of ten ticks', async () => {
  await using sweeper = startSweeper({
    redis: world.redis,
    db: world.tailDb,
    log,
    onLost: async () => {},
    everyMs: 1,
  })
  // The first ticks repair what earlier tests left unpushed.
  await eventually(() => expect(sweeper.stats.ticks).toBeGreaterThan(20))
  await world.redis.config('RESETSTAT')
  const { ticks } = sweeper.stats
  await eventually(() => expect(sweeper.stats.ticks).toBeGreaterThan(ticks + 50))
  const { evalsha = 0 } = await commands()
  const passed = sweeper.stats.ticks - ticks
  expect(evalsha).toBeLessThanOrEqual(shardCount * (passed / 10 + 2))
  expect(evalsha).toBeGreaterThan(0)
})
