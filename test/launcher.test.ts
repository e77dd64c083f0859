// `up` as a person or a supervisor meets it: through the launcher, from empty data to the last process gone.
import { afterAll, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until, withTimeout } from '../src/async/timeout.ts'
import { identify, isAlive, type ProcessIdentity } from '../dev/process-identity.ts'

const dataDir = mkdtempSync(join(tmpdir(), 'tide-up-test-'))
afterAll(() => rmSync(dataDir, { recursive: true, force: true }))

const launch = (args: string[], settings: Record<string, string> = {}) => {
  const { DATABASE_URL: _database, REDIS_URL: _redis, ...env } = process.env
  return Bun.spawn([process.execPath, join(import.meta.dir, '../bin/tasktide.mjs'), 'up', ...args], {
    env: { ...env, TIDE_DATA: dataDir, PORT: '0', WORKER_PORT: '0', ...settings },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 90_000,
  })
}

interface Ready {
  ready: boolean
  url: string
  pid: number
}

const firstLine = async (running: ReturnType<typeof launch>): Promise<Ready> => {
  const { value } = await withTimeout(60_000, 'up', running.stdout.getReader().read())
  return JSON.parse(new TextDecoder().decode(value).split('\n')[0]!)
}

const childOf = (file: string): ProcessIdentity => JSON.parse(readFileSync(join(dataDir, file), 'utf8')).child

const parts = () =>
  ['postgres/owner.json', 'redis/owner.json', 'logs/server.owner.json', 'logs/worker.owner.json'].map(childOf)

const statusOf = async (url: string) =>
  (await fetch(`${url}/health`, { signal: AbortSignal.timeout(5_000) })).status

test('up says where it is, refuses to start twice, survives kill -9 and stops everything it started', async () => {
  const first = launch(['--json'])
  const ready = await firstLine(first)
  expect(ready).toEqual({
    ready: true,
    url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
    pid: expect.any(Number),
  })
  expect(await statusOf(ready.url)).toBe(200)

  const second = launch([])
  expect(await second.exited).toBe(1)
  expect(await new Response(second.stderr).text()).toContain(`already running with this data: ${ready.url}`)

  const killed = [...parts(), identify(ready.pid)!]
  process.kill(ready.pid, 'SIGKILL')
  await until(30_000, 'the end of every part', () => (killed.some(isAlive) ? undefined : true))

  const again = launch(['--json'])
  const { url } = await firstLine(again)
  expect(await statusOf(url)).toBe(200)
  const stopped = parts()
  again.kill('SIGTERM')
  expect(await again.exited).toBe(0)
  expect(stopped.filter(isAlive)).toEqual([])
}, 120_000)

test('an option it does not know is named', async () => {
  const running = launch(['--frehs'])
  expect(await running.exited).toBe(2)
  expect(await new Response(running.stderr).text()).toContain('not --frehs')
})

test('a secret file that cannot be read is named before anything starts', async () => {
  const running = launch([], { DATABASE_URL_FILE: join(dataDir, 'none') })
  expect(await running.exited).toBe(78)
  expect(await new Response(running.stderr).text()).toBe(
    'DATABASE_URL_FILE names a file that cannot be read (ENOENT)\n',
  )
})
