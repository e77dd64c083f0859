// The readiness query: applied migrations and whether PostgreSQL accepts writes. An answer also proves a connection.
import type { Queryable } from './client.ts'

export interface DatabaseReadiness {
  /** Applied versions of sql/; empty where the database was never migrated. */
  versions: number[]
  /** A standby, or a read-only database. */
  isReadOnly: boolean
}

export const selectReadiness = async (sql: Queryable): Promise<DatabaseReadiness> => {
  const [row] = await sql<{ isMigrated: boolean; isReadOnly: boolean }[]>`
    select to_regclass('schema_migrations') is not null as "isMigrated",
      pg_is_in_recovery() or current_setting('transaction_read_only') = 'on' as "isReadOnly"`
  const { isMigrated, isReadOnly } = row!
  if (!isMigrated) return { versions: [], isReadOnly }
  const rows = await sql<{ version: number }[]>`
    select version from schema_migrations order by version`
  return { versions: rows.map(({ version }) => version), isReadOnly }
}
