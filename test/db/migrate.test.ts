// Migrations on empty, half-migrated, newer and tampered databases, by several processes at once; and the dump
// of the schema they make.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import {
  ensureDatabase,
  migrate,
  migrationStatus,
  pendingMigrations,
  type MigrateOptions,
} from '../../src/db/migrations/migrate.ts'
import { mappedConstraints } from '../../src/db/errors.ts'
import { checkDatabase } from '../../src/db/server-check.ts'
import { dumpSchema } from '../../src/db/migrations/schema-dump.ts'
import { messageOf } from '../../src/errors.ts'
import { createLog } from '../../src/log.ts'
import { testDatabase } from '../support/environment.ts'

const log = createLog('test', 'silent')

let world: Awaited<ReturnType<typeof testDatabase>>
let folder: string
const made = new Set<string>()

/** The URL of a database that does not exist yet. */
const fresh = (): string => {
  const url = new URL(world.url)
  url.pathname = `/migrate_${crypto.randomUUID().replaceAll('-', '')}`
  made.add(url.href)
  return url.href
}

const on = async <T>(url: string, work: (sql: postgres.Sql) => PromiseLike<T>): Promise<T> => {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  try {
    return await work(sql)
  } finally {
    await sql.end({ timeout: 1 })
  }
}

const write = (name: string, text: string): Promise<number> => Bun.write(join(folder, name), text)

const fixture = async (): Promise<MigrateOptions> => {
  const url = fresh()
  await ensureDatabase(url)
  return { url, log, folder }
}

const refusal = (work: Promise<unknown>): Promise<string> => work.then(() => 'it was accepted', messageOf)

beforeAll(async () => {
  world = await testDatabase({ empty: true })
})

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'migrations-'))
  await write('0001_first.sql', `create table first (n int);\ninsert into first values (1);\n`)
})

afterEach(() => rm(folder, { recursive: true }))

afterAll(async () => {
  for (const url of made) {
    const name = new URL(url).pathname.slice(1)
    await on(world.url, (sql) => sql`drop database if exists ${sql(name)} with (force)`)
  }
  await world[Symbol.asyncDispose]()
})

test('a missing database is created once, by the first of several processes', async () => {
  const url = fresh()
  const answers = await Promise.all([ensureDatabase(url), ensureDatabase(url), ensureDatabase(url)])
  expect(answers.filter(Boolean).length).toBe(1)
  expect(await ensureDatabase(url)).toBe(false)
})

test('the project’s own migrations make the log ready to be written', async () => {
  const url = fresh()
  await ensureDatabase(url)
  const names = await migrate({ url, log })
  expect(names[0]).toBe('0001_users')
  expect(await pendingMigrations({ url, log })).toEqual([])
  const [ready] = await on(
    url,
    (sql) => sql`
      select (select count(*)::int from feed_head) as heads,
        (select count(*)::int from pg_inherits where inhparent = 'feed'::regclass) as partitions`,
  )
  expect(ready).toEqual({ heads: 16, partitions: 9 })
  expect(await migrate({ url, log })).toEqual([])
})

test('every constraint that is mapped to an error is in the schema', async () => {
  const url = fresh()
  await ensureDatabase(url)
  await migrate({ url, log })
  const rows = await on(url, (sql) => sql<{ name: string }[]>`select conname as name from pg_constraint`)
  const names = new Set(rows.map(({ name }) => name))
  expect(mappedConstraints.length).toBeGreaterThan(5)
  expect(mappedConstraints.filter((name) => !names.has(name))).toEqual([])
})

test('migrations run once, in order, however many processes start at once', async () => {
  const options = await fixture()
  await write('0002_second.sql', 'insert into first select n + 1 from first;')
  await write('0003_third.sql', 'insert into first select n + 2 from first;')
  const runs = await Promise.all(Array.from({ length: 5 }, () => migrate(options)))
  expect(runs.flat().sort()).toEqual(['0001_first', '0002_second', '0003_third'])
  const numbers = await on(options.url, (sql) => sql<{ n: number }[]>`select n from first order by n`)
  expect(numbers.map(({ n }) => n)).toEqual([1, 2, 3, 4])
})

test('indexes are built concurrently, once, however many processes start at once, and again where one failed', async () => {
  const options = await fixture()
  await write('0002_rows.sql', 'insert into first values (3);')
  await migrate(options)
  await write(
    '0003_indexes.sql',
    `-- no transaction
create index concurrently if not exists first_n_idx on first (n);

create unique index concurrently if not exists first_once_idx
  on first ((n % 2));
`,
  )
  expect(await refusal(migrate(options))).toContain('0003_indexes: could not create unique index')
  await on(options.url, (sql) => sql`delete from first where n = 3`)
  const runs = await Promise.all(Array.from({ length: 5 }, () => migrate(options)))
  expect(runs.flat()).toEqual(['0003_indexes'])
  const indexes = await on(
    options.url,
    (sql) => sql`
      select c.relname as name, i.indisvalid as valid from pg_index i join pg_class c on c.oid = i.indexrelid
      where i.indrelid = 'first'::regclass order by 1`,
  )
  expect(indexes.map((row) => ({ ...row }))).toEqual([
    { name: 'first_n_idx', valid: true },
    { name: 'first_once_idx', valid: true },
  ])
})

