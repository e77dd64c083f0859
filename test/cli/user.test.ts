// `user disable` as a process, and why it exists: production refuses data on which a demo account can sign in.
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
) => {
  const main = join(import.meta.dir, '..', '..', 'src', 'main.ts')
  const child = Bun.spawn([process.execPath, main, 'user', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      DATABASE_URL: databaseUrl,
      REDIS_URL: redisUrl,
      LOG_LEVEL: 'warn',
      ...environment,
    },
    timeout: 20_000,
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
    expect(output).toContain('`bun src/main.ts user disable admin@example.com user@example.com`')
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
  expect(changed.status).toBe(204)
  await using refused = await start(world, 'worker', false)
  expect(await refused.exited).toBe(78)
  const output = await refused.output()
  expect(output).toContain('user disable admin@example.com`')
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

test('it needs neither a server nor Redis, and reports a missing account', async () => {
  await using world = await startWorld()
  const person = await world.register()
  const away = { REDIS_URL: `redis://127.0.0.1:${freePort()}`, LOG_LEVEL: 'silent' }
  expect(await user(world, ['disable', 'no-account@example.com', person.email], away)).toEqual({
    code: 1,
    out: `${person.email} is disabled.\n`,
    err: 'There is no account no-account@example.com.\n',
  })
  expect(await signIn(world, person.email, testPassword)).toMatchObject({ status: 403 })
}, 30_000)

test('invalid arguments are answered with the reason, then the usage', async () => {
  for (const [args, reason] of [
    [[], 'Say what to do'],
    [['remove', 'a@example.com'], 'There is no command user remove.'],
    [['disable'], 'Give the e-mail address'],
    [['disable', '--all'], 'user disable has no option --all.'],
  ] as const) {
    const { code, err } = await user({ databaseUrl: '', redisUrl: '' }, [...args])
    expect([code, err.split('\n')[0]]).toEqual([2, expect.stringContaining(reason)])
    expect(err).toContain('Usage: bun src/main.ts user disable')
  }
}, 30_000)
