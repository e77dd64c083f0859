// What readiness asks PostgreSQL: how far it is migrated and whether it takes writes, which also proves a connection.
import type { Queryable } from './client.ts'

export interface DatabaseReadiness {
  /** Versions of sql/ that are applied; none where the database was never migrated. */
  versions: number[]
  /** A standby, or a database that was made read-only. */
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
