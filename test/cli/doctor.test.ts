// `doctor` as a process: a line for each part with what is there or with the remedy, the exit code of the worst, and no
// secret in any of them.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import packageJson from '../../package.json' with { type: 'json' }
import { freePort, testDatabase, testRedis } from '../support/environment.ts'
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

/** What it finds, by part, and the lines of the same run without --json. */
const examine = async (over: Record<string, string> = {}) => {
  const environment = { ...usual, ...over }
  const [asJson, asText] = await Promise.all([
    runProgram(['doctor', '--json'], environment),
    runProgram(['doctor'], environment),
  ])
  const secrets = [jwt.slice(3), 's3cret-word', new URL(usual['REDIS_URL']!).password]
  for (const secret of secrets) expect(`${asJson.stdout}${asText.stdout}`).not.toContain(secret)
  expect([asJson.stderr, asText.stderr]).toEqual(['', ''])
  const { exitCode, findings }: { exitCode: number; findings: Finding[] } = JSON.parse(asJson.stdout)
  expect([asJson.code, asText.code]).toEqual([exitCode, exitCode])
  const lines = asText.stdout.trimEnd().split('\n')
  expect(lines).toHaveLength(findings.length)
  for (const [index, { part, state }] of findings.entries())
    expect(lines[index]!.split(/ +/, 2)).toEqual([state, part])
  return { exitCode, findings, of: (part: string) => findings.filter((finding) => finding.part === part) }
}

test('where everything is right it says what there is, and exits with 0', async () => {
  const { exitCode, findings } = await examine({ SMTP_URL: smtp.url })
  expect(exitCode).toBe(0)
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
  expect(of('mail')).toEqual(
    fault(/^SMTP_URL: 127\.0\.0\.1:\d+ takes no mails .*: check that the server runs/),
  )
  expect(of('storage')).toEqual(fault(/^S3_BUCKET: the object store does not answer: check S3_ENDPOINT/))
  expect(of('PostgreSQL')).toEqual([expect.objectContaining({ state: 'ok' })])
}, 60_000)

test('settings that are wrong are a line each, what depends on them is not examined, and it exits with 78', async () => {
  const { exitCode, of } = await examine({ DATABASE_URL: 'mysql://me:s3cret-word@x/y', PORT: 'many' })
  expect(exitCode).toBe(78)
  expect(of('settings').map(({ text }) => text.split(' ')[0])).toEqual(['DATABASE_URL', 'PORT'])
  expect([...of('PostgreSQL'), ...of('migrations')].map(({ state }) => state)).toEqual(['skipped', 'skipped'])
  expect(of('Redis')).toEqual([expect.objectContaining({ state: 'ok' })])
}, 60_000)

test('a database that is not migrated, a password that is refused and mails that no one receives', async () => {
  await using empty = await testDatabase({ empty: true })
  const redis = new URL(usual['REDIS_URL']!)
  redis.password = 's3cret-word'
  const { exitCode, of } = await examine({
    TIDE_ENV: 'production',
    JWT_SECRETS: `k1:${crypto.randomUUID()}${crypto.randomUUID()}`,
    DATABASE_URL: empty.url,
    REDIS_URL: redis.href,
  })
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
