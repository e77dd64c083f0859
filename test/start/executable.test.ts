// The single executable that the README's command builds: every file the program reads is inside it. It runs in a folder
// without the source, with a temporary folder of its own, and leaves nothing in either.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import packageJson from '../../package.json' with { type: 'json' }
import { readMigrations } from '../../src/db/migrations/migration-files.ts'
import { readUi } from '../../src/http/board/ui-texts.ts'
import { startCollector } from '../support/collector.ts'
import { testDatabase, testRedis } from '../support/environment.ts'
import { eventually } from '../support/eventually.ts'
import { jsonCall } from '../support/json-call.ts'
import { runProgram, startProgram, type Program } from '../support/program.ts'
import { openSocket } from '../support/socket.ts'

const root = join(import.meta.dir, '..', '..')
const command = 'bun build --compile src/main.ts --outfile tasktide'
const secret = '0123456789abcdef0123456789abcdef-test'
const stack = new AsyncDisposableStack()
let cwd: string
let temporary: string
let path: string
let data: string
let databaseUrl: string
let redisUrl: string

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tide-executable-'))
  stack.defer(() => rm(folder, { recursive: true, force: true }))
  cwd = join(folder, 'cwd')
  temporary = join(folder, 'tmp')
  path = join(folder, 'tasktide')
  data = join(folder, 'data')
  await Promise.all([mkdir(cwd), mkdir(temporary)])
  databaseUrl = stack.use(await testDatabase()).url
  redisUrl = stack.use(await testRedis()).url
  const args = [...command.split(' ').slice(1, -1), path]
  const build = Bun.spawn([process.execPath, ...args], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: 100_000,
  })
  const [faults, code] = await Promise.all([new Response(build.stderr).text(), build.exited])
  expect({ code, faults: code === 0 ? '' : faults }).toEqual({ code: 0, faults: '' })
}, 120_000)

afterAll(() => stack.disposeAsync(), 20_000)

const start = (args: string[], more: Record<string, string> = {}): Promise<Program> =>
  startProgram(
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the program reads the URLs and keys only
    { config: { databaseUrl, redisUrl, jwtKeys: [{ kid: 'k1', secret }] } as never },
    {
      args,
      executable: { path, cwd },
      environment: { RATE_LIMIT: 'on', WORKER_PORT: '0', TMPDIR: temporary, TIDE_DATA: data, ...more },
    },
  )

const run = (url: string, ...args: string[]) =>
  runProgram(args, { DATABASE_URL: url, LOG_LEVEL: 'silent', TMPDIR: temporary }, 60_000, [path])

/** An error, a file that is not inside, or a script that Redis refuses. */
const fault = /"level":"(?:error|fatal)"|ENOENT|bunfs|\bERR\b/

const expectNothingLeft = async (): Promise<void> => {
  expect(await readdir(cwd)).toEqual([])
  expect(await readdir(temporary)).toEqual([])
  expect((await readdir(root)).filter((name) => name.endsWith('.bun-build'))).toEqual([])
}

test('the README names the command', async () => {
  expect(await Bun.file(join(root, 'README.md')).text()).toContain(`\n${command}\n`)
})

test('the executable migrates an empty database', async () => {
  await using database = await testDatabase({ empty: true })
  const names = (await readMigrations()).map(({ name }) => name)
  expect(await run(database.url, 'migrate')).toEqual({
    code: 0,
    stdout: `Applied ${names.join(', ')}.\n`,
    stderr: '',
  })
  const { code, stdout } = await run(database.url, 'migrate', 'status')
  expect({ code, applied: stdout.match(/^applied /gm)?.length }).toEqual({ code: 0, applied: names.length })
  expect(await run(database.url, 'migrate', 'dump')).toMatchObject({ code: 2, stdout: '' })
  const bench = await run(database.url, 'bench')
  expect(bench).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('`bun run bench`') })
  await expectNothingLeft()
}, 120_000)

test('its server is ready, answers requests and sockets from the files inside, and stops with 0', async () => {
  await using server = await start(['server'])
  const call = jsonCall(server.url)
  // Degraded until the first check of Redis.
  await eventually(async () =>
    expect(await call('GET', '/readyz')).toMatchObject({ status: 200, body: { status: 'up' } }),
  )
  expect(await call('GET', '/version')).toMatchObject({ body: { version: packageJson.version } })

  const account = { email: 'anna@example.com', password: 'correct horse battery', name: 'Anna' }
  expect(await call('POST', '/api/auth/register', { ...account, password: 'password123' })).toMatchObject({
    status: 422,
    body: { errors: [{ pointer: '/password' }] },
  })
  const { status, body: session } = await call('POST', '/api/auth/register', account)
  expect(status).toBe(201)
  const token = String(session.accessToken)
  const { body: project } = await call('POST', '/api/projects', { name: 'Executable' }, token)
  await using socket = await openSocket(server.url, { token })
  await socket.take('welcome')
  socket.send({ t: 'sub', rid: 1, scope: `project:${project.id}` })
  await socket.take('synced')
  const task = { title: 'From the executable', projectId: project.id }
  expect(await call('POST', '/api/tasks', task, token)).toMatchObject({ status: 201 })
  expect(await socket.take('event')).toMatchObject({ type: 'task.created', data: { title: task.title } })
  expect(await call('GET', '/api/tasks', undefined, token)).toMatchObject({
    status: 200,
    body: { items: [{ title: task.title }] },
  })

  for (const [file, type] of [
    ['swagger-ui-bundle.js', 'js'],
    ['swagger-ui.css', 'css'],
  ] as const) {
    const served = await fetch(`${server.url}/api/docs/swagger-ui.${type}`)
    const original = Bun.file(join(root, 'node_modules', 'swagger-ui-dist', file))
    expect({ status: served.status, isWhole: (await served.text()) === (await original.text()) }).toEqual({
      status: 200,
      isWhole: true,
    })
  }
  expect(await call('GET', '/api/asyncapi.json')).toMatchObject({ body: { asyncapi: '3.0.0' } })
  expect(await call('GET', '/api/openapi.json')).toMatchObject({ body: { info: { title: 'Tasktide' } } })

  expect(await server.stop('SIGTERM')).toBe(0)
  expect(await server.output()).not.toMatch(fault)
  await expectNothingLeft()
}, 120_000)

