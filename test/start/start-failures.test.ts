// Every row of docs/starting.md is a start against real parts that are set up wrongly: what is printed is the sentence of
// the row and nothing else, the exit code is the row's, and no secret is in it.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { addressOf } from '../../src/db/address.ts'
import { freePort, testDatabase, testRedis } from '../support/environment.ts'
import { runProgram } from '../support/program.ts'
import { rewritingProxy } from '../support/rewriting-proxy.ts'
import { tcpProxy } from '../support/tcp-proxy.ts'
import { asciiDatabase, changed, newRole, tlsPostgres, tlsRedis, withSql } from './parts.ts'

interface Row {
  title: string
  message: string
  code: number
}

const rows = async (): Promise<Row[]> => {
  const text = await Bun.file(new URL('../../docs/starting.md', import.meta.url)).text()
  return [...text.matchAll(/^\| ([^|`]+) \| `([^`]+)` \| (\d+) \|$/gm)].map(([, title, message, code]) => ({
    title: title!,
    message: message!,
    code: Number(code),
  }))
}

/** `<word>` stands for anything. */
const patternOf = (message: string): RegExp =>
  new RegExp(`^${message.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`).replaceAll(/<[a-z ]+>/g, '.+')}$`)

const jwt = 'k1:b52e6b1f0c9d47a3a8f1d2c4e6709153-test'
const secrets = ['s3cret-word', jwt.slice(3)]

interface Start {
  args?: string[]
  environment?: Record<string, string>
}

const stack = new AsyncDisposableStack()
let databaseUrl: string
let redisUrl: string

beforeAll(async () => {
  databaseUrl = stack.use(await testDatabase()).url
  redisUrl = stack.use(await testRedis()).url
})

afterAll(() => stack.disposeAsync(), 30_000)

/** A migrated database of its own, changed. */
const databaseWith = async (work: Parameters<typeof withSql>[1]): Promise<Start> => {
  const { url } = stack.use(await testDatabase())
  await withSql(url, work)
  return { environment: { DATABASE_URL: url } }
}

const database = (DATABASE_URL: string): Start => ({ environment: { DATABASE_URL } })
const redis = (REDIS_URL: string): Start => ({ environment: { REDIS_URL } })
const production = (changes: Record<string, string>): Start => ({
  environment: { TIDE_ENV: 'production', ...changes },
})
const query = (search: string): Start => database(changed(databaseUrl, { search }))
const taken = (): number => {
  const listener = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } })
  stack.defer(() => listener.stop(true))
  return listener.port
}

/** A Redis whose INFO has another text in one place, of the same length. */
const redisThatSays = async (what: RegExp, instead: string): Promise<Start> => {
  const { hostname: host, port } = new URL(redisUrl)
  const replace = (text: string) => text.replace(what, instead)
  const proxy = stack.use(await rewritingProxy({ host, port: Number(port) }, replace))
  return redis(changed(redisUrl, { host: `127.0.0.1:${proxy.port}` }))
}

/** Row of docs/starting.md → the start that meets it. */
const starts: Record<string, () => Start | Promise<Start>> = {
  'Wrong database password': () => database(changed(databaseUrl, { password: 's3cret-word' })),
  'Missing database': () => database(changed(databaseUrl, { pathname: '/no_such_database' })),
  'Database never migrated': async () => database(stack.use(await testDatabase({ empty: true })).url),
  'Database partly migrated': () =>
    databaseWith(
      (sql) =>
        sql`delete from schema_migrations where version = (select max(version) from schema_migrations)`,
    ),
  'Database newer than the program': () =>
    databaseWith(
      (sql) => sql`insert into schema_migrations (version, name, checksum) values (9999, '9999_future', '')`,
    ),
  'PostgreSQL is not there': () => database(changed(databaseUrl, { host: `127.0.0.1:${freePort()}` })),
  'PostgreSQL does not answer': async () => {
    const proxy = stack.use(await tcpProxy(addressOf(databaseUrl)))
    proxy.blackhole()
    return database(changed(databaseUrl, { host: `127.0.0.1:${proxy.port}` }))
  },
  'Unknown database host': () => database(changed(databaseUrl, { host: 'no-such-host.invalid' })),
  'PostgreSQL without TLS': () => query('sslmode=require'),
  'Certificate of PostgreSQL not trusted': async () =>
    database(changed(await tlsPostgres(stack), { search: 'sslmode=verify-full' })),
  'No connection left in PostgreSQL': async () => {
    const username = await newRole(stack, databaseUrl)
    await withSql(databaseUrl, (sql) => sql`alter role ${sql(username)} connection limit 0`)
    return database(changed(databaseUrl, { username, password: 'pw' }))
  },
  'No rights in the database': async () => {
    const { url } = stack.use(await testDatabase({ empty: true }))
    const username = await newRole(stack, url)
    return { args: ['migrate'], ...database(changed(url, { username, password: 'pw' })) }
  },
  'PostgreSQL too old': async () => {
    const replace = (text: string) => text.replace(/\b1[5-9](\d{4})\b/, '14$1')
    const proxy = stack.use(await rewritingProxy(addressOf(databaseUrl), replace))
    return database(changed(databaseUrl, { host: `127.0.0.1:${proxy.port}` }))
  },
  'Database not in UTF-8': async () => database(await asciiDatabase(stack)),
  'PostgreSQL only reads': () =>
    databaseWith(
      (sql) => sql`
        do $$ begin
          execute format('alter database %I set default_transaction_read_only = on', current_database());
        end $$`,
    ),
  'Unescaped % in DATABASE_URL': () => database('postgres://me:s3cret-word%!@127.0.0.1/tasktide'),
  'Unescaped # in DATABASE_URL': () => database('postgres://me:s3cret-word#1@127.0.0.1/tasktide'),
  'Other special character in DATABASE_URL': () => database('postgres://me:s3cret-word/1@127.0.0.1/tasktide'),
  'Parameter that is not supported': () => query('channel_binding=require'),
  'Certificate file missing': () => query('sslmode=verify-full&sslrootcert=/nowhere/ca.pem'),
  'Wrong Redis password': () => redis(changed(redisUrl, { password: 's3cret-word' })),
  'Missing Redis password': () => redis(changed(redisUrl, { password: '' })),
  'Unknown Redis host': () => redis(changed(redisUrl, { host: 'no-such-host.invalid:6379' })),
  'Redis without TLS': () => redis(redisUrl.replace('redis://', 'rediss://')),
  'Redis wants TLS': async () => redis((await tlsRedis(stack, redisUrl)).replace('rediss://', 'redis://')),
  'Certificate of Redis not trusted': async () => redis(await tlsRedis(stack, redisUrl)),
  'Redis database that does not exist': () => redis(changed(redisUrl, { pathname: '/9999' })),
  'Redis too old': () => redisThatSays(/redis_version:\d/, 'redis_version:5'),
  'Redis Cluster': () => redisThatSays(/cluster_enabled:0/, 'cluster_enabled:1'),
  'Redis Sentinel': () => redisThatSays(/redis_mode:standalone/, 'redis_mode:sentinel  '),
  'Unescaped # in REDIS_URL': () => redis('redis://:s3cret-word#1@127.0.0.1'),
  'Redis is a replica': () => redisThatSays(/role:master/, 'role:slave '),
  'No keys of access tokens': () => ({ environment: { JWT_SECRETS: '' } }),
  'Short keys of access tokens': () => ({ environment: { JWT_SECRETS: 'k1:s3cret-word' } }),
  'No limits in production': () => production({ RATE_LIMIT: 'off' }),
  'Mails without the address of their links': () =>
    production({ SMTP_URL: 'smtp://mail.example.com', MAIL_FROM: 'tasks@example.com' }),
  'Demo accounts in production': async () => {
    const { url } = stack.use(await testDatabase())
    const seeded = await runProgram(['seed'], environmentOf(database(url)))
    expect(seeded.code).toBe(0)
    return production({ DATABASE_URL: url })
  },
  'Port in use': () => ({ environment: { PORT: String(taken()) } }),
  'Port of the worker in use': () => ({ args: ['worker'], environment: { WORKER_PORT: String(taken()) } }),
  'Port of metrics in use': () => ({ environment: { METRICS_PORT: String(taken()) } }),
  'HOST of another machine': () => ({ environment: { HOST: '192.0.2.1' } }),
  'INTERNAL_HOST of another machine': () => ({
    args: ['worker'],
    environment: { INTERNAL_HOST: '192.0.2.1' },
  }),
}

const environmentOf = ({ environment = {} }: Start): Record<string, string> => ({
  DATABASE_URL: databaseUrl,
  REDIS_URL: redisUrl,
  JWT_SECRETS: jwt,
  PORT: '0',
  WORKER_PORT: '0',
  ...environment,
})

test('docs/starting.md and the starts below are the same list', async () => {
  const titles = (await rows()).map(({ title }) => title)
  expect(titles.toSorted()).toEqual(Object.keys(starts).toSorted())
})

describe('a start that fails', () => {
  for (const [title, prepare] of Object.entries(starts))
    test(
      title,
      async () => {
        const row = (await rows()).find((one) => one.title === title)!
        const start = await prepare()
        const { args = ['server'] } = start
        const ended = await runProgram(args, environmentOf(start))
        const isJson = args[0] !== 'migrate'
        const lines = `${ended.stdout}${ended.stderr}`.trim().split('\n')
        const message = isJson ? String(JSON.parse(lines.at(-1)!).msg) : lines.at(-1)!
        expect(message).toMatch(patternOf(row.message))
        expect({ code: ended.code, lines: lines.length }).toEqual({ code: row.code, lines: 1 })
        for (const secret of secrets) expect(`${ended.stdout}${ended.stderr}`).not.toContain(secret)
      },
      60_000,
    )
})

test.each(['server', 'worker', 'all', 'server --workers 2'])(
  'the role %s logs it as one line of JSON',
  async (role) => {
    const start = database(changed(databaseUrl, { password: 's3cret-word' }))
    const { code, stdout, stderr } = await runProgram(role.split(' '), environmentOf(start))
    expect({ code, stderr, lines: stdout.trim().split('\n').length }).toEqual({
      code: 78,
      stderr: '',
      lines: 1,
    })
    expect(JSON.parse(stdout)).toMatchObject({
      level: 'fatal',
      exitCode: 78,
      msg: expect.stringContaining('DATABASE_URL'),
    })
  },
  60_000,
)

test.each(['migrate', 'migrate status', 'seed', 'tail --dead'])(
  'the command %s prints it as one plain sentence',
  async (command) => {
    const start = database(changed(databaseUrl, { password: 's3cret-word' }))
    const { code, stdout, stderr } = await runProgram(command.split(' '), environmentOf(start))
    expect({ code, stdout, lines: stderr.trim().split('\n') }).toEqual({
      code: 78,
      stdout: '',
      lines: [expect.stringMatching(/^DATABASE_URL: PostgreSQL refuses/)],
    })
  },
  60_000,
)

test('a port that is in use is reported once, however many processes were to share it', async () => {
  const port = String(taken())
  const { code, stdout, stderr } = await runProgram(
    ['server', '--workers', '2'],
    environmentOf({ environment: { PORT: port } }),
  )
  expect({ code, stderr, lines: stdout.trim().split('\n').length }).toEqual({
    code: 78,
    stderr: '',
    lines: 1,
  })
  expect(JSON.parse(stdout).msg).toStartWith(`PORT is ${port}, and that port of 127.0.0.1 is in use`)
}, 60_000)
