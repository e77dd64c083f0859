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
import { eventually } from '../support/eventually.ts'
import { startProgram, type Program } from '../support/program.ts'
import { sendRaw } from '../support/raw-http.ts'
import { startS3Server, type S3Server } from '../support/s3-server.ts'
import { png, upload } from '../support/uploads.ts'

const stack = new AsyncDisposableStack()
const dataDir = mkdtempSync(join(tmpdir(), 'tide-logs-'))
let databaseUrl: string
let program: Program
let s3: S3Server

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
  s3 = stack.use(await startS3Server())
  program = stack.use(
    await startProgram(
      { config },
      { args: ['server'], environment: { LOG_LEVEL: 'debug', ...s3.environment() } },
    ),
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
  // In paths: a tag that is an address, what is no id, a path and a method that no route has.
  const task = await call('POST', '/api/tasks', { title: planted.title }, bob.accessToken)
  const inPaths = [
    await call('DELETE', `/api/tasks/${task.body.id}/tags/${planted.first}`, undefined, bob.accessToken),
    await call('GET', `/api/tasks/${planted.first}`, undefined, bob.accessToken),
    await call('DELETE', `/problems/${planted.first}`, undefined),
    await call('GET', `/${planted.first}/unknown`, undefined),
    await call('GET', `/api/${planted.first}`, undefined, bob.accessToken),
    await sendRaw(program.url, 'PLANTED / HTTP/1.1\nHost: localhost'),
    await sendRaw(program.url, `OPTIONS ${planted.first} HTTP/1.1\nHost: localhost`),
  ]
  expect(inPaths.filter(({ status }) => status >= 500)).toEqual([])
  const lines = [
    `"method":"DELETE","path":"/api/tasks/${task.body.id}/tags/:tag"`,
    '"method":"GET","path":"/api/tasks/:id"',
    '"method":"GET","path":"unknown"',
  ]
  await eventually(async () => {
    const output = await program.output() // lines are written in groups
    for (const line of lines) expect(output).toContain(line)
  })
  const logs = [readFileSync(join(dataDir, 'postgres.log'), 'utf8'), await program.output()]
  expect(logs[0]).toContain('ready to accept connections')
  expect(logs[1]).toContain('"status":409')
  for (const log of logs) expect(log.match(/^.*planted.*$/gim)).toBeNull()
}, 60_000)

test('neither log holds a cookie, an access token or a presigned URL, also while the store is away', async () => {
  const { body: cy } = await register('planted.fourth@example.com')
  const { accessToken } = cy
  const refreshed = await fetch(`${program.url}/api/auth/refresh`, {
    method: 'POST',
    headers: { Cookie: `tide_refresh=${cy.refreshToken}`, Origin: program.url },
  })
  const next: { refreshToken: string; accessToken: string } = await refreshed.json()
  const pat = await call(
    'POST',
    '/api/auth/tokens',
    { name: 'planted token name', scopes: ['read'] },
    accessToken,
  )
  expect([refreshed.status, pat.status]).toEqual([200, 201])
  const inURL = await call('GET', `/api/tasks?token=${next.accessToken}`, undefined, accessToken)
  expect(inURL.status).toBe(400)
  const project = await call('POST', '/api/projects', { name: 'planted project' }, accessToken)
  const fields = { projectId: project.body.id, title: planted.title }
  const task = await call('POST', '/api/tasks', fields, accessToken)
  const begun = await call(
    'POST',
    `/api/tasks/${task.body.id}/attachments/uploads`,
    {
      filename: 'planted file.png',
      size: png.length,
      sha256: new Bun.CryptoHasher('sha256').update(png).digest('hex'),
      contentType: 'image/png',
    },
    accessToken,
  )
  expect(begun.status).toBe(201)
  const signature = new URL(begun.body.url).searchParams.get('X-Amz-Signature')!
  await s3.kill()
  const refused = await upload({
    url: program.url,
    token: accessToken,
    taskId: task.body.id,
    name: 'planted file.png',
    content: png,
  })
  expect(refused.status).toBe(503)
  const secrets = [
    cy.refreshToken,
    accessToken,
    next.refreshToken,
    next.accessToken,
    pat.body.token,
    signature,
    'X-Amz-Signature',
    s3.environment()['S3_SECRET_ACCESS_KEY']!,
  ]
  // The line of a request follows its answer.
  await eventually(async () => expect(await program.output()).toContain('"status":503'))
  const logs = [readFileSync(join(dataDir, 'postgres.log'), 'utf8'), await program.output()]
  for (const log of logs) {
    expect(secrets.filter((one) => log.includes(one))).toEqual([])
    expect(log.match(/^.*planted.*$/gim)).toBeNull()
  }
}, 60_000)