test('its live board is inside', async () => {
  await using server = await start(['server'])
  const of = async (path: string) => (await fetch(server.url + path)).text()
  expect(await of('/board')).toContain('/board/board.js')
  expect(await of('/board/board.js')).toContain('tasktide.v1')
  expect(await of('/board/board.css')).toContain('.board')
  expect(await server.stop()).toBe(0)
  await expectNothingLeft()
})

test('it sends traces: the library it loads for them is inside', async () => {
  await using collector = await startCollector()
  await using server = await start(['server'], { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url })
  expect((await fetch(`${server.url}/api/tasks`)).status).toBe(401)
  await eventually(() =>
    expect(collector.spans.map(({ service, name }) => [service, name])).toEqual([
      ['tasktide-server', 'GET /api/tasks'],
    ]),
  )
  expect(await server.stop()).toBe(0)
  await expectNothingLeft()
})

test('its board of the job queues works for an administrator, with every static file', async () => {
  const email = 'root@example.com'
  const created = await runProgram(
    ['user', 'create', email, '--admin'],
    { DATABASE_URL: databaseUrl, REDIS_URL: redisUrl, LOG_LEVEL: 'silent', TMPDIR: temporary },
    60_000,
    [path],
  )
  expect(created).toMatchObject({ code: 0, stderr: '' })
  const password = created.stdout.trim().split(/\s+/).at(-1)!
  await using server = await start(['server'])
  const { body: session } = await jsonCall(server.url)('POST', '/api/auth/login', { email, password })
  const headers = { Authorization: `Bearer ${session.accessToken}` }
  const get = (name: string) => fetch(server.url + name, { headers, redirect: 'manual' })

  expect((await fetch(`${server.url}/admin/queues`)).status).toBe(401)
  const page = await get('/admin/queues')
  expect([page.status, page.headers.get('content-security-policy')]).toEqual([
    200,
    expect.stringContaining("default-src 'none'"),
  ])
  const html = await page.text()
  const linked = [...html.matchAll(/<(?:script|link) [^>]*(?:src|href)="([^"]+)"/g)].map(([, path]) => path!)
  expect(linked.filter((path) => path.endsWith('.js')).length).toBeGreaterThan(1)
  for (const link of linked)
    expect([link, (await get(new URL(link, 'http://page/admin/queues/').pathname)).status]).toEqual([
      link,
      200,
    ])
  const files = (await readUi()).files
  expect(files.length).toBeGreaterThan(50)
  for (const { path: name, type, base64 } of files) {
    const served = await get(`/admin/queues/static/${name}`)
    const isWhole = Buffer.from(await served.arrayBuffer()).toString('base64') === base64
    const { status, headers } = served
    expect({ name, status, type: headers.get('content-type'), isWhole }).toEqual({
      name,
      status: 200,
      type,
      isWhole: true,
    })
  }
  const listed = await (await get('/admin/queues/api/queues')).json()
  expect(listed.queues.map(({ name }: { name: string }) => name).toSorted()).toEqual([
    'files',
    'mail',
    'maintenance',
  ])
  for (const open of [
    '/admin/sign-in',
    '/admin/sign-in.css',
    '/admin/sign-in.js',
    '/admin/keep-signed-in.js',
  ])
    expect([open, (await fetch(server.url + open)).status]).toEqual([open, 200])

  expect(await server.stop('SIGTERM')).toBe(0)
  expect(await server.output()).not.toMatch(fault)
  await expectNothingLeft()
}, 120_000)

test.each(['server --workers 2', 'worker'])(
  'its role %s starts, answers and stops with 0',
  async (role) => {
    await using program = await start(role.split(' '))
    expect((await fetch(`${program.url}/readyz`)).status).toBe(200)
    const children = await program.children()
    expect(children).toHaveLength(role === 'worker' ? 0 : 2)
    expect(await program.stop('SIGTERM')).toBe(0)
    expect(children.filter(isAlive)).toEqual([])
    expect(await program.output()).not.toMatch(fault)
    await expectNothingLeft()
  },
  120_000,
)

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
