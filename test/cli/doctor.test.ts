// `doctor` as a process: a line for each part with what is there or with the remedy, the exit code of the worst, and no
// secret in any of them.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import packageJson from '../../package.json' with { type: 'json' }
import { freePort, testDatabase, testRedis } from '../support/environment.ts'
import { eventually } from '../support/eventually.ts'
import { runProgram } from '../support/program.ts'
import { startSmtp, type TestSmtp } from '../support/smtp.ts'

interface Finding {
  part: string
  state: string
  text: string
  exitCode: number
}

const jwt = 'k1:0123456789abcdef0123456789abcdef-test'
const stack = new AsyncDisposableStack()
let usual: Record<string, string>
let smtp: TestSmtp

beforeAll(async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'tide-doctor-'))
  stack.defer(() => rm(dataDir, { recursive: true, force: true }))
  smtp = stack.use(await startSmtp())
  usual = {
    DATABASE_URL: stack.use(await testDatabase()).url,
    REDIS_URL: stack.use(await testRedis()).url,
    JWT_SECRETS: jwt,
    TIDE_DATA: dataDir,
  }
})

afterAll(() => stack.disposeAsync(), 20_000)

/** What it finds, by part. */
const examine = async (over: Record<string, string> = {}) => {
  const { code, stdout, stderr } = await runProgram(['doctor', '--json'], { ...usual, ...over })
  const secrets = [jwt.slice(3), 's3cret-word', new URL(usual['REDIS_URL']!).password]
  for (const secret of secrets) expect(stdout).not.toContain(secret)
  expect(stderr).toBe('')
  const { exitCode, findings }: { exitCode: number; findings: Finding[] } = JSON.parse(stdout)
  expect(code).toBe(exitCode)
  return { exitCode, findings, of: (part: string) => findings.filter((finding) => finding.part === part) }
}

/** A part that is slow is away to it: where parts have to answer, it may look again. */
const patiently = { timeoutMs: 50_000 }

test('where everything is right it says what there is, and exits with 0', async () => {
  const findings = await eventually(async () => {
    const found = await examine({ SMTP_URL: smtp.url })
    expect(found.exitCode).toBe(0)
    return found.findings
  }, patiently)
  expect(findings.map(({ part, state }) => [part, state])).toEqual([
    ['program', 'ok'],
    ['settings', 'ok'],
    ['PostgreSQL', 'ok'],
    ['migrations', 'ok'],
    ['Redis', 'ok'],
    ['storage', 'ok'],
    ['mail', 'ok'],
  ])
  const texts = findings.map(({ text }) => text)
  expect(texts[0]).toStartWith(`tasktide ${packageJson.version}, Bun `)
  expect(texts[2]).toMatch(/^\d+(?:\.\d+)? at .+, database tide_/)
  expect(texts[3]).toMatch(/^\d+ applied, none pending$/)
  expect(texts[4]).toMatch(/^(?:Redis|Valkey) \d/)
  expect(texts[5]).toContain(usual['TIDE_DATA'])
  expect(texts[6]).toBe(`SMTP server 127.0.0.1:${smtp.port}`)
  expect(smtp.received).toEqual([])
}, 60_000)

test('parts that are away are named with the remedy, and exit with 69', async () => {
  const port = freePort()
  const { exitCode, of } = await examine({
    REDIS_URL: `redis://:s3cret-word@127.0.0.1:${port}`,
    SMTP_URL: `smtp://127.0.0.1:${port}`,
    S3_BUCKET: 'files',
    S3_ENDPOINT: `http://127.0.0.1:${port}`,
    S3_ACCESS_KEY_ID: 'tasktide',
    S3_SECRET_ACCESS_KEY: 's3cret-word',
  })
  expect(exitCode).toBe(69)
  const fault = (text: RegExp) => [
    expect.objectContaining({ state: 'fault', exitCode: 69, text: expect.stringMatching(text) }),
  ]
  expect(of('Redis')).toEqual(fault(/^REDIS_URL: nothing listens at .*: start Redis there/))
  expect(of('mail')).toEqual(fault(/^SMTP_URL: nothing listens there: start the mail server/))
  expect(of('storage')).toEqual(fault(/^S3_ENDPOINT: nothing listens there: start the object store/))
}, 60_000)

test('settings that are wrong are a line each, what depends on them is not examined, and it exits with 78', async () => {
  const { exitCode, of } = await examine({ DATABASE_URL: 'mysql://me:s3cret-word@x/y', PORT: 'many' })
  expect(exitCode).toBe(78)
  expect(of('settings').map(({ text }) => text.split(' ')[0])).toEqual(['DATABASE_URL', 'PORT'])
  expect([...of('PostgreSQL'), ...of('migrations')].map(({ state }) => state)).toEqual(['skipped', 'skipped'])
  expect(of('Redis')).toHaveLength(1)
}, 60_000)

test('without --json it prints the same as a line for each part', async () => {
  const { code, stdout } = await runProgram(['doctor'], { ...usual, PORT: 'many' })
  expect(code).toBe(78)
  const lines = stdout.trimEnd().split('\n')
  expect(lines.map((line) => line.split(/ +/, 2)[1]!)).toEqual([
    'program',
    'settings',
    'PostgreSQL',
    'migrations',
    'Redis',
    'storage',
    'mail',
  ])
  expect(lines[1]).toMatch(/^fault {4}settings {3}PORT must be a whole number/)
}, 60_000)

test('a database that is not migrated, a password that is refused and mails that no one receives', async () => {
  await using empty = await testDatabase({ empty: true })
  const redis = new URL(usual['REDIS_URL']!)
  redis.password = 's3cret-word'
  const over = {
    TIDE_ENV: 'production',
    JWT_SECRETS: `k1:${crypto.randomUUID()}${crypto.randomUUID()}`,
    DATABASE_URL: empty.url,
    REDIS_URL: redis.href,
  }
  const { exitCode, of } = await eventually(async () => {
    const found = await examine(over)
    expect([...found.of('migrations'), ...found.of('Redis')].map((finding) => finding.exitCode)).toEqual([
      78, 78,
    ])
    return found
  }, patiently)
  expect(exitCode).toBe(78)
  expect(of('migrations')).toEqual([
    expect.objectContaining({
      state: 'fault',
      exitCode: 78,
      text: expect.stringContaining('run bun src/main.ts migrate'),
    }),
  ])
  expect(of('Redis')).toEqual([
    expect.objectContaining({
      state: 'fault',
      exitCode: 78,
      text: expect.stringContaining('refuses the password'),
    }),
  ])
  expect(of('mail')).toEqual([
    expect.objectContaining({ state: 'warning', exitCode: 0, text: expect.stringContaining('set SMTP_URL') }),
  ])
}, 60_000)

test('another option is refused with the usage', async () => {
  const { code, stdout, stderr } = await runProgram(['doctor', '--cure'], usual)
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
  expect(stderr).toStartWith('doctor has no option --cure.\n\nUsage: bun src/main.ts doctor')
})
