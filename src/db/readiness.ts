// What readiness asks PostgreSQL: one statement that proves a connection and says how far it is migrated.
import type { Queryable } from './client.ts'

/** Versions of sql/ that are applied; none where the database was never migrated. */
export const selectAppliedVersions = async (sql: Queryable): Promise<number[]> => {
  const [table] = await sql`select from pg_class where oid = to_regclass('schema_migrations')`
  if (!table) return []
  const rows = await sql<{ version: number }[]>`
    select version from schema_migrations order by version`
  return rows.map(({ version }) => version)
}
