// The probes of a worker.
import { expect, test } from 'bun:test'
import packageJson from '../../package.json' with { type: 'json' }
import { openDatabase } from '../../src/db/client.ts'
import { createLog } from '../../src/log.ts'
import { serveInternally } from '../../src/metrics/internal-server.ts'
import { sharedRedisUrl, testDatabase } from '../support/environment.ts'
import { eventually } from '../support/eventually.ts'
import { startProgram, type Program } from '../support/program.ts'
import { sendRaw } from '../support/raw-http.ts'
import { openWorker } from './rig.ts'

const get = async (url: string, method = 'GET') => {
  const response = await fetch(url, { method })
  return { status: response.status, type: response.headers.get('content-type'), body: await response.json() }
}

test('the probes report liveness, version, shards and consumers', async () => {
  await using database = await testDatabase()
  await using worker = await openWorker({
    databaseUrl: database.url,
    redisUrl: sharedRedisUrl(),
    overdueIntervalMs: 1_000,
  })
  expect(await get(`${worker.url}/livez`)).toMatchObject({ status: 200, body: { status: 'up' } })
  expect(await get(`${worker.url}/version`)).toMatchObject({
    status: 200,
    body: { name: 'tasktide', version: packageJson.version },
  })
  await eventually(async () =>
    expect(await get(`${worker.url}/readyz`)).toMatchObject({
      status: 200,
      body: {
        status: 'up',
        parts: { process: 'up', postgres: 'up', redis: 'up', feed: 'up', consumers: 'up' },
        shards: { length: 16 },
        consumers: { notifications: { lag: 0, failures: 0 } },
        deadLetters: 0,
      },
    }),
  )
  // As load balancers ask: without a Host.
  for (const [path, status] of [
    ['/livez', 200],
    ['/readyz', 200],
    ['/metrics', 200],
    ['/other', 404],
  ] as const)
    expect([path, (await sendRaw(worker.url, `GET ${path} HTTP/1.0`)).status]).toEqual([path, status])
  expect(await get(`${worker.url}/other`)).toMatchObject({
    status: 404,
    type: 'application/problem+json',
    body: { code: 'not_found', instance: '/other' },
  })
})

test('until the role has started, its port answers alive and not ready', async () => {
  await using internal = serveInternally({ host: '127.0.0.1', port: 0, setting: 'WORKER_PORT' })
  const at = `http://127.0.0.1:${internal.port}`
  expect(await get(`${at}/livez`)).toMatchObject({ status: 200, body: { status: 'up' } })
  expect(await get(`${at}/readyz`)).toMatchObject({
    status: 503,
    body: { status: 'down', parts: { process: 'down' } },
  })
  expect(await get(`${at}/metrics`)).toMatchObject({ status: 503, body: { code: 'unavailable' } })
  internal.answer({
    metrics: async () => '{}',
    readiness: async () => ({ status: 200, body: { status: 'up' } }),
  })
  expect(await get(`${at}/readyz`)).toMatchObject({ status: 200, body: { status: 'up' } })
  expect(await get(`${at}/metrics`)).toMatchObject({ status: 200, body: {} })
})

test('workers on one machine start without a WORKER_PORT, and each names the address it listens on', async () => {
  await using database = await testDatabase()
  const world = {
    config: {
      databaseUrl: database.url,
      redisUrl: sharedRedisUrl(),
      jwtKeys: [{ kid: 'k1', secret: 'x'.repeat(32) }],
    },
  }
  const start = (): Promise<Program> =>
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the program reads the URLs and keys only
    startProgram(world as never, {
      args: ['worker'],
      environment: { LOG_LEVEL: 'info', INTERNAL_HOST: 'localhost' },
    })
  await using first = await start()
  await using second = await start()
  expect(second.url).not.toBe(first.url)
  for (const { url } of [first, second]) {
    expect(url).toStartWith('http://localhost:')
    expect(await get(`${url}/livez`)).toMatchObject({ status: 200 })
  }
  expect(await second.output()).toContain(
    `"port":${new URL(second.url).port},"msg":"WORKER_PORT is not set and 3001 is in use: this worker takes a free port"`,
  )
}, 40_000)

test('dead letters and an absent Redis degrade a worker; without PostgreSQL it is not ready', async () => {
  const database = await testDatabase()
  await using worker = await openWorker({
    databaseUrl: database.url,
    redisUrl: 'redis://127.0.0.1:1',
    overdueIntervalMs: 1_000,
  })
  {
    await using db = openDatabase({
      url: database.url,
      max: 1,
      applicationName: 'test',
      log: createLog('test', 'silent'),
    })
    await db.transact(
      (tx) => tx`
        insert into dead_letter (consumer, shard, seq, error, attempts, entry)
        values ('notifications', 0, 1, 'cannot handle it', 5, '{}')`,
    )
    await db.transact(
      (tx) => tx`
        insert into deliveries (id, kind, dedupe_key, payload, state, ended_at, created_at)
        values (gen_random_uuid(), 'files.delete', 'a', '{}', 'failed', now(), now()),
          (gen_random_uuid(), 'files.unknown', 'b', '{}', 'waiting', null, now() - interval '1 hour')`,
    )
  }
  await eventually(
    async () =>
      expect(await get(`${worker.url}/readyz`)).toMatchObject({
        status: 200,
        body: {
          status: 'degraded',
          parts: { redis: 'degraded', consumers: 'degraded', jobs: 'degraded' },
          deadLetters: 1,
          // Beside them the sweep of the night.
          deliveries: expect.arrayContaining([
            expect.objectContaining({ kind: 'files.delete', failed: 1, open: 0 }),
            expect.objectContaining({ kind: 'files.unknown', open: 1, failed: 0 }),
          ]),
          files: {
            deletions: 0,
            missing: 0,
            lastSweep: null,
            stored: { attachments: 0, bytes: 0, avatars: 0 },
          },
        },
      }),
    { timeoutMs: 15_000, everyMs: 200 },
  )
  await database[Symbol.asyncDispose]()
  await eventually(async () =>
    expect(await get(`${worker.url}/readyz`)).toMatchObject({
      status: 503,
      body: { status: 'down', parts: { postgres: 'down' } },
    }),
  )
}, 45_000)
