// Migrations: sql/NNNN_noun.sql, applied in order, forward only, one transaction each, recorded with a checksum.
// Any number of processes may migrate at once: each transaction takes one advisory lock and looks again.
import postgres from 'postgres'
import { messageOf } from '../errors.ts'
import type { Log } from '../log.ts'
import { addressOf } from './address.ts'
import type { Tx } from './client.ts'
import { codeOf } from './errors.ts'
import { ensureEpoch, ensureFeedPartitions } from './feed.ts'
import { readMigrations, type Migration } from './migration-files.ts'
import { types } from './types.ts'

export interface MigrateOptions {
  url: string
  log: Log
  /** Where the files are; the project's own by default. */
  folder?: string
}

export interface MigrationStatus {
  version: number
  name: string
  /** Null while it is pending. */
  appliedAt: string | null
  /** `changed`: the file is not what was applied. `unknown`: applied by a newer version of the program. */
  state: 'applied' | 'pending' | 'changed' | 'unknown'
}

interface Applied {
  version: number
  name: string
  checksum: string
  appliedAt: string
}

type Sql = postgres.Sql | postgres.TransactionSql

const lockKey = 7_108_437_065
const lockTimeoutMs = 10_000

/**
 * Applies what is pending, then makes the log's heads and its partitions for the days ahead.
 * @returns names of what was applied.
 * @throws Error that names the migration and the line, or says why the database is refused.
 */
export const migrate = async ({ url, log, folder }: MigrateOptions): Promise<string[]> => {
  const migrations = await readMigrations(folder)
  return withConnection(url, async (sql) => {
    const names: string[] = []
    for (;;) {
      const name = await sql.begin((tx) => applyNext(tx, migrations))
      if (name === null) break
      log.info({ migration: name }, 'migrated')
      names.push(name)
    }
    await sql.begin(async (connection) => {
      await lock(connection)
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
  const known = migrations.map(({ version, name, checksum }): MigrationStatus => {
    const row = applied.get(version)
    if (!row) return { version, name, appliedAt: null, state: 'pending' }
    return {
      version,
      name,
      appliedAt: row.appliedAt,
      state: row.checksum === checksum ? 'applied' : 'changed',
    }
  })
  const versions = new Set(migrations.map(({ version }) => version))
  const unknown = [...applied.values()]
    .filter(({ version }) => !versions.has(version))
    .map(({ version, name, appliedAt }): MigrationStatus => ({ version, name, appliedAt, state: 'unknown' }))
  return [...known, ...unknown].sort((a, b) => a.version - b.version)
}

/** Names of what `migrate` would apply. A newer database is no error here: the previous version keeps running. */
export const pendingMigrations = async (options: MigrateOptions): Promise<string[]> =>
  (await migrationStatus(options)).filter(({ state }) => state === 'pending').map(({ name }) => name)

/** Creates the URL's database, in UTF-8, where it is missing. @returns whether it did. */
export const ensureDatabase = async (url: string): Promise<boolean> => {
  const { database } = addressOf(url)
  const present = await withConnection(url, (sql) => sql`select 1`).catch((error: unknown) => {
    if (codeOf(error) === '3D000') return null
    throw error
  })
  if (present) return false
  return withConnection(
    url,
    async (sql) => {
      try {
        await sql`create database ${sql(database)} encoding 'UTF8' template template0`
        return true
      } catch (error) {
        if (codeOf(error) === '42P04' || codeOf(error) === '23505') return false // another process was first
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
  const sql = postgres(address.url, {
    host: address.host,
    port: address.port,
    database: database ?? address.database,
    max: 1,
    types,
    connect_timeout: 10,
    onnotice: () => {},
    connection: { application_name: 'tasktide-migrate', TimeZone: 'UTC' },
  })
  try {
    return await work(sql)
  } finally {
    await sql.end({ timeout: 5 })
  }
}

/** Waits for another process's migration as long as that takes; for the tables' locks only briefly. */
const lock = async (tx: Sql): Promise<void> => {
  await tx`select pg_advisory_xact_lock(${lockKey})`
  // A migration that waits for a lock stops all traffic behind it: better to fail and be run again.
  await tx`select set_config('lock_timeout', ${String(lockTimeoutMs)}, true)`
}

const applyNext = async (tx: postgres.TransactionSql, migrations: Migration[]): Promise<string | null> => {
  await lock(tx)
  await tx`
    create table if not exists schema_migrations (
      version integer constraint schema_migrations_pkey primary key,
      name text not null,
      checksum text not null,
      applied_at timestamptz(3) not null default now()
    )`
  const applied = await readApplied(tx)
  refuse(migrations, applied)
  const next = migrations.find(({ version }) => !applied.has(version))
  if (!next) return null
  try {
    // oxlint-disable-next-line no-restricted-properties -- several statements in one text need the simple protocol
    await tx.unsafe(next.text)
  } catch (error) {
    throw new Error(`${next.name}${lineOf(error, next.text)}: ${messageOf(error)}`, { cause: error })
  }
  await tx`insert into schema_migrations ${tx(next, 'version', 'name', 'checksum')}`
  return next.name
}

const refuse = (migrations: Migration[], applied: Map<number, Applied>): void => {
  const known = new Map(migrations.map((migration) => [migration.version, migration]))
  for (const { version, name, checksum } of applied.values()) {
    const migration = known.get(version)
    if (!migration)
      throw new Error(`The database has ${name}, which this program does not know: run the newer version`)
    if (migration.checksum !== checksum) {
      throw new Error(
        `${migration.name} was changed after it was applied: restore it and put the change into a new one`,
      )
    }
  }
  const last = Math.max(0, ...applied.keys())
  const late = migrations.find(({ version }) => version < last && !applied.has(version))
  if (late)
    throw new Error(`${late.name} was added behind ${last}, which is applied: give it the next free number`)
}

const readApplied = async (sql: Sql): Promise<Map<number, Applied>> => {
  const [table] = await sql`select from pg_class where oid = to_regclass('schema_migrations')`
  if (!table) return new Map()
  const rows = await sql<Applied[]>`
    select version, name, checksum, applied_at as "appliedAt" from schema_migrations order by version`
  return new Map(rows.map((row) => [row.version, row]))
}

const lineOf = (error: unknown, text: string): string => {
  const position = error instanceof postgres.PostgresError ? Number(error.position) : NaN
  return position > 0 ? ` line ${text.slice(0, position).split('\n').length}` : ''
}
