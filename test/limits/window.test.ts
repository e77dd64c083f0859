// Windows: exactly the limit passes, whatever the concurrency, the stalls of the own process and the way Redis fails.
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test'
import { openRedis, type Redis, type RedisConnection } from '../../src/redis/connection.ts'
import { RedisCounters } from '../../src/limits/redis-counters.ts'
import { createWindowLimiter, type RateLimiter } from '../../src/limits/window.ts'
import { createLog } from '../../src/log.ts'
import { testRedis } from '../support/environment.ts'
import { durationOf, eventually, expectWithin } from '../support/eventually.ts'
import { tcpProxy } from '../support/tcp-proxy.ts'
import type { RatePolicy } from '../../src/limits/policies.ts'

const log = createLog('test', 'silent')

let redis: Awaited<ReturnType<typeof testRedis>>
let connection: RedisConnection
let limiter: RateLimiter
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

beforeEach(() => {
  limiter = limiterOn(connection.client)
  key = Bun.randomUUIDv7()
})

const limiterOn = (client: Redis): RateLimiter =>
  createWindowLimiter(new RedisCounters({ redis: client, log }))

const policy = (limit: number, more: Partial<RatePolicy> = {}): RatePolicy => ({
  name: 'test',
  limit,
  windowSeconds: 60,
  ...more,
})

const takeMany = async (count: number, of: RatePolicy, limiters = [limiter]): Promise<number> => {
  const states = await Promise.all(
    Array.from({ length: count }, (_, index) => limiters[index % limiters.length]!.take(of, key)),
  )
  return states.filter((state) => state.allowed).length
}

test.each([1, 10, 499, 6000])('of a limit of %i exactly that many pass, at once', async (limit) => {
  expect(await takeMany(limit + 500, policy(limit))).toBe(limit)
})

test('exactly the limit passes over three processes', async () => {
  const others = [1, 2].map(() => limiterOn(connection.client))
  expect(await takeMany(600, policy(100), [limiter, ...others])).toBe(100)
})

test('each take returns what is left and when the window ends', async () => {
  for (const remaining of [2, 1, 0]) {
    expect(await limiter.take(policy(3), key)).toEqual({
      allowed: true,
      limit: 3,
      remaining,
      resetSeconds: 60,
    })
  }
  expect(await limiter.take(policy(3), key)).toMatchObject({ allowed: false, remaining: 0 })
})

test('a window that has ended is followed by a new one', async () => {
  const brief = policy(1, { windowSeconds: 0.05 })
  expect((await limiter.take(brief, key)).allowed).toBe(true)
  expect((await limiter.take(brief, key)).allowed).toBe(false)
  await eventually(async () => expect((await limiter.take(brief, key)).allowed).toBe(true))
})

test('most requests need no call: 6,000 in turn cost Redis under 500 calls', async () => {
  const calls = async (): Promise<number> => {
    const stats = await connection.client.info('commandstats')
    return Number(/cmdstat_eval:calls=(\d+)/.exec(stats)?.[1] ?? 0)
  }
  const before = await calls()
  for (let count = 0; count < 7000; count += 1) await limiter.take(policy(6000), key)
  expect((await calls()) - before).toBeLessThan(500)
})

test('a Redis that hangs costs 100 ms once, then nothing; limits hold in the process', async () => {
  const frozen = await testRedis()
  await using slow = openRedis(frozen.url, 'request', log)
  await eventually(() => expect(slow.client.status).toBe('ready'))
  await slow.client.client('PAUSE', 2_000)
  let alone!: RateLimiter
  await expectWithin(100, async () => {
    alone = limiterOn(slow.client)
    const startedAt = performance.now()
    const states = await Promise.all(Array.from({ length: 50 }, () => alone.take(policy(10), key)))
    const tookMs = performance.now() - startedAt
    expect(states.filter((state) => state.allowed)).toHaveLength(10)
    return tookMs
  })
  let tries = 0
  await expectWithin(45, () => {
    tries += 1
    return durationOf(async () => {
      for (let count = 0; count < 100; count += 1)
        expect((await alone.take(policy(1_000), `${key} again`)).allowed).toBe(true)
    })
  })
  expect(alone.misses).toBe(50 + 100 * tries)
  await frozen[Symbol.asyncDispose]()
})

/** Blocks this process. */
const stall = (ms: number): void => {
  const until = performance.now() + ms
  while (performance.now() < until);
}

/** Replies of Redis during the stall are read after it, at times only after the timers that became due. */
const takeAndStall = async (takes: number, name: string, stallMs: number): Promise<number> => {
  const states = Promise.all(Array.from({ length: takes }, () => limiter.take(policy(10), name)))
  stall(stallMs)
  return (await states).filter(({ allowed }) => allowed).length
}

test('a stall of the process is not taken for a lost Redis: exactly the limit passes', async () => {
  let brief = 0
  for (let count = 0; count < 14; count += 1) brief += await takeAndStall(1, key, 60)
  expect(brief).toBe(10)
  for (let round = 0; round < 4; round += 1) expect(await takeAndStall(14, `${key} ${round}`, 500)).toBe(10)
  expect(limiter.misses).toBe(0)
})

/** A limiter whose Redis is behind a proxy. */
const proxied = async (stack: AsyncDisposableStack) => {
  const url = new URL(redis.url)
  const proxy = stack.use(await tcpProxy({ host: url.hostname, port: Number(url.port) }))
  url.host = `127.0.0.1:${proxy.port}`
  const slow = stack.use(openRedis(url.href, 'request', log))
  await eventually(() => expect(slow.client.status).toBe('ready'))
  return { proxy, limiter: limiterOn(slow.client) }
}

test('without Redis the window continues from its remaining takes, which are sent to Redis afterwards', async () => {
  await using stack = new AsyncDisposableStack()
  const { proxy, limiter: cut } = await proxied(stack)
  expect(await takeMany(3, policy(10), [cut])).toBe(3)
  proxy.blackhole()
  expect(await takeMany(5, policy(10), [cut])).toBe(5)
  expect(cut.misses).toBe(5)
  proxy.heal()
  proxy.reset()
  // Its first take after the pause and the new connection carries the unsent takes.
  await eventually(async () => {
    const before = cut.misses
    await cut.take(policy(1_000), `${key} other`)
    expect(cut.misses).toBe(before)
  })
  expect(await takeMany(1, policy(10), [cut])).toBe(1)
  expect(await takeMany(5, policy(10))).toBe(1)
  expect(await takeMany(5, policy(10), [cut])).toBe(0)
})

test('the process keeps its own count: an emptied Redis does not grant the limit again', async () => {
  expect(await takeMany(4, policy(10))).toBe(4)
  await connection.client.flushall()
  expect(await takeMany(20, policy(10))).toBe(6)
  expect(await takeMany(20, policy(10), [limiterOn(connection.client)])).toBe(0)
})
