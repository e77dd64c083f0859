// Migrations: sql/NNNN_noun.sql, applied in order, forward only, recorded with a checksum. Each is one transaction, or
// one statement after the other where its first line is `-- no transaction` (indexes built concurrently). Any number of
// processes may migrate at once: each step takes one advisory lock and looks again.
import postgres from 'postgres'
import { AppError, messageOf } from '../../errors.ts'
import type { Log } from '../../log.ts'
import { configurationFailure, StartFailure } from '../../start/failure.ts'
import { postgresFailure } from '../../start/postgres.ts'
import { addressOf, driverOptions } from '../address.ts'
import type { Tx } from '../client.ts'
import { codeOf } from '../errors.ts'
import { ensureEpoch } from '../log/epochs.ts'
import { ensureFeedPartitions } from '../log/partitions.ts'
import { readMigrations, type Migration } from './migration-files.ts'
import { locked, lockSession } from './migration-lock.ts'
import {
  compareMigrations,
  newerNotice,
  newerObstacle,
  readApplied,
  type AppliedMigration,
  type MigrationStatus,
} from './migration-state.ts'
import { requireServer } from '../server-check.ts'
import { types } from '../types.ts'

export interface MigrateOptions {
  url: string
  log: Log
  /** Where the files are; the project's own by default. */
  folder?: string
}

/** What is built concurrently waits for transactions that are older, and blocks nothing meanwhile. */
const concurrentLockTimeoutMs = 600_000

/**
 * Applies what is pending, then makes the log's heads and its partitions for the days ahead.
 * @returns names of what was applied.
 * @throws StartFailure that says why the database is refused, or an Error that names the migration and the line.
 */
export const migrate = async ({ url, log, folder }: MigrateOptions): Promise<string[]> => {
  const migrations = await readMigrations(folder)
  return withConnection(url, async (sql) => {
    await requireServer(sql)
    const names: string[] = []
    for (;;) {
      const next = await locked(sql, (tx) => applyNext(tx, migrations))
      if (next === null) break
      if (!next.inTransaction && !(await applyOutside(sql, next))) continue // another process did
      log.info({ migration: next.name }, 'migrated')
      names.push(next.name)
    }
    const notice = newerNotice(compareMigrations(migrations, await readApplied(sql)))
    if (notice !== null) log.warn(notice)
    await locked(sql, async (connection) => {
      const [head] = await connection`select from pg_class where oid = to_regclass('feed_head')`
      if (!head) return
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it is a transaction, made without a pool
      const tx = connection as unknown as Tx
      await ensureEpoch(tx)
      await ensureFeedPartitions(tx)
    })
    return names
  })
}

/** Every migration known to the program or to the database, by version. Changes nothing. */
export const migrationStatus = async ({ url, folder }: MigrateOptions): Promise<MigrationStatus[]> => {
  const migrations = await readMigrations(folder)
  const applied = await withConnection(url, readApplied)
  return compareMigrations(migrations, applied)
}

/** Names of what `migrate` would apply. A newer database is no error here: the previous version keeps running. */
export const pendingMigrations = async (options: MigrateOptions): Promise<string[]> =>
  (await migrationStatus(options)).filter(({ state }) => state === 'pending').map(({ name }) => name)

/** Creates the URL's database, in UTF-8, where it is missing. @returns whether it did. */
export const ensureDatabase = async (url: string): Promise<boolean> => {
  const { database } = addressOf(url)
  const isPresent = await withConnection(url, async (sql) => {
    try {
      await sql`select 1`
      return true
    } catch (error) {
      if (codeOf(error) === '3D000') return false
      throw error
    }
  })
  if (isPresent) return false
  return withConnection(
    url,
    async (sql) => {
      try {
        await sql`create database ${sql(database)} encoding 'UTF8' template template0`
        return true
      } catch (error) {
        if (codeOf(error) === '42P04' || codeOf(error) === '23505') return false // another process was first
        if (codeOf(error) === '42501')
          throw configurationFailure(
            `DATABASE_URL names the database ${database}, which does not exist, and its user may not create it: create it (createdb --encoding=UTF8 --template=template0 ${database}), or allow that (alter role … createdb)`,
          )
        throw error
      }
    },
    'postgres',
  )
}

