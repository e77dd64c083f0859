// `up` with settings that cannot work: the sentence alone, before anything is started.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { testDatabase, testRedis } from '../support/environment.ts'
import { changed } from './parts.ts'

const stack = new AsyncDisposableStack()
let folder: string
let databaseUrl: string
let redisUrl: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tide-up-start-'))
  stack.defer(() => rm(folder, { recursive: true, force: true }))
  databaseUrl = stack.use(await testDatabase()).url
  redisUrl = stack.use(await testRedis()).url
})

afterAll(() => stack.disposeAsync(), 20_000)

const up = async (settings: Record<string, string>) => {
  const { DATABASE_URL: _database, REDIS_URL: _redis, TASKTIDE_LAUNCHER: _launcher, ...env } = process.env
  const child = Bun.spawn([process.execPath, join(import.meta.dir, '../../bin/up.ts')], {
    env: { ...env, TIDE_DATA: join(folder, 'data'), PORT: '0', WORKER_PORT: '0', ...settings },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
  })
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  return { code, stdout, lines: stderr.trim().split('\n') }
}

const refused: [string, () => Record<string, string>, RegExp][] = [
  [
    'database password',
    () => ({ DATABASE_URL: changed(databaseUrl, { password: 's3cret-word' }) }),
    /^DATABASE_URL: PostgreSQL refuses the user postgres: correct the user or the password$/,
  ],
  [
    'Redis password',
    () => ({ REDIS_URL: changed(redisUrl, { password: 's3cret-word' }) }),
    /^REDIS_URL: Redis refuses the password: correct the user or the password$/,
  ],
  ['port', () => ({ PORT: 'many' }), /^The configuration has a problem: PORT must be a whole number/],
  [
    'parameter of the database',
    () => ({ DATABASE_URL: changed(databaseUrl, { search: 'pgbouncer=true' }) }),
    /^The configuration has a problem: DATABASE_URL has a parameter pgbouncer that is refused/,
  ],
]

test.each(refused)(
  'a wrong %s is one sentence',
  async (_, settings, sentence) => {
    const { code, stdout, lines } = await up(settings())
    expect({ code, stdout, lines: lines.length }).toEqual({ code: 78, stdout: '', lines: 1 })
    expect(lines[0]).toMatch(sentence)
    const made = await readdir(join(folder, 'data'))
    expect(made).not.toContain('postgres')
    expect(made).not.toContain('redis')
  },
  60_000,
)

test('a data folder that is a file is one sentence', async () => {
  const path = join(folder, 'file')
  await Bun.write(path, '')
  const { code, lines } = await up({ TIDE_DATA: path })
  expect({ code, lines }).toEqual({
    code: 78,
    lines: [`TIDE_DATA is ${path}, which is no folder: set another one`],
  })
}, 60_000)

test('a port of the server that is in use is the same sentence as that of the role', async () => {
  const listener = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } })
  stack.defer(() => listener.stop(true))
  const { code, lines } = await up({
    DATABASE_URL: databaseUrl,
    REDIS_URL: redisUrl,
    PORT: String(listener.port),
  })
  expect({ code, last: lines.at(-1) }).toEqual({
    code: 78,
    last: `PORT is ${listener.port}, and that port of 127.0.0.1 is in use: stop the other program, or set another PORT`,
  })
}, 60_000)
