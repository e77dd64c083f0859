// Rate limits over HTTP: the bucket of each request, the headers of the answers, and limits without Redis.
import { expect, test } from 'bun:test'
import { testRedis } from '../support/environment.ts'
import { startWorld, testPassword, type World } from '../support/world.ts'

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

test('one user reaches its limit and no other user does', async () => {
  await using world = await limitedWorld()
  const { ada, bob } = await world.people('ada', 'bob')
  const answers = await Promise.all(
    Array.from({ length: 500 }, () => world.call('GET', '/api/users/me', { token: ada.token })),
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
  const { ada, bob } = await world.people('ada', 'bob')
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
  expect((await login('203.0.113.50', testPassword)).status).toBe(429)
  // From where the account signed in lately its own failures count alone.
  expect((await login('203.0.113.1', testPassword)).status).toBe(200)
  expect((await world.call('GET', '/api/users/me', { token: ada.token })).status).toBe(200)
  expect((await login('203.0.113.1', testPassword, bob.email)).status).toBe(200)
})

test('without Redis reads, writes and sign-ins go on, and every limit is kept', async () => {
  await using redis = await testRedis()
  await using world = await startWorld({
    rateLimit: true,
    redisUrl: redis.url,
    failedSignInsPer15Minutes: 3,
    requestsPerMinute: 12,
  })
  const ada = await world.register()
  await redis[Symbol.asyncDispose]()
  const login = (password: string) =>
    world.call('POST', '/api/auth/login', { body: { email: ada.email, password } })
  expect((await login(testPassword)).status).toBe(200)
  expect(
    await world.call('PATCH', '/api/users/me', { token: ada.token, body: { name: 'Ada L.' } }),
  ).toMatchObject({ status: 200 })
  const reads = []
  for (let count = 0; count < 12; count += 1)
    reads.push((await world.call('GET', '/api/users/me', { token: ada.token })).status)
  expect(reads).toEqual([...Array<number>(11).fill(200), 429])
  const answers = []
  for (let count = 0; count < 4; count += 1) answers.push(await login('not the password'))
  expect(answers.map(({ status, headers }) => [status, headers.get('ratelimit-policy')])).toEqual(
    [401, 401, 401, 429].map((status) => [status, '"sign-ins-account";q=3;w=900']),
  )
  expect(world.server.deps.limiter.misses).toBeGreaterThan(5)
})

test('of 30 registrations exactly the limit passes while the process stalls now and then', async () => {
  await using world = await startWorld({ rateLimit: true, registrationsPerHour: 10 })
  const stalls = setInterval(() => {
    const until = performance.now() + 60
    while (performance.now() < until);
  }, 150)
  const statuses = await Promise.all(
    Array.from({ length: 30 }, async () => {
      const body = { email: `${Bun.randomUUIDv7()}@example.com`, name: 'Ada', password: testPassword }
      return (await world.call('POST', '/api/auth/register', { body })).status
    }),
  ).finally(() => clearInterval(stalls))
  // Of those let through some may find a busy machine too slow: 503.
  expect(statuses.filter((status) => status !== 429)).toHaveLength(10)
  expect(world.server.deps.limiter.misses).toBe(0)
}, 30_000)
