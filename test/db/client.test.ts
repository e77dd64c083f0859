// read, transact and snapshot on a real PostgreSQL: values, isolation, retries, deadlines, and the effects of a
// transaction whose connection is lost.
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { addressOf } from '../../src/db/address.ts'
import {
  openDatabase,
  type Database,
  type DatabaseOptions,
  type Queryable,
  type Tx,
} from '../../src/db/client.ts'
import { AppError } from '../../src/errors.ts'
import { createLog } from '../../src/log.ts'
import { testDatabase } from '../support/environment.ts'
import { durationOf, eventually, expectWithin } from '../support/eventually.ts'
import { tcpProxy } from '../support/tcp-proxy.ts'

const log = createLog('test', 'silent')

let world: Awaited<ReturnType<typeof testDatabase>>
let admin: Database

const open = (options: Partial<DatabaseOptions> = {}): Database =>
  openDatabase({ url: world.url, max: 4, applicationName: 'client-test', log, ...options })

beforeAll(async () => {
  world = await testDatabase({ empty: true })
  admin = open({ applicationName: 'admin' })
  await admin.read(async (sql) => {
    await sql`create table marks (n bigint constraint marks_pkey primary key)`
    await sql`create schema apart` // the real users may be there
    await sql`create table apart.users (email text constraint users_email_key unique)`
  })
})

beforeEach(() => admin.read((sql) => sql`truncate marks, apart.users`))

