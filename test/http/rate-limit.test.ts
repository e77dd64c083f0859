// Rate limits: exactly the limit passes, whatever the concurrency; who shares a bucket; and life without Redis.
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test'
import type { RateLimiter, RatePolicy } from '../../src/deps.ts'
import { openRedis, type RedisConnection } from '../../src/events/redis.ts'
import { addressKey } from '../../src/http/allowance.ts'
import { createLimiter } from '../../src/http/rate-limit.ts'
import { createLog } from '../../src/log.ts'
import { testRedis } from '../support/environment.ts'
import { durationOf, eventually, expectWithin } from '../support/eventually.ts'
import { startWorld, testPassword, type World } from '../support/world.ts'

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
  limiter = createLimiter({ redis: connection.client, log })
  key = Bun.randomUUIDv7()
})

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

test.each([1, 10, 499, 6000])('of a limit of %i exactly so many pass, at once', async (limit) => {
  expect(await takeMany(limit + 500, policy(limit))).toBe(limit)
})

test('exactly the limit passes over three processes', async () => {
  const others = [1, 2].map(() => createLimiter({ redis: connection.client, log }))
  expect(await takeMany(600, policy(100), [limiter, ...others])).toBe(100)
})

test('each take tells what is left and when the window ends', async () => {
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

test('a window that ended gives way to a new one', async () => {
  const brief = policy(1, { windowSeconds: 0.05 })
  expect((await limiter.take(brief, key)).allowed).toBe(true)
  expect((await limiter.take(brief, key)).allowed).toBe(false)
  await eventually(async () => expect((await limiter.take(brief, key)).allowed).toBe(true))
})

test('what is given back can be taken again, by any process', async () => {
  const other = createLimiter({ redis: connection.client, log })
  const one = policy(1)
  await limiter.take(one, key)
  expect((await limiter.take(one, key)).allowed).toBe(false)
  await limiter.giveBack(one, key)
  expect((await other.take(one, key)).allowed).toBe(true)
  expect((await limiter.take(one, key)).allowed).toBe(false)
})

test('most requests ask nobody: 6,000 in turn cost Redis under 500 calls', async () => {
  const calls = async (): Promise<number> => {
    const stats = await connection.client.info('commandstats')
    return Number(/cmdstat_eval:calls=(\d+)/.exec(stats)?.[1] ?? 0)
  }
  const before = await calls()
  for (let count = 0; count < 7000; count += 1) await limiter.take(policy(6000), key)
  expect((await calls()) - before).toBeLessThan(500)
})

test('a Redis that hangs costs 100 ms once, then nothing; strict limits hold in the process', async () => {
  const frozen = await testRedis()
  await using slow = openRedis(frozen.url, 'request', log)
  await eventually(() => expect(slow.client.status).toBe('ready'))
  await slow.client.client('PAUSE', 2_000)
  const strict = policy(10, { isStrict: true })
  let alone!: ReturnType<typeof createLimiter>
  await expectWithin(100, async () => {
    alone = createLimiter({ redis: slow.client, log })
    const startedAt = performance.now()
    const states = await Promise.all(Array.from({ length: 50 }, () => alone.take(strict, key)))
    const tookMs = performance.now() - startedAt
    expect(states.filter((state) => state.allowed)).toHaveLength(10)
    return tookMs
  })
  let tries = 0
  await expectWithin(45, () => {
    tries += 1
    return durationOf(async () => {
      for (let count = 0; count < 100; count += 1) {
        expect((await alone.take(policy(1), key)).allowed).toBe(true)
      }
    })
  })
  expect(alone.misses).toBe(50 + 100 * tries)
  await frozen[Symbol.asyncDispose]()
})

test.each([
  ['203.0.113.7', '203.0.113.7'],
  ['::ffff:203.0.113.7', '203.0.113.7'],
  ['::ffff:cb00:7107', '203.0.113.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:DB8:1:2::9', '2001:db8:1:2::/64'],
  ['2001:db8::1', '2001:db8:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
  ['somebody', 'somebody'],
])('the address %s counts as %s', (address, counted) => {
  expect(addressKey(address)).toBe(counted)
})

/** A server with small limits, behind one proxy whose word on addresses counts. */
const limitedWorld = (): Promise<World> =>
  startWorld({
    rateLimit: true,
    trustedProxies: 1,
    requestsPerMinute: 30,
    registrationsPerHour: 3,
    failedSignInsPer15Minutes: 10,
  })

const from = (ip: string) => ({ headers: { 'X-Forwarded-For': ip } })

test('one user meets its limit and nobody else does', async () => {
  await using world = await limitedWorld()
  const ada = await world.register()
  const bob = await world.register()
  const answers = await Promise.all(
    Array.from({ length: 40 }, () => world.call('GET', '/api/users/me', { token: ada.token })),
  )
  expect(answers.filter((answer) => answer.status === 200)).toHaveLength(30)
  const refused = answers.find((answer) => answer.status === 429)!
  expect(refused.body.code).toBe('rate_limited')
  expect(refused.headers.get('ratelimit-policy')).toBe('"requests";q=30;w=60')
  expect(refused.headers.get('ratelimit')).toMatch(/^"requests";r=0;t=\d+$/)
  expect(Number(refused.headers.get('retry-after'))).toBeWithin(1, 61)
  const served = await world.call('GET', '/api/users/me', { token: bob.token })
  expect(served.status).toBe(200)
  expect(served.headers.get('ratelimit')).toMatch(/^"requests";r=29;t=\d+$/)
})

test('without a user the address is counted, whatever an untrusted hop claims', async () => {
  await using world = await limitedWorld()
  const statuses = []
  for (let count = 0; count < 31; count += 1) {
    const { status } = await world.call('GET', '/api/users/me', from(`198.51.100.${count}, 203.0.113.7`))
    statuses.push(status)
  }
  expect(statuses).toEqual([...Array<number>(30).fill(401), 429])
  expect((await world.call('GET', '/api/users/me', from('203.0.113.8'))).status).toBe(401)
})

test('an address registers so often an hour, a /64 as one', async () => {
  await using world = await limitedWorld()
  const register = (ip: string) =>
    world.call('POST', '/api/auth/register', {
      ...from(ip),
      body: { email: `${Bun.randomUUIDv7()}@example.com`, name: 'Ada', password: testPassword },
    })
  const answers = await Promise.all(['::1', '::2', '::3', '::4'].map((low) => register(`2001:db8:0:1${low}`)))
  expect(answers.map((answer) => answer.status).sort((a, b) => a - b)).toEqual([201, 201, 201, 429])
  expect(answers.find((answer) => answer.status === 429)!.headers.get('ratelimit-policy')).toBe(
    '"registrations";q=3;w=3600',
  )
  expect((await register('2001:db8:0:2::1')).status).toBe(201)
})

test('11 wrong passwords for one account from 11 addresses are 429, and its session works on', async () => {
  await using world = await limitedWorld()
  const ada = await world.register()
  const bob = await world.register()
  const login = (ip: string, password: string, email = ada.email) =>
    world.call('POST', '/api/auth/login', { ...from(ip), body: { email, password } })
  // Right ones do not count.
  for (let count = 0; count < 5; count += 1) {
    expect((await login('203.0.113.1', testPassword)).status).toBe(200)
  }
  const answers = await Promise.all(
    Array.from({ length: 11 }, (_, index) => login(`203.0.113.${100 + index}`, 'not the password')),
  )
  expect(answers.filter((answer) => answer.status === 401)).toHaveLength(10)
  const refused = answers.find((answer) => answer.status === 429)!
  expect(refused.headers.get('ratelimit-policy')).toBe('"sign-ins-account";q=10;w=900')
  expect(Number(refused.headers.get('retry-after'))).toBeWithin(1, 901)
  expect((await login('203.0.113.1', testPassword)).status).toBe(429)
  expect((await world.call('GET', '/api/users/me', { token: ada.token })).status).toBe(200)
  expect((await login('203.0.113.1', testPassword, bob.email)).status).toBe(200)
})

test('without Redis reads, writes and sign-ins go on, and failed sign-ins keep a limit', async () => {
  await using redis = await testRedis()
  await using world = await startWorld({
    rateLimit: true,
    redisUrl: redis.url,
    failedSignInsPer15Minutes: 3,
    requestsPerMinute: 5,
  })
  const ada = await world.register()
  await redis[Symbol.asyncDispose]()
  const login = (password: string) =>
    world.call('POST', '/api/auth/login', { body: { email: ada.email, password } })
  expect((await login(testPassword)).status).toBe(200)
  for (let count = 0; count < 10; count += 1) {
    expect((await world.call('GET', '/api/users/me', { token: ada.token })).status).toBe(200)
  }
  expect(
    await world.call('PATCH', '/api/users/me', { token: ada.token, body: { name: 'Ada L.' } }),
  ).toMatchObject({ status: 200 })
  const statuses = []
  for (let count = 0; count < 4; count += 1) statuses.push((await login('not the password')).status)
  expect(statuses).toEqual([401, 401, 401, 429])
  expect(world.server.deps.limiter.misses).toBeGreaterThan(10)
})