test('status distinguishes applied, pending, changed and unknown migrations', async () => {
  const options = await fixture()
  await write('0002_second.sql', 'select 1;')
  await migrate(options)
  await rm(join(folder, '0002_second.sql'))
  await write('0001_first.sql', 'select 2;')
  await write('0003_third.sql', 'select 3;')
  const status = await migrationStatus(options)
  expect(status.map(({ name, state }) => [name, state])).toEqual([
    ['0001_first', 'changed'],
    ['0002_second', 'unknown'],
    ['0003_third', 'pending'],
  ])
  expect(status.map(({ appliedAt }) => appliedAt?.length ?? null)).toEqual([24, 24, null])
  expect(await pendingMigrations(options)).toEqual(['0003_third'])
})

test('a failed migration is rolled back and its error names the line', async () => {
  const options = await fixture()
  await write('0002_second.sql', 'create table second (n int);\nselect 1;\ninsert into nowhere values (1);\n')
  expect(await refusal(migrate(options))).toBe('0002_second line 3: relation "nowhere" does not exist')
  const [tables] = await on(
    options.url,
    (sql) => sql`select to_regclass('first') as first, to_regclass('second') as second`,
  )
  expect(tables).toEqual({ first: 'first', second: null })
  await write('0002_second.sql', 'create table second (n int);')
  expect(await migrate(options)).toEqual(['0002_second'])
})

test('changed, unknown and late migrations are refused before anything runs', async () => {
  const options = await fixture()
  await write('0003_third.sql', 'select 3;')
  await migrate(options)
  await write('0002_second.sql', 'create table second (n int);')
  expect(await refusal(migrate(options))).toContain('0002_second was added behind 3')
  await rm(join(folder, '0002_second.sql'))
  await write('0003_third.sql', 'select 4;')
  expect(await refusal(migrate(options))).toContain('0003_third was changed after it was applied')
  await rm(join(folder, '0003_third.sql'))
  expect(await refusal(migrate(options))).toContain('has 0003_third, which this program does not know')
  await write('0001_again.sql', 'select 1;')
  expect(await refusal(migrate(options))).toContain('Two migrations have the number')
})

test('line ends of a checkout do not change a checksum', async () => {
  const options = await fixture()
  await migrate(options)
  await write('0001_first.sql', `create table first (n int);\r\ninsert into first values (1);\r\n`)
  expect(await migrate(options)).toEqual([])
})

test('a schema created from the dump has the same dump', async () => {
  const [source, copy] = [fresh(), fresh()]
  await Promise.all([ensureDatabase(source), ensureDatabase(copy)])
  await migrate({ url: source, log })
  // Also objects that the project does not use yet.
  await on(source, (sql) =>
    sql`
      create type mood as enum ('happy', 'so "so"');
      create domain slug as text not null constraint slug_is_lower_case check (value = lower(value));
      create sequence tickets increment 5;
      create unlogged table extras (
        id bigint generated always as identity constraint extras_pkey primary key,
        ticket bigint not null default nextval('tickets'),
        mood mood default 'happy', slug slug, name varchar(20) collate "C", tags text[] not null default '{}',
        shout text generated always as (upper(name)) stored,
        constraint extras_once unique nulls not distinct (slug, mood));
      create function count_extras() returns bigint language sql stable return (select count(*) from extras);
      create function touch() returns trigger language plpgsql as $$ begin return new; end $$;
      create trigger extras_touch before update on extras for each row execute function touch();
      create view happy_extras as select id from extras where mood = 'happy';
    `.simple(),
  )
  const text = await on(source, dumpSchema)
  const file = join(folder, 'schema.sql')
  await Bun.write(file, text)
  await on(copy, (sql) => sql.file(file))
  expect(await on(copy, dumpSchema)).toBe(text)
  expect(text).toContain('constraint users_email_key UNIQUE (email)')
  expect(text).toContain('create table feed_default partition of feed default;')
  expect(text).not.toMatch(/feed_\d{8}/)
  expect(text).not.toContain('schema_migrations')
  expect(text).not.toContain('ON ONLY')
})

test('an older program accepts a newer database whose migrations only add', async () => {
  const options = await fixture()
  await write('0002_second.sql', '-- What it is for.\n-- phase: expand\ncreate table second (n int);')
  await migrate(options)
  await rm(join(folder, '0002_second.sql'))
  expect(await migrate(options)).toEqual([])
  expect(await migrationStatus(options)).toMatchObject([
    { name: '0001_first', state: 'applied' },
    { name: '0002_second', state: 'unknown', isCompatible: true },
  ])
  await checkDatabase({ ...options, migrations: 'current' })
  await write('0003_third.sql', 'create table third (n int);')
  await write('0002_second.sql', '-- What it is for.\n-- phase: expand\ncreate table second (n int);')
  await migrate(options)
  await rm(join(folder, '0003_third.sql'))
  const unknown = '0003_third, which this program does not know'
  expect(await refusal(migrate(options))).toContain(unknown)
  expect(await refusal(checkDatabase({ ...options, migrations: 'current' }))).toContain(unknown)
})

test('a migration that was applied can still be marked, and databases of earlier programs get the column', async () => {
  const options = await fixture()
  await write('0002_second.sql', 'create table second (n int);')
  await migrate(options)
  await on(options.url, (sql) => sql`alter table schema_migrations drop column phase`)
  await write('0002_second.sql', '-- phase: expand\ncreate table second (n int);')
  expect(await migrate(options)).toEqual([])
  await rm(join(folder, '0002_second.sql'))
  expect(await migrate(options)).toEqual([])
})
