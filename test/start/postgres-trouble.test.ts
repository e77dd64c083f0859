// The password of PostgreSQL is changed under a running server: requests are 503 until it is put back, and no password is
// logged.
import { afterAll, expect, test } from 'bun:test'
import { testDatabase, testRedis } from '../support/environment.ts'
import { eventually } from '../support/eventually.ts'
import { jsonCall } from '../support/json-call.ts'
import { startProgram } from '../support/program.ts'
import { changed, newRole, withSql } from './parts.ts'

const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync(), 40_000)

test('a password that is changed under a running server is 503, and the server recovers when it is put back', async () => {
  const { url: adminUrl } = stack.use(await testDatabase())
  const redis = stack.use(await testRedis())
  const role = await newRole(stack, adminUrl)
  const sql = <T>(work: Parameters<typeof withSql<T>>[1]): Promise<T> => withSql(adminUrl, work)
  await sql((tx) => tx`alter role ${tx(role)} superuser`) // it creates partitions of tables of another role
  const databaseUrl = changed(adminUrl, { username: role, password: 'pw' })
  await using server = await startProgram(
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the program reads the URLs and keys only
    {
      config: { databaseUrl, redisUrl: redis.url, jwtKeys: [{ kid: 'k1', secret: 'x'.repeat(32) }] } as never,
    },
    { args: ['server'], environment: { LOG_LEVEL: 'info' } },
  )
  const call = jsonCall(server.url)
  const registered = await call('POST', '/api/auth/register', {
    email: 'ada@example.com',
    name: 'Ada',
    password: 'correct horse battery',
  })
  const token: string = registered.body.accessToken
  const create = (title: string) => call('POST', '/api/tasks', { title }, token)
  expect((await create('before')).status).toBe(201)

  await sql((tx) => tx`alter role ${tx(role)} password 'an0ther-s3cret'`)
  await sql((tx) => tx`select pg_terminate_backend(pid) from pg_stat_activity where usename = ${role}`)
  await eventually(async () =>
    expect(await create('refused')).toMatchObject({ status: 503, body: { code: 'unavailable' } }),
  )
  await eventually(async () =>
    expect(await call('GET', '/readyz')).toMatchObject({ status: 503, body: { part: 'postgres' } }),
  )
  expect((await call('GET', '/livez')).status).toBe(200)

  await sql((tx) => tx`alter role ${tx(role)} password 'pw'`)
  await eventually(async () => expect((await create('after')).status).toBe(201), { timeoutMs: 15_000 })
  await eventually(
    async () => expect(await call('GET', '/readyz')).toMatchObject({ status: 200, body: { status: 'up' } }),
    { timeoutMs: 15_000 },
  )
  const titles: string[] = (await call('GET', '/api/tasks?sort=createdAt', undefined, token)).body.items.map(
    ({ title }: { title: string }) => title,
  )
  // A backend may have taken one more before it ended, and an answer of 503 may hide a commit.
  expect(new Set(titles.filter((title) => title !== 'refused'))).toEqual(new Set(['before', 'after']))
  const output = await server.output()
  expect(output).not.toContain('an0ther-s3cret')
  expect(output).not.toContain(':pw@')
}, 60_000)
