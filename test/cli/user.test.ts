// `user` as a process: each command as its output, what it leaves in the log, and what a running server does with it; and
// that production refuses data on which a demo account can sign in.
import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { seedDemo } from '../../src/domain/seed.ts'
import { freePort } from '../support/environment.ts'
import { startProgram } from '../support/program.ts'
import { openSocket } from '../support/socket.ts'
import { startWorld, testPassword, type World } from '../support/world.ts'

/** A world with the seed data of `up`. */
const startSeeded = async (): Promise<World> => {
  const world = await startWorld()
  await seedDemo(world.server.deps)
  return world
}

const user = async (
  { databaseUrl, redisUrl }: Pick<World, 'databaseUrl' | 'redisUrl'>,
  args: string[],
  environment: Record<string, string> = {},
  input = '',
) => {
  const main = join(import.meta.dir, '..', '..', 'src', 'main.ts')
  const child = Bun.spawn([process.execPath, main, 'user', ...args], {
    stdio: [new Blob([input]), 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      DATABASE_URL: databaseUrl,
      REDIS_URL: redisUrl,
      LOG_LEVEL: 'warn',
      ...environment,
    },
    timeout: 60_000,
  })
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()])
  return { code: await child.exited, out, err }
}

const production = { TIDE_ENV: 'production', RATE_LIMIT: 'on', WORKER_PORT: '0', DRAIN_DELAY: '0' }

const start = (world: World, role: string, isReady: boolean) =>
  startProgram(world, { args: [role], environment: production, isReady })

const signIn = (world: World, email: string, password: string) =>
  world.call('POST', '/api/auth/login', { body: { email, password } })

test('production on data of `up` does not start, and names the accounts and the command', async () => {
  await using world = await startSeeded()
  for (const role of ['server', 'worker', 'all']) {
    await using program = await start(world, role, false)
    expect([role, await program.exited]).toEqual([role, 78])
    const output = await program.output()
    expect(output).toContain('admin@example.com, user@example.com')
    expect(output).toContain('bun src/main.ts user disable admin@example.com user@example.com,')
    expect(output).not.toContain('admin123')
  }
}, 60_000)

test('it starts when each demo account is disabled or has another password; sessions end at once', async () => {
  await using world = await startSeeded()
  const { body: session } = await signIn(world, 'user@example.com', 'user123')
  const changed = await world.call('PUT', '/api/users/me/password', {
    token: session.accessToken,
    body: { currentPassword: 'user123', password: testPassword },
  })
  expect(changed.status).toBe(200)
  await using refused = await start(world, 'worker', false)
  expect(await refused.exited).toBe(78)
  const output = await refused.output()
  expect(output).toContain('user disable admin@example.com,')
  expect(output).not.toContain('user@example.com')

  const { body: admin } = await signIn(world, 'admin@example.com', 'admin123')
  await using socket = await openSocket(world.url, { token: admin.accessToken })
  await socket.take('welcome')
  expect(await user(world, ['disable', ' Admin@Example.com'])).toEqual({
    code: 0,
    out: 'admin@example.com is disabled.\n',
    err: '',
  })
  expect(await socket.closed()).toBe(4403)
  expect(await signIn(world, 'admin@example.com', 'admin123')).toMatchObject({
    status: 403,
    body: { code: 'user_disabled' },
  })
  const refreshed = await world.call('POST', '/api/auth/refresh', {
    body: { refreshToken: admin.refreshToken },
  })
  expect(refreshed.status).toBe(401)
  expect(await user(world, ['disable', 'admin@example.com'])).toMatchObject({
    code: 0,
    out: 'admin@example.com was disabled already.\n',
  })

  await using server = await start(world, 'server', true)
  expect((await fetch(`${server.url}/livez`)).status).toBe(200)
}, 60_000)

/** The password that a command printed. */
const printed = (out: string): string => /^Its password is (\S{20})$/m.exec(out)![1]!

test('every command needs neither a server nor Redis, and reports a missing account', async () => {
  await using world = await startWorld()
  const person = await world.register()
  const away = { REDIS_URL: `redis://127.0.0.1:${freePort()}`, LOG_LEVEL: 'silent' }
  expect(await user(world, ['disable', 'no-account@example.com', person.email], away)).toEqual({
    code: 1,
    out: `${person.email} is disabled.\n`,
    err: 'There is no account no-account@example.com.\n',
  })
  expect(await signIn(world, person.email, testPassword)).toMatchObject({ status: 403 })

  const email = 'away@example.com'
  const outputs: string[] = []
  for (const args of [
    ['create', email],
    ['promote', email],
    ['disable', email],
    ['enable', email],
    ['reset', email],
    ['sessions', email],
    ['sessions', email, '--end'],
  ]) {
    const { code, out, err } = await user(world, args, away)
    expect([args, code, err]).toEqual([args, 0, ''])
    outputs.push(out.split('\n')[0]!)
    if (args[0] === 'reset')
      expect((await signIn(world, email, printed(out))).body.user).toMatchObject({ email, role: 'admin' })
  }
  expect(outputs).toEqual([
    `${email} is made, with the role user.`,
    `${email} is an admin.`,
    `${email} is disabled.`,
    `${email} is enabled.`,
    `${email} has another password; its sessions and tokens have ended.`,
    expect.stringContaining('127.0.0.1'),
    `${email} has no session and no token any more.`,
  ])
}, 120_000)

