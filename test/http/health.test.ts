// The health routes of a whole server whose parts go away and come back: PostgreSQL behind a proxy, a Redis of
// its own.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import packageJson from '../../package.json' with { type: 'json' }
import { openServer, type RunningServer } from '../../src/app/compose.ts'
import { readConfig } from '../../src/config.ts'
import { addressOf } from '../../src/db/address.ts'
import type { Redis } from '../../dev/redis.ts'
import { createLog } from '../../src/log.ts'
import { testDatabase, testRedis } from '../support/environment.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld } from '../support/world.ts'
import { tcpProxy, type TcpProxy } from '../support/tcp-proxy.ts'

const stack = new AsyncDisposableStack()
let server: RunningServer
let proxy: TcpProxy
let redis: Redis
let dataDir: string

const get = async (path: string) => {
  const response = await fetch(server.url + path)
  return { status: response.status, headers: response.headers, body: await response.json() }
}

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'tide-data-'))
  stack.defer(() => rm(dataDir, { recursive: true, force: true }))
  const { url } = stack.use(await testDatabase())
  const address = addressOf(url)
  proxy = stack.use(
    await tcpProxy(
      address.host.startsWith('/')
        ? { path: `${address.host}/.s.PGSQL.${address.port}` }
        : { host: address.host, port: address.port },
    ),
  )
  const proxied = new URL(url)
  proxied.host = `127.0.0.1:${proxy.port}`
  redis = stack.use(await testRedis())
  const config = readConfig({
    DATABASE_URL: proxied.href,
    REDIS_URL: redis.url,
    JWT_SECRETS: 'k1:0123456789abcdef0123456789abcdef-test',
    TIDE_DATA: dataDir,
    PORT: '0',
  })
  server = stack.use(await openServer(config, createLog('test', 'silent')))
})

// Connections that were swallowed are waited for until their deadline.
afterAll(() => stack.disposeAsync(), 20_000)

describe('a server with all its parts', () => {
  test('is alive, ready, and reports its version', async () => {
    expect(await get('/livez')).toMatchObject({ status: 200, body: { status: 'up' } })
    expect(await get('/readyz')).toMatchObject({
      status: 200,
      body: {
        status: 'up',
        parts: { process: 'up', postgres: 'up', migrations: 'up', redis: 'up', storage: 'up', feed: 'up' },
      },
    })
    expect(await get('/health')).toMatchObject({
      status: 200,
      body: {
        status: 'up',
        version: packageJson.version,
        parts: { migrations: { status: 'up', pending: 0 } },
      },
    })
    expect(await get('/version')).toMatchObject({
      status: 200,
      body: { name: 'tasktide', version: packageJson.version, runtime: `bun ${Bun.version}` },
    })
  })

  test('goes on serving while files cannot be stored, and says so', async () => {
    const files = join(dataDir, 'files')
    await rm(files, { recursive: true, force: true })
    await writeFile(files, '') // no folder: what a full or failed disk is to the storage
    await eventually(async () => {
      const { status, body } = await get('/readyz')
      expect([status, body.status, body.parts.storage]).toEqual([200, 'degraded', 'degraded'])
      expect(body.reasons.storage).toBe(
        'files cannot be stored: files in TIDE_DATA is no folder: remove it, or set another TIDE_DATA',
      )
    })
    await rm(files)
    await eventually(async () => {
      expect((await get('/readyz')).body).toMatchObject({ status: 'up', parts: { storage: 'up' } })
    })
  })

  test('is never answered from a cache', async () => {
    for (const path of ['/livez', '/readyz', '/health', '/version'])
      expect((await get(path)).headers.get('cache-control')).toBe('no-store')
  })

  test('reads the database once for concurrent requests', async () => {
    const { db } = server.deps
    const calls = async () =>
      (
        await db.read(
          (sql) => sql<{ count: number }[]>`
            select xact_commit as count from pg_stat_database where datname = current_database()`,
        )
      )[0]!.count
    const before = await calls()
    await Promise.all(Array.from({ length: 200 }, () => get('/readyz')))
    expect((await calls()) - before).toBeLessThan(100) // 200 probes would be 400 and more
  })
})

