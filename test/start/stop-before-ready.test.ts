// A role that is asked to stop while it starts ends in order with 0, whatever it waits for: as process 1 of a container it
// would ignore a signal without a handler, and be killed after the whole time that a supervisor grants.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { addressOf } from '../../src/db/address.ts'
import { testDatabase, testRedis } from '../support/environment.ts'
import { eventually } from '../support/eventually.ts'
import { tcpProxy } from '../support/tcp-proxy.ts'
import { changed } from './parts.ts'

const main = join(import.meta.dir, '..', '..', 'src', 'main.ts')
const stack = new AsyncDisposableStack()
let databaseUrl: string
let redisUrl: string

beforeAll(async () => {
  databaseUrl = stack.use(await testDatabase()).url
  redisUrl = stack.use(await testRedis()).url
})

afterAll(() => stack.disposeAsync(), 30_000)

/** Starts the role, sends the signal when it connects to PostgreSQL, and returns how it ended. */
const stopWhileStarting = async (role: string, signal: NodeJS.Signals, { isAway }: { isAway: boolean }) => {
  await using proxy = await tcpProxy(addressOf(databaseUrl))
  if (isAway) proxy.blackhole()
  else proxy.latencyMs = 50 // a start of several round trips
  const child = Bun.spawn([process.execPath, main, ...role.split(' '), '--json'], {
    cwd: tmpdir(),
    env: {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      DATABASE_URL: changed(databaseUrl, { host: `127.0.0.1:${proxy.port}` }),
      REDIS_URL: redisUrl,
      JWT_SECRETS: 'k1:b52e6b1f0c9d47a3a8f1d2c4e6709153-test',
      PORT: '0',
      WORKER_PORT: '0',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 40_000,
    killSignal: 'SIGKILL',
  })
  await eventually(() => expect(proxy.accepted).toBeGreaterThan(0), { timeoutMs: 15_000 })
  child.kill(signal)
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  return { code, signalled: child.signalCode, stderr, lines }
}

test.each([
  ['server', 'SIGTERM'],
  ['worker', 'SIGTERM'],
  ['all', 'SIGINT'],
  ['server --workers 2', 'SIGTERM'],
] as const)(
  'the role %s ends on %s with 0 while PostgreSQL answers nothing',
  async (role, signal) => {
    const { lines, ...ended } = await stopWhileStarting(role, signal, { isAway: true })
    expect(ended).toEqual({ code: 0, signalled: null, stderr: '' })
    expect(lines.at(0)).toMatchObject({ reason: signal, msg: expect.stringContaining('before it was ready') })
    expect(lines.filter(({ level }) => level === 'error' || level === 'fatal')).toEqual([])
  },
  60_000,
)

test.each(['server', 'worker', 'all', 'server --workers 2'])(
  'the role %s that opens after the signal closes what it opened',
  async (role) => {
    const { lines, ...ended } = await stopWhileStarting(role, 'SIGTERM', { isAway: false })
    expect(ended).toEqual({ code: 0, signalled: null, stderr: '' })
    const messages = lines.map(({ msg }) => msg)
    expect(messages.join('\n')).toContain('before it was ready')
    expect(messages.join('\n')).not.toContain('is ready')
    expect(lines.filter(({ level }) => level === 'error' || level === 'fatal')).toEqual([])
  },
  60_000,
)
