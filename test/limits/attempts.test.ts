// Failed attempts: only failures count, attempts in flight are waited for, and the limit holds across processes and
// without Redis.
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test'
import { setImmediate } from 'node:timers/promises'
import { openRedis, type Redis, type RedisConnection } from '../../src/redis/connection.ts'
import { createAttempts, type Attempts } from '../../src/limits/attempts.ts'
import { RedisCounters } from '../../src/limits/redis-counters.ts'
import { createLog } from '../../src/log.ts'
import { testRedis } from '../support/environment.ts'
import { eventually } from '../support/eventually.ts'
import type { RatePolicy } from '../../src/limits/policies.ts'

const log = createLog('test', 'silent')
const policy: RatePolicy = { name: 'test', limit: 10, windowSeconds: 900 }

let redis: Awaited<ReturnType<typeof testRedis>>
let connection: RedisConnection
let attempts: Attempts
let key: string

beforeAll(async () => {
  redis = await testRedis()
  connection = openRedis(redis.url, 'request', log)
  await eventually(() => expect(connection.client.status).toBe('ready'))
})

afterAll(async () => {
  await connection[Symbol.asyncDispose]()
  await redis[Symbol.asyncDispose]()
})

const attemptsOn = (client: Redis): Attempts => createAttempts(new RedisCounters({ redis: client, log }))

beforeEach(() => {
  attempts = attemptsOn(connection.client)
  key = Bun.randomUUIDv7()
})

/**
 * Makes `count` attempts at once; the first attempts end once `room` of them are in flight. Returns how many began and
 * the most that were in flight together.
 */
const tryMany = async (count: number, isFailure: boolean, room: number, processes = [attempts]) => {
  const full = Promise.withResolvers<void>()
  let [begun, flying, most] = [0, 0, 0]
  await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const { end } = await processes[index % processes.length]!.begin(policy, key)
      if (!end) return
      begun += 1
      most = Math.max(most, (flying += 1))
      if (flying >= room) full.resolve()
      await full.promise
      await setImmediate() // a further attempt that begins with these is counted
      flying -= 1
      await end(isFailure)
    }),
  )
  return { begun, most }
}

test('25 right attempts at once all pass, at most 10 in flight', async () => {
  expect(await tryMany(25, false, 10)).toEqual({ begun: 25, most: 10 })
  expect(await tryMany(25, false, 10)).toEqual({ begun: 25, most: 10 })
})

test('of 25 wrong attempts at once exactly 10 are tried, then right ones are refused too', async () => {
  expect(await tryMany(25, true, 10)).toEqual({ begun: 10, most: 10 })
  const { state, end } = await attempts.begin(policy, key)
  expect(end).toBeNull()
  expect(state).toMatchObject({ allowed: false, limit: 10, remaining: 0 })
  expect(state.resetSeconds).toBeWithin(890, 901)
})

test('two processes share failures and attempts in flight', async () => {
  const both = [attempts, attemptsOn(connection.client)]
  expect(await tryMany(25, false, 10, both)).toEqual({ begun: 25, most: 10 })
  expect((await tryMany(25, true, 10, both)).begun).toBe(10)
})

test('a counted failure of another key takes room, and begins nothing', async () => {
  for (let count = 0; count < 9; count += 1) await attempts.fail(policy, key)
  expect((await tryMany(5, true, 1)).begun).toBe(1)
})

test('beyond 256 that wait for one key an attempt is refused at once, with a retry after one second', async () => {
  const held = await Promise.all(Array.from({ length: 10 }, () => attempts.begin(policy, key)))
  const waiting = Array.from({ length: 256 }, () => attempts.begin(policy, key))
  await eventually(async () => {
    const { state, end } = await attempts.begin(policy, key)
    expect(end).toBeNull()
    expect(state.resetSeconds).toBe(1)
  })
  await Promise.all(held.map(({ end }) => end!(true)))
  const refused = await Promise.all(waiting)
  expect(refused.filter(({ end }) => end !== null)).toEqual([])
}, 15_000)

test('without Redis the failures of its last reply still count, and later ones are sent to it afterwards', async () => {
  await using own = await testRedis()
  await using link = openRedis(own.url, 'request', log)
  await eventually(() => expect(link.client.status).toBe('ready'))
  const cut = attemptsOn(link.client)
  expect(await tryMany(4, true, 4, [cut])).toMatchObject({ begun: 4 })
  await link.client.client('PAUSE', 400)
  expect(await tryMany(25, false, 6, [cut])).toEqual({ begun: 25, most: 6 })
  await cut.fail(policy, key)
  await cut.fail(policy, key)
  await eventually(async () => {
    await (await cut.begin(policy, key)).end?.(false) // after the pause it carries the unsent failures
    expect(await link.client.hget(`tide:rate:test:${key}`, 'failed')).toBe('6')
  })
  expect((await tryMany(25, true, 4, [attemptsOn(link.client)])).begun).toBe(4)
  await link.client.flushall()
  // This process counts six failures, although Redis lost them.
  expect((await tryMany(25, true, 4, [cut])).begun).toBe(4)
})