const withConnection = async <T>(
  url: string,
  work: (sql: postgres.Sql) => Promise<T>,
  database?: string,
): Promise<T> => {
  const address = addressOf(url)
  const sql = postgres({
    ...driverOptions(address, { applicationName: 'tasktide-migrate', connectTimeoutMs: 10_000 }),
    ...(database !== undefined && { database }),
    max: 1,
    types,
    onnotice: () => {},
  })
  try {
    return await work(sql)
  } catch (error) {
    if (error instanceof AppError || error instanceof StartFailure) throw error
    throw postgresFailure(error, address) ?? error
  } finally {
    await sql.end({ timeout: 5 })
  }
}

/** Applies the next migration, or answers one that needs no transaction around it unapplied. Null when all are. */
const applyNext = async (tx: postgres.TransactionSql, migrations: Migration[]): Promise<Migration | null> => {
  await tx`
    create table if not exists schema_migrations (
      version integer constraint schema_migrations_pkey primary key,
      name text not null,
      checksum text not null,
      applied_at timestamptz(3) not null default now(),
      phase text
    )`
  const [column] = await tx`
    select from pg_attribute where attrelid = 'schema_migrations'::regclass and attname = 'phase'`
  if (!column) await tx`alter table schema_migrations add column phase text` // made by an earlier program
  const applied = await readApplied(tx)
  refuse(migrations, applied)
  const next = migrations.find(({ version }) => !applied.has(version))
  if (!next) {
    await tx`
      update schema_migrations set phase = marked.phase
      from unnest(${migrations.map(({ version }) => version)}::int[], ${migrations.map(({ phase }) => phase)}::text[])
        as marked (version, phase)
      where marked.version = schema_migrations.version and marked.phase is distinct from schema_migrations.phase`
    return null
  }
  if (!next.inTransaction) return next
  try {
    // oxlint-disable-next-line no-restricted-properties -- several statements in one text need the simple protocol
    await tx.unsafe(next.text)
  } catch (error) {
    if (isOfServer(codeOf(error))) throw error
    throw new Error(`${next.name}${lineOf(error, next.text)}: ${messageOf(error)}`, { cause: error })
  }
  await tx`insert into schema_migrations ${tx(next, 'version', 'name', 'checksum', 'phase')}`
  return next
}

/** Answers false where another process has applied it meanwhile. What it had begun before it failed is begun again. */
const applyOutside = async (sql: postgres.Sql, migration: Migration): Promise<boolean> => {
  await using _lock = await lockSession(sql)
  try {
    if ((await readApplied(sql)).has(migration.version)) return false
    await sql`select set_config('lock_timeout', ${String(concurrentLockTimeoutMs)}, false)`
    const unfinished = await sql<{ name: string }[]>`
      select c.relname as name from pg_index i join pg_class c on c.oid = i.indexrelid
      where not i.indisvalid and strpos(${migration.text}, c.relname) > 0`
    for (const { name } of unfinished) await sql`drop index concurrently if exists ${sql(name)}`
    for (const statement of migration.text.split(/;\s*$/m).filter((text) => /^\s*[a-z]/m.test(text))) {
      // oxlint-disable-next-line no-restricted-properties -- the text of a file, a statement at a time
      await sql.unsafe(statement)
    }
    await sql`insert into schema_migrations ${sql(migration, 'version', 'name', 'checksum', 'phase')}`
    return true
  } catch (error) {
    if (isOfServer(codeOf(error))) throw error
    throw new Error(`${migration.name}: ${messageOf(error)}`, { cause: error })
  }
}

/** What is not as the program left it. */
const refuse = (migrations: Migration[], applied: Map<number, AppliedMigration>): void => {
  const obstacle = newerObstacle(compareMigrations(migrations, applied))
  if (obstacle !== null) throw configurationFailure(obstacle)
  const known = new Map(migrations.map((migration) => [migration.version, migration]))
  for (const { version, checksum } of applied.values()) {
    const migration = known.get(version)
    if (migration && migration.checksum !== checksum) {
      throw configurationFailure(
        `${migration.name} was changed after it was applied: restore it and put the change into a new one`,
      )
    }
  }
  const last = Math.max(0, ...applied.keys())
  const late = migrations.find(({ version }) => version < last && !applied.has(version))
  if (late)
    throw configurationFailure(
      `${late.name} was added behind ${last}, which is applied: give it the next free number`,
    )
}

/** Space, memory, rights or a standby: nothing that the migration did. */
const isOfServer = (code: string): boolean => /^(?:53|42501$|25006$)/.test(code)

const lineOf = (error: unknown, text: string): string => {
  const position = error instanceof postgres.PostgresError ? Number(error.position) : NaN
  return position > 0 ? ` line ${text.slice(0, position).split('\n').length}` : ''
}