afterAll(async () => {
  await admin[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

const marks = (): Promise<number[]> =>
  admin.read(async (sql) => (await sql<{ n: number }[]>`select n from marks order by n`).map(({ n }) => n))

const failure = async (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => null,
    (error: unknown) => error,
  )

const codeOf = async (work: Promise<unknown>): Promise<string> => {
  const error = await failure(work)
  if (error instanceof AppError) return error.code
  throw error ?? new Error('it succeeded')
}

const works = async (database: Database): Promise<boolean> =>
  (await database.read((sql) => sql`select 1`)).length === 1

const pidOf = async (sql: Queryable): Promise<number> =>
  (await sql<{ pid: number }[]>`select pg_backend_pid() as pid`)[0]!.pid

const terminate = async (pid: number): Promise<void> => {
  await admin.read((sql) => sql`select pg_terminate_backend(${pid}, 2000)`)
}

test('values are read as JSON values', async () => {
  await using database = open()
  const [row] = await database.read(
    (sql) => sql`
      select 9007199254740991::bigint as big, '2026-11-20 12:00:00+02'::timestamptz(3) as at,
        '2026-11-20 10:00:00.5+00'::timestamptz(3) as half, 'infinity'::timestamptz as never, '2026-11-20'::date as day,
        '{"a":[1]}'::jsonb as json, array['a','b'] as tags, array[1::bigint] as bigs, null::timestamptz as nothing,
        '7f8b1d1e-0000-4000-8000-000000000000'::uuid as id`,
  )
  expect(row).toEqual({
    big: Number.MAX_SAFE_INTEGER,
    at: '2026-11-20T10:00:00.000Z',
    half: '2026-11-20T10:00:00.500Z',
    never: 'infinity',
    day: '2026-11-20',
    json: { a: [1] },
    tags: ['a', 'b'],
    bigs: [1],
    nothing: null,
    id: '7f8b1d1e-0000-4000-8000-000000000000',
  })
})

test('values are written as they were read', async () => {
  await using database = open()
  const at = '2026-11-20T10:00:00.123Z'
  const [row] = await database.read(
    (sql) => sql`
      select ${at}::timestamptz(3) as at, ${new Date(at)}::timestamptz(3) as dated, ${'2026-02-28'}::date as day,
        ${2 ** 40}::bigint as big, ${sql.json({ text: 'ä"' })}::jsonb as json, ${['x', 'y,z']}::text[] as tags`,
  )
  expect(row).toEqual({
    at,
    dated: at,
    day: '2026-02-28',
    big: 2 ** 40,
    json: { text: 'ä"' },
    tags: ['x', 'y,z'],
  })
})

test('a bigint past 2^53 is an error, not another number', async () => {
  await using database = open()
  expect(await failure(database.read((sql) => sql`select 9007199254740993::bigint`))).toBeInstanceOf(
    RangeError,
  )
  expect(await works(database)).toBe(true)
})

test('a session has its limits, its name and its zone', async () => {
  await using database = open({ statementTimeoutMs: 7_000 })
  const rows = await database.read(
    (sql) => sql<{ name: string; setting: string }[]>`
      select name, setting from pg_settings where name in ('application_name', 'TimeZone', 'statement_timeout',
        'lock_timeout', 'idle_in_transaction_session_timeout', 'default_transaction_isolation')`,
  )
  expect(Object.fromEntries(rows.map(({ name, setting }) => [name, setting]))).toEqual({
    application_name: 'client-test',
    TimeZone: 'UTC',
    statement_timeout: '7000',
    lock_timeout: '2000',
    idle_in_transaction_session_timeout: '5000',
    default_transaction_isolation: 'read committed',
  })
})

test('both notations of a unix socket are parsed', () => {
  const expected = { host: '/run/pg', database: 'tide' }
  expect(addressOf('postgres://me@/tide?host=/run/pg')).toMatchObject({ ...expected, port: 5432 })
  expect(addressOf('postgres://me:pw@%2Frun%2Fpg:5433/tide')).toMatchObject({ ...expected, port: 5433 })
  expect(addressOf('postgres:///tide?host=/run/pg&port=5433')).toMatchObject({ ...expected, port: 5433 })
  expect(addressOf('postgres://me@db.example:6000/tide?sslmode=require')).toEqual({
    host: 'db.example',
    port: 6000,
    database: 'tide',
    user: 'me',
    password: null,
    tls: { mode: 'require', rootCertificate: null, certificate: null, key: null },
    connectTimeoutSeconds: null,
    applicationName: null,
    options: null,
  })
})

test('a unix socket works', async () => {
  const { host, port } = addressOf(world.url)
  const folder = await mkdtemp(join(tmpdir(), 'pg-'))
  let connections = 0
  const listener = createServer((client) => {
    connections += 1
    const server = connect(port, host)
    client.on('error', () => server.destroy()).pipe(server)
    server.on('error', () => client.destroy()).pipe(client)
  })
  await new Promise<void>((resolve) => listener.listen(join(folder, '.s.PGSQL.5432'), resolve))
  try {
    const url = new URL(world.url)
    url.port = '5432'
    url.searchParams.set('host', folder)
    await using database = open({ url: url.href })
    expect(await works(database)).toBe(true)
    expect(connections).toBe(1)
  } finally {
    listener.close()
    await rm(folder, { recursive: true })
  }
})

test('a transaction that throws leaves nothing, and its error passes unchanged', async () => {
  await using database = open()
  const bug = new TypeError('a bug')
  const thrown = await failure(
    database.transact(async (tx) => {
      await tx`insert into marks values (1)`
      throw bug
    }),
  )
  expect(thrown).toBe(bug)
  expect(await marks()).toEqual([])
})

test('a failed statement fails its transaction also when its error is ignored', async () => {
  await using database = open()
  const error = await failure(
    database.transact(async (tx) => {
      await tx`insert into marks values (1)`
      void tx`select 1 / 0`.catch(() => {})
    }),
  )
  expect(error).toMatchObject({ code: '22012' })
  expect(await marks()).toEqual([])
})

test('a connection of a transaction is refused once the transaction has ended', async () => {
  await using database = open({ max: 1 })
  let leaked: Tx | undefined
  await database.transact(async (tx) => {
    leaked = tx
    await tx`select 1`
  })
  expect(await failure(Promise.resolve(leaked!`insert into marks values (1)`))).toMatchObject({
    code: 'TRANSACTION_ENDED',
  })
  expect(await marks()).toEqual([])
})

test('a function that takes a transaction does not compile outside one', async () => {
  await using database = open()
  const append = async (tx: Tx): Promise<number> => (await tx`select 1`).length
  // @ts-expect-error -- a pooled connection is no transaction
  const outside = database.read((sql) => append(sql))
  expect([await outside, await database.transact(append)]).toEqual([1, 1])
})

test('after a conflict the work runs again, three times at most', async () => {
  await using database = open()
  let tries = 0
  const conflict = async (tx: Tx): Promise<void> => {
    tries += 1
    await tx`do $$ begin raise exception 'conflict' using errcode = '40001'; end $$`
  }
  expect(await codeOf(database.transact(conflict))).toBe('unavailable')
  expect(tries).toBe(3)
  tries = 0
  await database.transact(async (tx) => {
    await tx`insert into marks values (1)`
    if (tries === 0) await conflict(tx)
  })
  expect(await marks()).toEqual([1])
})

test('two transactions that deadlock both succeed', async () => {
  await using database = open()
  await database.read((sql) => sql`insert into marks values (10), (20)`)
  const both = Promise.withResolvers<void>()
  let begun = 0
  const bump = (first: number, second: number): Promise<void> =>
    database.transact(async (tx) => {
      await tx`update marks set n = n + 1 where n / 10 = ${first}`
      begun += 1
      if (begun === 2) both.resolve() // each holds the row that the other needs
      await both.promise
      await tx`update marks set n = n + 1 where n / 10 = ${second}`
    })
  await Promise.all([bump(1, 2), bump(2, 1)])
  expect(begun).toBeGreaterThan(2) // one of them ran again
  expect(await marks()).toEqual([12, 22])
})

test('a snapshot sees one state and writes nothing', async () => {
  await using database = open()
  const counts = await database.snapshot(async (tx) => {
    const before = await tx`select n from marks`
    await admin.read((sql) => sql`insert into marks values (1)`)
    return [before.length, (await tx`select n from marks`).length]
  })
  expect(counts).toEqual([0, 0])
  expect(await failure(database.snapshot((tx) => tx`insert into marks values (2)`))).toMatchObject({
    code: '25006',
  })
})

test('constraint violations and SQLSTATEs are translated to error codes', async () => {
  await using database = open({ statementTimeoutMs: 100 })
  const insert = (): Promise<unknown> => database.read((sql) => sql`insert into apart.users values ('a@b.c')`)
  await insert()
  expect(await codeOf(insert())).toBe('email_taken')
  expect(await codeOf(database.read((sql) => sql`select ${'\0'}::text`))).toBe('validation_failed')
  expect(await codeOf(database.read((sql) => sql`select ${'{"a":"\\u0000"}'}::text::jsonb`))).toBe(
    'validation_failed',
  )
  expect(await codeOf(database.read((sql) => sql`select pg_sleep(5)`))).toBe('unavailable')
  expect(await failure(database.read((sql) => sql`select nonsense`))).toMatchObject({ code: '42703' })
})

test('an unreachable database is unavailable, by TCP and by socket', async () => {
  await using refused = open({ url: 'postgres://postgres@127.0.0.1:1/none' })
  await using absent = open({ url: 'postgres://postgres@/none?host=/nowhere' })
  expect(await codeOf(refused.read((sql) => sql`select 1`))).toBe('unavailable')
  expect(await codeOf(absent.transact((tx) => tx`select 1`))).toBe('unavailable')
})

test('a read is retried on another connection when its connection was lost', async () => {
  await using database = open({ max: 1 })
  await terminate(await database.read(pidOf))
  expect(await works(database)).toBe(true)
  await terminate(await database.read(pidOf))
  expect(await database.transact(async (tx) => (await tx`select 1`).length)).toBe(1)
})

test('after its connection is lost a transaction runs no further statement and has no effect', async () => {
  await using database = open({ max: 2 })
  const later: unknown[] = []
  const code = await codeOf(
    database.transact(async (tx) => {
      await tx`insert into marks values (1)`
      await terminate(await pidOf(tx))
      later.push(await failure(tx`insert into marks values (2)`))
      await eventually(async () => {
        const pids = await Promise.all([database.read(pidOf), database.read(pidOf)])
        expect(new Set(pids).size).toBe(2) // the lost connection is open again, for others
      })
      later.push(await failure(tx`insert into marks values (3)`))
    }),
  )
  expect(code).toBe('unavailable')
  await eventually(() => expect(later.length).toBe(2))
  expect(later).toEqual([
    expect.objectContaining({ code: expect.any(String) }),
    expect.objectContaining({ code: 'CONNECTION_CLOSED' }),
  ])
  expect(await marks()).toEqual([])
})

test('a connection lost at COMMIT is an unknown outcome: unavailable, and not retried', async () => {
  await using database = open()
  await admin.read(async (sql) => {
    await sql`create table terminating (n int)`
    await sql`
      create function die() returns trigger language plpgsql as $$
      begin perform pg_terminate_backend(pg_backend_pid()); return null; end $$`
    await sql`
      create constraint trigger die after insert on terminating deferrable initially deferred
      for each row execute function die()`
  })
  let tries = 0
  const code = await codeOf(
    database.transact(async (tx) => {
      tries += 1
      await tx`insert into terminating values (1)`
    }),
  )
  expect({ code, tries }).toEqual({ code: 'unavailable', tries: 1 })
})

test('a statement that PostgreSQL ends for its duration is unavailable, in every verb', async () => {
  await using database = open({ statementTimeoutMs: 50 })
  const sleep = (sql: Queryable) => sql`select pg_sleep(60)`
  for (const verb of ['read', 'transact', 'snapshot'] as const)
    expect([verb, await codeOf(database[verb](sleep))]).toEqual([verb, 'unavailable'])
})

test('an expired deadline answers in time and rolls the transaction back', async () => {
  await using database = open()
  let isDone = false
  const answered = Promise.withResolvers<void>()
  const code = await codeOf(
    database.transact(
      async (tx) => {
        await tx`insert into marks values (1)`
        await answered.promise
        isDone = true
      },
      { deadlineMs: 100 },
    ),
  )
  expect(code).toBe('unavailable')
  expect(isDone).toBe(false)
  answered.resolve()
  await eventually(() => expect(isDone).toBe(true))
  await admin.transact((tx) => tx`lock table marks`) // once it is over
  expect(await marks()).toEqual([])
})

test('waiting for a connection counts towards the deadline', async () => {
  await using database = open({ max: 1 })
  const held = database.transact((tx) => tx`select pg_sleep(0.4)`)
  expect(await codeOf(database.transact((tx) => tx`select 1`, { deadlineMs: 100 }))).toBe('unavailable')
  await held // it was running on a healthy connection, which may finish
  expect(await works(database)).toBe(true)
})

test('half-open connections are replaced at the first deadline and service returns at once', async () => {
  const { host, port } = addressOf(world.url)
  await using proxy = await tcpProxy({ host, port })
  const url = new URL(world.url)
  url.hostname = '127.0.0.1'
  url.port = String(proxy.port)
  await using database = open({ url: url.href, deadlineMs: 400, connectTimeoutMs: 300 })
  const ask = (): Promise<unknown> => database.read((sql) => sql`select 1`)
  await Promise.all([ask(), ask(), ask(), ask()])
  await expectWithin(2_000, async () => {
    proxy.blackhole()
    expect(await Promise.all(Array.from({ length: 8 }, () => codeOf(ask())))).toEqual(
      Array(8).fill('unavailable'),
    )
    expect(await codeOf(ask())).toBe('unavailable')
    proxy.heal()
    return durationOf(() => eventually(ask))
  })
  await eventually(() => expect(proxy.connections).toBeLessThanOrEqual(4)) // the half-open ones are closed
}, 30_000)

test('connections that are all reset are replaced', async () => {
  const { host, port } = addressOf(world.url)
  await using proxy = await tcpProxy({ host, port })
  const url = new URL(world.url)
  url.hostname = '127.0.0.1'
  url.port = String(proxy.port)
  await using database = open({ url: url.href })
  for (let round = 0; round < 10; round += 1) {
    const running = Array.from({ length: 8 }, () =>
      failure(database.transact((tx) => tx`select pg_sleep(0.02)`)),
    )
    // Round trips past the proxy, so that the reset comes at another point of each round.
    for (let trips = 0; trips < 3 * round; trips += 1) await admin.read((sql) => sql`select 1`)
    proxy.reset()
    for (const error of await Promise.all(running))
      if (error !== null) expect(error).toMatchObject({ code: 'unavailable' })
    expect(await works(database)).toBe(true)
  }
}, 15_000)

test('a closed database refuses, and leaves no connection behind', async () => {
  const database = open({ applicationName: 'closing' })
  const waiting = Array.from({ length: 20 }, () =>
    failure(database.transact((tx) => tx`select pg_sleep(0.05)`)),
  )
  const connections = (): Promise<readonly object[]> =>
    admin.read((sql) => sql`select from pg_stat_activity where application_name = 'closing'`)
  await eventually(async () => expect((await connections()).length).toBeGreaterThan(0))
  await database[Symbol.asyncDispose]()
  await Promise.all(waiting)
  expect(await codeOf(database.read((sql) => sql`select 1`))).toBe('unavailable')
  await eventually(async () => expect(await connections()).toHaveLength(0))
})

test('a statement with a bad parameter fails alone, and no other statement gets its rows', async () => {
  await using database = open({ max: 1 })
  await database.read((sql) => sql`select 1`)
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what the types forbid and JavaScript does
  const bad = undefined as unknown as string
  const results = await database.read((sql) =>
    Promise.all([
      failure(sql`select 1 as a`.then(([row]) => expect(row).toEqual({ a: 1 }))),
      failure(sql`select ${bad}::text as b`),
      failure(sql`select 3 as c`.then(([row]) => expect(row).toEqual({ c: 3 }))),
    ]),
  )
  expect(results).toEqual([null, expect.objectContaining({ code: 'UNDEFINED_VALUE' }), null])
})

test('a statement that fails after its first rows does not shift the rows of the next', async () => {
  await using database = open({ max: 1 })
  const late = database.read((sql) => sql`select 10 / (3 - n) as tenth from generate_series(1, 3) as n`)
  expect(await failure(late)).toMatchObject({ code: '22012' })
  expect([...(await database.read((sql) => sql`select n from generate_series(1, 2) as n`))]).toEqual([
    { n: 1 },
    { n: 2 },
  ])
})

test('a transaction that is the 101st in a pipeline owns its connection', async () => {
  await using database = open({ max: 1 })
  const pid = await database.read(pidOf)
  // The first statement waits for a lock, so that the others are in the pipeline behind it.
  const [locked, release] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const holder = admin.transact(async (tx) => {
    await tx`select pg_advisory_xact_lock(101)`
    locked.resolve()
    await release.promise
  })
  await locked.promise
  const pipeline = Array.from({ length: 100 }, (_, n) =>
    failure(
      database.read((sql) =>
        n === 0 ? sql`select pg_advisory_lock(101), pg_advisory_unlock(101)` : sql`select 1`,
      ),
    ),
  )
  await eventually(async () => {
    const waits = await admin.read((sql) => sql`select from pg_locks where pid = ${pid} and not granted`)
    expect(waits).toHaveLength(1)
  })
  const transaction = database.transact((tx) => tx`insert into marks values (1)`)
  release.resolve()
  await Promise.all([transaction, holder])
  expect((await Promise.all(pipeline)).filter((error) => error !== null)).toEqual([])
  expect(await marks()).toEqual([1])
})

test('a batch that has committed is not reported as rolled back when its answer cannot be read', async () => {
  await using db = open()
  const insert = async (tx: Tx, n: number): Promise<void> =>
    void (await tx`insert into marks (n) values (${n})`)
  const unread = db.batch(async (tx) => ({
    isEmpty: false,
    sent: insert(tx, 1).then(() => {
      throw new TypeError('a row without the expected column')
    }),
  }))
  expect(await failure(unread)).toMatchObject({ code: 'unavailable' })
  expect(await marks()).toEqual([1])
  const failed = db.batch(async (tx) => ({ isEmpty: false, sent: insert(tx, 1) }))
  expect(await failure(failed)).toMatchObject({ name: 'RolledBack' })
  expect(await marks()).toEqual([1])
})
