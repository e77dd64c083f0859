// What `migrate` and a server print and answer on a database that is newer than the program, and `migrate status`.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { networkInterfaces } from 'node:os'
import { readMigrations } from '../../src/db/migrations/migration-files.ts'
import { testDatabase, testRedis } from '../support/environment.ts'
import { runProgram, startProgram } from '../support/program.ts'
import { withSql } from './parts.ts'

const stack = new AsyncDisposableStack()
const secret = '0123456789abcdef0123456789abcdef-test'
let databaseUrl: string
let redisUrl: string

beforeAll(async () => {
  databaseUrl = stack.use(await testDatabase()).url
  redisUrl = stack.use(await testRedis()).url
})

afterAll(() => stack.disposeAsync(), 20_000)

const run = (url: string, ...args: string[]) => runProgram(args, { DATABASE_URL: url, LOG_LEVEL: 'warn' })

const start = (environment: Record<string, string>, role = 'server') =>
  startProgram(
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the program reads the URLs and keys only
    { config: { databaseUrl, redisUrl, jwtKeys: [{ kid: 'k1', secret }] } as never },
    { args: [role], environment },
  )

test('status prints each number once', async () => {
  await using database = await testDatabase()
  const { code, stdout } = await run(database.url, 'migrate', 'status')
  expect(code).toBe(0)
  const names = stdout
    .trim()
    .split('\n')
    .map((line) => line.split(/\s+/)[1]!)
  expect(names).toEqual((await readMigrations()).map(({ name }) => name))
})

test('on a newer database whose migrations only add, migrate exits with 0 and a warning, and a server starts', async () => {
  await withSql(
    databaseUrl,
    (sql) => sql`
      insert into schema_migrations (version, name, checksum, phase) values (9999, '9999_future', '', 'expand')`,
  )
  const notice = 'The database is newer than this program; 9999_future is marked as compatible'
  const { code, stdout } = await run(databaseUrl, 'migrate')
  expect(code).toBe(0)
  expect(stdout).toContain(notice)
  const status = await run(databaseUrl, 'migrate', 'status')
  expect({ code: status.code, last: status.stdout.trim().split('\n').at(-1) }).toEqual({
    code: 0,
    last: expect.stringMatching(/^unknown +9999_future .* \(newer, compatible\)$/),
  })
  await using server = await start({ LOG_LEVEL: 'warn' })
  expect(await server.output()).toContain(notice)
  expect((await fetch(`${server.url}/readyz`)).status).toBe(200)
}, 40_000)

test('HOST takes an IPv6 address with brackets and without', async () => {
  const hasIpv6 = Object.values(networkInterfaces()).some((all) =>
    all!.some(({ address }) => address === '::1'),
  )
  for (const HOST of ['[::1]', '::1']) {
    if (hasIpv6) {
      await using server = await start({ HOST })
      expect(server.url).toMatch(/^http:\/\/\[::1\]:\d+$/)
      expect((await fetch(`${server.url}/livez`)).status).toBe(200)
    } else {
      const environment = {
        DATABASE_URL: databaseUrl,
        REDIS_URL: redisUrl,
        JWT_SECRETS: `k1:${secret}`,
        HOST,
      }
      expect((await runProgram(['server'], environment)).stdout).toContain('HOST is ::1, which is no address')
    }
  }
}, 40_000)

test('INTERNAL_HOST takes an IPv6 address with brackets and without', async () => {
  const hasIpv6 = Object.values(networkInterfaces()).some((all) =>
    all!.some(({ address }) => address === '::1'),
  )
  for (const INTERNAL_HOST of ['[::1]', '::1']) {
    const own = { INTERNAL_HOST, WORKER_PORT: '0' }
    if (hasIpv6) {
      await using worker = await start(own, 'worker')
      expect(worker.url).toMatch(/^http:\/\/\[::1\]:\d+$/)
      expect((await fetch(`${worker.url}/readyz`)).status).toBe(200)
    } else {
      const environment = {
        DATABASE_URL: databaseUrl,
        REDIS_URL: redisUrl,
        JWT_SECRETS: `k1:${secret}`,
        ...own,
      }
      expect((await runProgram(['worker'], environment)).stdout).toContain(
        'INTERNAL_HOST is ::1, which is no',
      )
    }
  }
}, 40_000)
