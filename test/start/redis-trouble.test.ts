// Failures of Redis under running roles: what is logged and how often, what is never logged, and what readiness answers.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { openRedis, type RedisConnection } from '../../src/redis/connection.ts'
import { createLog } from '../../src/log.ts'
import type { Redis } from '../../dev/redis.ts'
import { freePort, testDatabase, testRedis } from '../support/environment.ts'
import { eventually } from '../support/eventually.ts'
import { startProgram, type Program } from '../support/program.ts'

const stack = new AsyncDisposableStack()
const log = createLog('test', 'silent')
const config = { databaseUrl: '', redisUrl: '', jwtKeys: [{ kid: 'k1', secret: 'x'.repeat(32) }] } as const
let redis: Redis
let admin: RedisConnection
let databaseUrl: string

const start = async (args: string[], environment: Record<string, string> = {}): Promise<Program> =>
  startProgram(
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the program reads the URLs and keys only
    { config: { ...config, databaseUrl, redisUrl: redis.url } as never },
    { args, environment: { LOG_LEVEL: 'info', WORKER_PORT: '0', ...environment } },
  )

const ready = async (url: string) => (await fetch(`${url}/readyz`)).json()

const linesOf = async (program: Program): Promise<Record<string, unknown>[]> =>
  (await program.output())
    .split('\n')
    .filter((line) => line.startsWith('{"level"'))
    .map((line) => JSON.parse(line))

beforeAll(async () => {
  databaseUrl = stack.use(await testDatabase()).url
  redis = stack.use(await testRedis())
  admin = stack.use(openRedis(redis.url, 'request', log))
  await eventually(() => expect(admin.client.status).toBe('ready'))
})

afterAll(() => stack.disposeAsync(), 40_000)

const connections = async (): Promise<number> =>
  Number(/total_connections_received:(\d+)/.exec(await admin.client.info('stats'))![1])

test('a password that is changed under a running process is an error once a minute and never logged', async () => {
  const password = new URL(redis.url).password
  await using program = await start(['all'])
  await admin.client.config('SET', 'requirepass', 'an0ther-s3cret')
  await admin.client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
  await admin.client.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
  const before = await connections()
  await eventually(async () => expect(await connections()).toBeGreaterThan(before + 40), {
    timeoutMs: 20_000,
  })
  expect(await ready(program.url)).toMatchObject({
    status: 'degraded',
    parts: { redis: 'degraded' },
    reasons: { redis: 'Redis is away' },
  })
  const output = await program.output()
  expect(output).not.toContain(password)
  expect(output).not.toContain('an0ther-s3cret')
  const lines = (await linesOf(program)).filter(({ msg }) => String(msg).includes('password'))
  expect(lines).toEqual([
    expect.objectContaining({
      level: 'error',
      msg: 'REDIS_URL: Redis refuses the password: correct the user or the password',
    }),
  ])
  // Forty refused connections later there is a line for each part that lost Redis, and no more.
  expect((await linesOf(program)).filter(({ level }) => level !== 'info').length).toBeLessThan(16)
  await admin.client.config('SET', 'requirepass', password)
  await eventually(async () => expect(await ready(program.url)).toMatchObject({ status: 'up' }), {
    timeoutMs: 10_000,
  })
}, 60_000)

describe('a Redis that refuses writes degrades server and worker, with the reason', () => {
  let server: Program
  let worker: Program

  beforeAll(async () => {
    server = stack.use(await start(['server']))
    worker = stack.use(await start(['worker']))
  }, 30_000)

  const both = async (expected: object): Promise<void> => {
    for (const { url } of [server, worker])
      await eventually(async () => expect(await ready(url)).toMatchObject(expected), { timeoutMs: 10_000 })
  }

  const whileSet = async (name: string, value: string, reason: string): Promise<void> => {
    const usual = (await admin.client.config('GET', name))[1]!
    await admin.client.config('SET', name, value)
    await both({ status: 'degraded', parts: { redis: 'degraded' }, reasons: { redis: reason } })
    await admin.client.config('SET', name, usual)
    await both({ status: 'up', parts: { redis: 'up' } })
  }

  test(
    'memory',
    () => whileSet('maxmemory', '1', 'Redis refuses writes because its memory is full: raise maxmemory'),
    40_000,
  )

  test(
    'replicas missing',
    () =>
      whileSet('min-replicas-to-write', '1', 'Redis refuses writes because too few replicas are connected'),
    40_000,
  )

  test('a replica', async () => {
    await admin.client.replicaof('127.0.0.1', freePort())
    await both({
      status: 'degraded',
      reasons: { redis: 'Redis is a replica, which only reads: name the primary' },
    })
    await admin.client.replicaof('NO', 'ONE')
    await both({ status: 'up' })
  }, 40_000)
})

test('a Redis that is away or evicts keys is a warning, and the server starts', async () => {
  await using program = await start(['server'], { REDIS_URL: `redis://127.0.0.1:${freePort()}` })
  const refused = (await linesOf(program)).filter(({ level }) => level === 'warn')
  expect(refused[0]!.msg).toMatch(/^REDIS_URL: nothing listens at 127\.0\.0\.1:\d+: .*; starting without it/)
  await admin.client.config('SET', 'maxmemory-policy', 'allkeys-lru')
  await using evicting = await start(['worker'])
  await admin.client.config('SET', 'maxmemory-policy', 'noeviction')
  const warnings = (await linesOf(evicting)).filter(({ level }) => level === 'warn')
  expect(warnings).toEqual([
    expect.objectContaining({
      policy: 'allkeys-lru',
      msg: expect.stringContaining('set maxmemory-policy noeviction'),
    }),
  ])
}, 40_000)
