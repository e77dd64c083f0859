// How far a database is migrated, compared with what the program brings along. A migration of a newer program is no
// obstacle where its file begins with `-- phase: expand`: it only adds, so this version keeps running (and a rollback
// finds a database it can use). `phase` is recorded with the migration, because an older program lacks the file.
import type { Queryable } from '../client.ts'
import type { Migration } from './migration-files.ts'

export interface MigrationStatus {
  version: number
  /** `NNNN_noun`. */
  name: string
  /** Null while it is pending. */
  appliedAt: string | null
  /** `changed`: the file is not what was applied. `unknown`: applied by a newer version of the program. */
  state: 'applied' | 'pending' | 'changed' | 'unknown'
  /** Whether the version before it keeps running on it. */
  isCompatible: boolean
}

export interface AppliedMigration {
  version: number
  name: string
  checksum: string
  appliedAt: string
  isCompatible: boolean
}

/** By version; none where the database was never migrated. Reads tables of earlier programs too. */
export const readApplied = async (sql: Queryable): Promise<Map<number, AppliedMigration>> => {
  const [table] = await sql`select from pg_class where oid = to_regclass('schema_migrations')`
  if (!table) return new Map()
  const rows = await sql<AppliedMigration[]>`
    select version, name, checksum, applied_at as "appliedAt",
      coalesce(to_jsonb(migration) ->> 'phase', '') = 'expand' as "isCompatible"
    from schema_migrations migration
    order by version`
  return new Map(rows.map((row) => [row.version, row]))
}

/** Every migration known to the program or to the database, by version. */
export const compareMigrations = (
  migrations: Migration[],
  applied: Map<number, AppliedMigration>,
): MigrationStatus[] => {
  const known = migrations.map(({ version, name, checksum, phase }): MigrationStatus => {
    const row = applied.get(version)
    const isCompatible = phase === 'expand'
    if (!row) return { version, name, appliedAt: null, state: 'pending', isCompatible }
    const state = row.checksum === checksum ? 'applied' : 'changed'
    return { version, name, appliedAt: row.appliedAt, state, isCompatible }
  })
  const versions = new Set(migrations.map(({ version }) => version))
  const unknown = [...applied.values()]
    .filter(({ version }) => !versions.has(version))
    .map(({ version, name, appliedAt, isCompatible }): MigrationStatus => {
      return { version, name, appliedAt, state: 'unknown', isCompatible }
    })
  return [...known, ...unknown].sort((a, b) => a.version - b.version)
}

/** Why this program must not run on, or migrate, what is newer than it; null where it may. */
export const newerObstacle = (status: MigrationStatus[]): string | null => {
  const obstacle = status.find(({ state, isCompatible }) => state === 'unknown' && !isCompatible)
  return obstacle
    ? `The database has ${obstacle.name}, which this program does not know and which is not marked as compatible: run the newer version, or restore a backup from before it`
    : null
}

/** What is newer than the program and does not disturb it; null where there is none. */
export const newerNotice = (status: MigrationStatus[]): string | null => {
  const names = status.filter(({ state }) => state === 'unknown').map(({ name }) => name)
  return names.length > 0
    ? `The database is newer than this program; ${names.join(', ')} is marked as compatible, so this version runs on it`
    : null
}