describe('a server that has lost a part', () => {
  test('is degraded without Redis, still serves requests, and recovers', async () => {
    await redis.stop()
    await eventually(async () => {
      expect(await get('/readyz')).toMatchObject({
        status: 200,
        body: { status: 'degraded', parts: { redis: 'degraded', postgres: 'up' } },
      })
    })
    await redis.start()
    await eventually(async () => expect((await get('/readyz')).body).toMatchObject({ status: 'up' }), {
      timeoutMs: 10_000,
    })
  })

  test('is not ready while PostgreSQL does not answer, within the deadline, and is ready again afterwards', async () => {
    proxy.blackhole()
    await eventually(
      async () => {
        const askedAt = performance.now()
        const answer = await get('/readyz')
        expect(performance.now() - askedAt).toBeLessThan(2_500)
        expect(answer).toMatchObject({ status: 503, body: { code: 'unavailable', part: 'postgres' } })
        expect(answer.headers.get('content-type')).toBe('application/problem+json')
        expect(answer.headers.get('retry-after')).toBe('1')
        expect(JSON.stringify(answer.body)).not.toContain('127.0.0.1')
      },
      { timeoutMs: 10_000 },
    )
    expect(await get('/livez')).toMatchObject({ status: 200 })
    proxy.heal()
    await eventually(async () => expect((await get('/readyz')).status).toBe(200), { timeoutMs: 15_000 })
  }, 40_000)

  test('is not ready while a migration is pending', async () => {
    const { db } = server.deps
    const [last] = await db.transact(
      (tx) => tx`
        delete from schema_migrations where version = (select max(version) from schema_migrations)
        returning version, name, checksum, applied_at`,
    )
    await eventually(async () =>
      expect(await get('/readyz')).toMatchObject({
        status: 503,
        body: { part: 'migrations', parts: { migrations: { status: 'down', pending: 1 } } },
      }),
    )
    await db.transact((tx) => tx`insert into schema_migrations ${tx(last!)}`)
    await eventually(async () => expect((await get('/readyz')).status).toBe(200))
  })
})

test('A server that drains is alive and not ready', async () => {
  const config = { ...server.deps.config, drainDelaySeconds: 1 }
  const draining = await openServer(config, createLog('test', 'silent'))
  const stopped = draining[Symbol.asyncDispose]()
  const ready = await fetch(`${draining.url}/readyz`)
  expect(ready.status).toBe(503)
  expect(await ready.json()).toMatchObject({ part: 'process' })
  expect((await fetch(`${draining.url}/livez`)).status).toBe(200)
  await stopped
})

describe('a server whose PostgreSQL refuses writes', () => {
  test('is degraded with the reason, and serves requests', async () => {
    await using world = await startWorld()
    const { token, inboxId } = await world.register()
    const { db } = world.server.deps
    await db.transact(async (tx) => {
      await tx`
        create function refuse() returns trigger language plpgsql as $$
        begin raise exception 'could not extend file' using errcode = '53100'; end $$`
      await tx`create trigger refusing before insert on tasks execute function refuse()`
    })
    const body = { title: 'One', projectId: inboxId }
    expect((await world.call('POST', '/api/tasks', { token, body })).status).toBe(503)
    const answer = await world.call('GET', '/readyz')
    expect(answer).toMatchObject({
      status: 200,
      body: {
        status: 'degraded',
        parts: { postgres: 'degraded' },
        reasons: { postgres: 'The disk of PostgreSQL is full' },
      },
    })
  }, 20_000)

  test('reports a read-only database', async () => {
    await using world = await startWorld()
    const { token, inboxId } = await world.register()
    const { db } = world.server.deps
    await db.read(
      (sql) => sql`
        do $$ begin
          execute format('alter database %I set default_transaction_read_only = on', current_database());
        end $$`,
    )
    await db
      .read(
        (sql) => sql`
          select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()`,
      )
      .catch(() => {})
    await eventually(async () =>
      expect(await world.call('GET', '/readyz')).toMatchObject({
        status: 200,
        body: { status: 'degraded', reasons: { postgres: 'PostgreSQL only reads' } },
      }),
    )
    const body = { title: 'One', projectId: inboxId }
    expect(await world.call('POST', '/api/tasks', { token, body })).toMatchObject({
      status: 503,
      body: { code: 'unavailable' },
    })
  }, 20_000)
})