test('invalid arguments are answered with the reason, then the usage', async () => {
  for (const [args, reason] of [
    [[], 'Say what to do'],
    [['remove', 'a@example.com'], 'There is no command user remove.'],
    [['disable'], 'Give the e-mail address'],
    [['disable', '--all'], 'user disable has no option --all.'],
    [['create', 'a@example.com', '--name'], 'An option of user create lacks its value.'],
    [['reset', 'a@example.com', 'b@example.com'], 'user reset takes one e-mail address.'],
  ] as const) {
    const { code, err } = await user({ databaseUrl: '', redisUrl: '' }, [...args])
    expect([code, err.split('\n')[0]]).toEqual([2, expect.stringContaining(reason)])
    expect(err).toContain('Usage: bun src/main.ts user <command>')
  }
  expect(await user({ databaseUrl: '', redisUrl: '' }, ['create', '--help'])).toMatchObject({ code: 0 })
}, 30_000)

test('the first admin is made before any server runs, and signs in with the printed password', async () => {
  await using world = await startWorld({ registration: 'closed' })
  const email = 'First@Example.com'
  const made = await user(world, ['create', email, '--admin', '--name', 'Ada Lovelace'])
  expect([made.code, made.err, made.out.split('\n')[0]]).toEqual([
    0,
    '',
    'first@example.com is made, with the role admin.',
  ])
  const { body } = await signIn(world, email, printed(made.out))
  expect(body.user).toMatchObject({ name: 'Ada Lovelace', role: 'admin', emailVerified: true })
  const { body: projects } = await world.call('GET', '/api/projects', { token: body.accessToken })
  expect(projects.items).toMatchObject([{ kind: 'inbox' }])

  expect(await user(world, ['create', email])).toMatchObject({
    code: 1,
    err: 'E-mail address already in use\n',
    out: '',
  })
  const stdin = await user(world, ['create', 'b@example.com', '--password-stdin'], {}, `${testPassword}\n`)
  expect(stdin).toEqual({ code: 0, err: '', out: 'b@example.com is made, with the role user.\n' })
  expect((await signIn(world, 'b@example.com', testPassword)).body.user.name).toBe('b')
  for (const [args, input, reason] of [
    [['create', 'nowhere'], '', 'email must be an e-mail address'],
    [['create', 'c@example.com', '--password-stdin'], 'password123', 'is among the most common'],
    [['create', 'c@example.com', '--password-stdin'], 'short', 'password must have at least 8'],
    [['create', 'c@example.com', '--name', ' '], '', 'name must not be empty'],
  ] as const) {
    const { code, err } = await user(world, [...args], {}, input)
    expect([code, err]).toEqual([1, expect.stringContaining(reason)])
  }
  const [row] = await world.server.deps.db.read(
    (sql) => sql<{ count: number }[]>`select count(*)::int as count from users`,
  )
  expect(row!.count).toBe(2)
}, 120_000)

test('promote, enable, reset and sessions change accounts under running servers', async () => {
  await using world = await startWorld()
  const ada = await world.register('Ada')
  const socket = await world.socket(ada)
  expect(await user(world, ['promote', ada.email, 'none@example.com'])).toEqual({
    code: 1,
    out: `${ada.email} is an admin.\n`,
    err: 'There is no account none@example.com.\n',
  })
  expect(await socket.closed()).toBe(4010)
  expect((await world.call('GET', '/api/users', { token: ada.token })).status).toBe(200)

  const listed = await user(world, ['sessions', ada.email])
  expect([listed.code, listed.out.split('\n').length, listed.out]).toEqual([
    0,
    2,
    expect.stringContaining('127.0.0.1'),
  ])
  const second = await world.socket(ada)
  const reset = await user(world, ['reset', ada.email])
  expect([reset.code, reset.out.split('\n')[0]]).toEqual([
    0,
    `${ada.email} has another password; its sessions and tokens have ended.`,
  ])
  expect(await second.closed()).toBe(4403)
  expect((await signIn(world, ada.email, testPassword)).status).toBe(401)
  const { body: session } = await signIn(world, ada.email, printed(reset.out))

  expect((await user(world, ['sessions', ada.email, '--end'])).code).toBe(0)
  expect((await world.call('GET', '/api/users/me', { token: session.accessToken })).status).toBe(401)
  expect((await user(world, ['sessions', ada.email])).out).toBe(`${ada.email} has no session.\n`)
  const scope = (await world.entries(`user:${ada.id}`)).filter(({ actorId }) => actorId === null)
  expect(scope.map(({ type, control }) => control?.kind ?? type)).toEqual([
    'user.updated',
    'role',
    'sessions',
    'sessions',
  ])
}, 120_000)

test('the operator disables also the last admin, and enables it again', async () => {
  await using world = await startWorld()
  const ada = await world.registerAdmin()
  expect((await user(world, ['disable', ada.email])).code).toBe(0)
  expect((await user(world, ['enable', ada.email])).out).toBe(`${ada.email} is enabled.\n`)
  expect((await user(world, ['enable', ada.email])).out).toBe(`${ada.email} was not disabled.\n`)
  expect((await signIn(world, ada.email, testPassword)).status).toBe(200)
  const entries = (await world.entries(`user:${ada.id}`)).filter(({ actorId }) => actorId === null)
  expect(entries.map(({ control, changes }) => control?.kind ?? changes)).toEqual([
    { disabled: { from: false, to: true } },
    'sessions',
    'disabled',
    { disabled: { from: true, to: false } },
  ])
}, 120_000)
