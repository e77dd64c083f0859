// Configuration: every problem at once, by name, with the fix, and never a secret.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConfigError, exampleEnvironment, readConfig, secretSettings, settingNames } from '../src/config.ts'

const secret = '3f9a1c5e7b2d4f6081a3c5e7f9b1d3f5'

const needed = {
  DATABASE_URL: 'postgres://tide:s3cret-word@db.example:5432/tasktide',
  REDIS_URL: 'redis://:s3cret-word@redis.example:6379',
  JWT_SECRETS: `k1:${secret}`,
}

const problemsOf = (environment: Record<string, string>): string[] => {
  try {
    readConfig(environment)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
}

test('.env.example lists every key as the schema has it', async () => {
  expect(await Bun.file(join(import.meta.dir, '../.env.example')).text()).toBe(exampleEnvironment())
})

test('The example of every key is one that is accepted', () => {
  const lines = exampleEnvironment().matchAll(/^# ([A-Z_0-9]+)=(.+)$/gm)
  const examples = Object.fromEntries([...lines].map(([, name, value]) => [name!, value!]))
  expect(problemsOf({ ...examples, JWT_SECRETS: needed.JWT_SECRETS })).toEqual([])
})

test('Origins are those of sites and of apps, to the letter', () => {
  const allowedOrigins = [
    'https://tasks.example.com',
    'http://localhost:5173',
    'http://[::1]:3000',
    'capacitor://localhost',
    'ionic://localhost',
    'tauri://localhost',
    'chrome-extension://abcdefghijklmnopabcdefghijklmnop',
    'moz-extension://0c7e1c5e-5d6e-4d4a-9d3a-2f6f6c1e7b8a',
  ]
  expect(readConfig({ ...needed, ALLOWED_ORIGINS: allowedOrigins.join(' , ') })).toMatchObject({
    allowedOrigins,
  })
})

test('Three settings are enough, and development listens on the own machine only', () => {
  expect(readConfig(needed)).toMatchObject({
    env: 'development',
    host: '127.0.0.1',
    port: 3000,
    workerPort: null,
    metricsPort: null,
    rateLimit: true,
    trustedProxies: 0,
    allowedOrigins: [],
    jwtKeys: [{ kid: 'k1', secret }],
  })
})

test('An empty value counts as none', () => {
  expect(readConfig({ ...needed, PORT: '', HOST: '' })).toMatchObject({ port: 3000, host: '127.0.0.1' })
})

describe('what is wrong', () => {
  test('is said all at once, each by name', () => {
    const problems = problemsOf({
      PORT: 'many',
      TRUSTED_PROXIES: '11',
      ALLOWED_ORIGINS: '*',
      LOG_LEVEL: 'loud',
    })
    const names = problems.map((problem) => problem.split(' ')[0]!)
    expect(names.toSorted((a, b) => a.localeCompare(b))).toEqual([
      'ALLOWED_ORIGINS',
      'DATABASE_URL',
      'JWT_SECRETS',
      'LOG_LEVEL',
      'PORT',
      'REDIS_URL',
      'TRUSTED_PROXIES',
    ])
  })

  test('never quotes a secret', () => {
    const problems = problemsOf({
      DATABASE_URL: 'mysql://tide:s3cret-word@db.example/x',
      REDIS_URL: 'http://:s3cret-word@redis.example',
      JWT_SECRETS: 'k1:s3cret-word',
    })
    expect(problems.length).toBe(3)
    expect(problems.join('\n')).not.toContain('s3cret-word')
  })

  test('is a bucket without its keys, and an address of the store that is none', () => {
    expect(
      problemsOf({ ...needed, S3_BUCKET: 'Files_of us', S3_ENDPOINT: 'http://a:s3cret-word@b' }),
    ).toEqual([
      'S3_BUCKET is no name of a bucket',
      'S3_ENDPOINT contains credentials: set S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY instead',
      'S3_ACCESS_KEY_ID is missing; S3_BUCKET needs it',
      'S3_SECRET_ACCESS_KEY is missing; S3_BUCKET needs it',
    ])
    expect(problemsOf({ ...needed, S3_ENDPOINT: 'localhost:9000' })).toHaveLength(1)
    const settings = { S3_BUCKET: 'files', S3_ACCESS_KEY_ID: 'a', S3_SECRET_ACCESS_KEY: 'b' }
    expect(readConfig({ ...needed, ...settings })).toMatchObject({ s3Bucket: 'files', s3PathStyle: true })
  })

  for (const PORT of ['-1', '65536', '1e3', '0x10', '80.5', ' 80', 'NaN', '999999999999999999'])
    test(`is a port of ${PORT}`, () => expect(problemsOf({ ...needed, PORT })).toHaveLength(1))

  test.each([
    ['*', 'has a wildcard'],
    ['https://*.example.com', 'has a wildcard'],
    ['example.com', 'has no scheme'],
    ['localhost:3000', 'has no scheme'],
    ['https://example.com/', 'leave out the path'],
    ['https://example.com/app', 'leave out the path'],
    ['capacitor://localhost/', 'leave out the path'],
    ['https://example.com?x', 'leave out the path'],
    ['null', 'pages without an origin'],
    ['file://', 'no page sends'],
    ['wss://example.com', 'no page sends'],
    ['https://', 'no valid host'],
    ['capacitor://', 'no valid host'],
    ['https://exa mple.com', 'no valid host'],
    ['https://example.com:99999', 'no valid host'],
    ['https://example.com:443', 'browsers write as https://example.com'],
    ['https://Example.com', 'has capitals: write https://example.com'],
  ])('is an origin of %s', (entry, reason) => {
    const problems = problemsOf({ ...needed, ALLOWED_ORIGINS: `https://a.example, ${entry}` })
    expect(problems).toHaveLength(1)
    expect(problems[0]).toStartWith(`ALLOWED_ORIGINS lists ${entry}, which `)
    expect(problems[0]).toContain(reason)
  })

  test('is each bad origin of a list, by name, without its credentials', () => {
    const problems = problemsOf({
      ...needed,
      ALLOWED_ORIGINS: '*, https://ok.example, https://user:s3cret-word@example.com, example.com',
    })
    expect(problems).toHaveLength(3)
    expect(problems[1]).toBe('ALLOWED_ORIGINS lists https://…@example.com, which has credentials')
    expect(problems.join()).not.toContain('s3cret-word')
  })

  for (const JWT_SECRETS of [
    '',
    secret,
    ':',
    'k1:',
    `K 1:${secret}`,
    `k1:${secret.slice(1)}`,
    `k1:${secret},k1:${secret}x`,
    `k1:${secret},k2:short`,
  ])
    test(`is a key list of ${JWT_SECRETS.replaceAll(secret, '…')}`, () =>
      expect(problemsOf({ ...needed, JWT_SECRETS }).length).toBeGreaterThan(0))
})

describe('production', () => {
  const production = { ...needed, TIDE_ENV: 'production' }

  test('takes good settings', () => expect(problemsOf(production)).toEqual([]))

  test('gives balancers five seconds to notice that it stops, unless configured otherwise', () => {
    expect(readConfig(production).drainDelaySeconds).toBe(5)
    expect(readConfig({ ...production, DRAIN_DELAY: '0' }).drainDelaySeconds).toBe(0)
    expect(readConfig(needed).drainDelaySeconds).toBe(0)
  })

  test('refuses a secret that is one in length only', () => {
    expect(problemsOf({ ...production, JWT_SECRETS: `k1:${'ab'.repeat(32)}` })).toHaveLength(1)
  })

  test('refuses to run without rate limits', () => {
    expect(problemsOf({ ...production, RATE_LIMIT: 'off' })).toEqual([
      'RATE_LIMIT must not be off in production',
    ])
    expect(problemsOf({ ...needed, RATE_LIMIT: 'off' })).toEqual([])
  })
})

test('A command that needs less asks for less', () => {
  expect(readConfig({ DATABASE_URL: needed.DATABASE_URL }, ['databaseUrl'])).toEqual({
    databaseUrl: needed.DATABASE_URL,
  })
})

describe('a secret in a file', () => {
  let dir: string
  beforeAll(async () => void (dir = await mkdtemp(join(tmpdir(), 'tide-secrets-'))))
  afterAll(() => rm(dir, { recursive: true, force: true }))

  const fileWith = async (text: string): Promise<string> => {
    const path = join(dir, crypto.randomUUID())
    await writeFile(path, text)
    return path
  }

  test('is read for every secret setting, without the line break at its end', async () => {
    const all: Record<string, string> = {
      ...needed,
      SMTP_URL: 'smtp://me:s3cret-word@mail.example',
      S3_SECRET_ACCESS_KEY: 's3cret-word',
      OTEL_EXPORTER_OTLP_HEADERS: 'x-key=s3cret-word',
    }
    const entries = secretSettings.map(async (name) => [`${name}_FILE`, await fileWith(`${all[name]}\n`)])
    expect(readConfig(Object.fromEntries(await Promise.all(entries)))).toEqual(readConfig(all))
    expect(secretSettings).toEqual([
      'DATABASE_URL',
      'REDIS_URL',
      'SMTP_URL',
      'S3_SECRET_ACCESS_KEY',
      'OTEL_EXPORTER_OTLP_HEADERS',
      'JWT_SECRETS',
    ])
    expect(settingNames).toContain('JWT_SECRETS_FILE')
    expect(settingNames).not.toContain('PORT_FILE')
  })

  test('is named in every problem, and neither value nor path is quoted', async () => {
    const { JWT_SECRETS: _, ...others } = needed
    const withFile = (path: string) => problemsOf({ ...others, JWT_SECRETS_FILE: path })
    expect(withFile(await fileWith('k1:s3cret-word'))).toEqual([
      'JWT_SECRETS_FILE has a secret of k1 that is shorter than 32 bytes; make one with openssl rand -hex 32',
    ])
    expect(withFile(`k1:${secret}`)).toEqual(['JWT_SECRETS_FILE names a file that cannot be read (ENOENT)'])
    expect(withFile(dir)).toEqual(['JWT_SECRETS_FILE names a file that cannot be read (EISDIR)'])
    expect(withFile(await fileWith('\n'))).toEqual(['JWT_SECRETS_FILE names an empty file'])
    expect(withFile(await fileWith('x'.repeat(65 * 1024)))).toEqual([
      'JWT_SECRETS_FILE names a file of more than 64 KiB',
    ])
    expect(problemsOf({ ...needed, JWT_SECRETS_FILE: await fileWith(needed.JWT_SECRETS) })).toEqual([
      'JWT_SECRETS_FILE and JWT_SECRETS are both set; keep one of them',
    ])
  })

  test('is not read by a command that does not need it', () => {
    expect(readConfig({ ...needed, JWT_SECRETS_FILE: join(dir, 'none') }, ['databaseUrl'])).toEqual({
      databaseUrl: needed.DATABASE_URL,
    })
  })
})
