// Logs hold no personal data. A server and a PostgreSQL of their own, planted values, and then both logs read.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openDatabase } from '../../src/db/client.ts'
import { readConfig } from '../../src/config.ts'
import { migrate } from '../../src/db/migrations/migrate.ts'
import { cloneDatabase, urlOf } from '../../dev/databases.ts'
import { startPostgres } from '../../dev/postgres.ts'
import { createLog } from '../../src/log.ts'
import { testRedis } from '../support/environment.ts'
import { startProgram, type Program } from '../support/program.ts'

const stack = new AsyncDisposableStack()
const dataDir = mkdtempSync(join(tmpdir(), 'tide-logs-'))
let databaseUrl: string
let program: Program

beforeAll(async () => {
  stack.defer(() => rmSync(dataDir, { recursive: true, force: true }))
  const postgres = stack.use(await startPostgres({ dataDir, durable: false }))
  databaseUrl = await cloneDatabase(postgres.url, 'private', 'template0')
  const redis = stack.use(await testRedis())
  const config = readConfig({
    DATABASE_URL: databaseUrl,
    REDIS_URL: redis.url,
    JWT_SECRETS: 'k1:0123456789abcdef0123456789abcdef-test',
  })
  // As a PostgreSQL logs that this project does not start itself: with the details of every error.
  const db = openDatabase({
    url: urlOf(postgres.url, 'postgres'),
    max: 1,
    applicationName: 'test',
    log: createLog('test', 'silent'),
  })
  await db.read((sql) => sql`alter database private set log_error_verbosity = 'verbose'`)
  await db[Symbol.asyncDispose]()
  await migrate({ url: databaseUrl, log: createLog('test', 'silent') })
  program = stack.use(
    await startProgram({ config }, { args: ['server'], environment: { LOG_LEVEL: 'debug' } }),
  )
}, 60_000)

afterAll(() => stack.disposeAsync())

const planted = {
  password: 'planted horse battery',
  first: 'planted.first@example.com',
  second: 'planted.second@example.com',
  third: 'planted.third@example.com',
  title: 'planted title of a task',
  token: 'planted-token-0123456789',
}

const call = async (method: string, path: string, body: unknown, token?: string) => {
  const response = await fetch(program.url + path, {
    method,
    headers: {
      ...(body !== undefined && { 'Content-Type': 'application/json' }),
      ...(token !== undefined && { Authorization: `Bearer ${token}` }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, body: text === '' ? null : JSON.parse(text) }
}

const register = (email: string) =>
  call('POST', '/api/auth/register', { email, name: 'Planted Person', password: planted.password })

test('neither log holds an address, a name, a password, a token or a title', async () => {
  const { body: ada } = await register(planted.first)
  const { body: bob } = await register(planted.second)
  const taken = await Promise.all(Array.from({ length: 6 }, () => register(planted.first)))
  expect(taken.map(({ status }) => status)).toEqual(Array<number>(6).fill(409))
  // All at once, for an address that is free: one has it afterwards.
  const racing = await Promise.all([
    ...Array.from({ length: 6 }, () => register(planted.third)),
    ...[ada, bob].map(({ accessToken }) =>
      call(
        'PATCH',
        '/api/users/me',
        { email: planted.third, currentPassword: planted.password },
        accessToken,
      ),
    ),
  ])
  expect(racing.filter(({ status }) => status < 300)).toHaveLength(1)
  expect(racing.filter(({ status }) => status === 409)).toHaveLength(7)
  const others = [
    await register('planted\u0130\u1E9E@example.com'),
    await call('POST', '/api/auth/login', { email: planted.first, password: `${planted.password} wrong` }),
    await call('POST', '/api/auth/refresh', { refreshToken: planted.token }),
    await call('GET', '/api/users/me', undefined, planted.token),
    await call('GET', `/api/users/search?q=${planted.first}`, undefined, bob.accessToken),
    await call('POST', '/api/tasks', { title: `${planted.title}\0` }, bob.accessToken),
    await call('POST', '/api/tasks', { title: planted.title, parentId: ada.user.id }, bob.accessToken),
    await call('POST', '/api/tasks', { title: planted.title, assigneeId: ada.user.id }, bob.accessToken),
  ]
  expect(others.filter(({ status }) => status >= 500)).toEqual([])
  const logs = [readFileSync(join(dataDir, 'postgres.log'), 'utf8'), await program.output()]
  expect(logs[0]).toContain('ready to accept connections')
  expect(logs[1]).toContain('"status":409')
  for (const log of logs) expect(log.match(/^.*planted.*$/gim)).toBeNull()
}, 60_000)
