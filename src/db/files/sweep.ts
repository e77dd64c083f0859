// What a sweep compares objects with: the rows that own them. A new kind of object is one more line of `owners`.
import type { SweepReport } from '../../model/sweep.ts'
import { newId } from '../../model/scalar.ts'
import type { Queryable, Tx } from '../client.ts'

/** The prefix of each kind of object. */
export const sweptPrefixes = ['attachments/', 'avatars/'] as const

/** Keys among these that no row owns and no deletion lists. */
export const selectOrphans = async (sql: Queryable, keys: readonly string[]): Promise<string[]> => {
  const rows = await sql<{ key: string }[]>`
    select key from unnest(${keys}::text[]) as key
    where not exists (select from attachments a where a.storage_key = key)
      and not exists (select from attachments a where a.upload_key = key)
      and not exists (select from users u where u.avatar_key = key)
      and not exists (select from file_deletions d where d.key = key.key)`
  return rows.map(({ key }) => key)
}

/** Lists those of the keys for deletion that still have no owner. @returns how many. */
export const listOrphans = async (tx: Tx, keys: readonly string[]): Promise<number> => {
  const orphans = await selectOrphans(tx, keys)
  await tx`
    insert into file_deletions (key)
    select unnest(${orphans.toSorted()}::text[])
    on conflict do nothing`
  return orphans.length
}

/** Whether no row names an object that has been stored or has to be deleted. */
export const namesNoObject = async (sql: Queryable): Promise<boolean> => {
  const [row] = await sql<{ isNone: boolean }[]>`
    select not exists (select from attachments where state = 'ready')
      and not exists (select from users where avatar_key is not null)
      and not exists (select from file_deletions) as "isNone"`
  return row!.isNone
}

export interface OwnedObject {
  id: string
  key: string
  isMissing: boolean
}

/** Rows that are shown and older than a day, by ascending id. */
export const selectOwned = async (sql: Queryable, after: string, limit: number): Promise<OwnedObject[]> =>
  sql<OwnedObject[]>`
    select id, storage_key as key, missing_since is not null as "isMissing" from attachments
    where id > ${after} and state = 'ready' and created_at < now() - interval '1 day'
    order by id
    limit ${limit}`

/** Flags rows whose objects are missing, or takes the flag away. */
export const flagMissing = async (tx: Tx, ids: readonly string[], isMissing: boolean): Promise<void> => {
  await tx`
    update attachments set missing_since = ${isMissing ? tx`coalesce(missing_since, now())` : null}
    where id = any(${ids}::uuid[])`
}

/** Keeps the last hundred. */
export const insertSweepReport = async (tx: Tx, report: SweepReport): Promise<void> => {
  await tx`
    insert into file_sweeps (id, report) values (${newId()}, ${JSON.stringify(report)}::text::jsonb)`
  await tx`
    delete from file_sweeps
    where id in (select id from file_sweeps order by finished_at desc, id desc offset 100)`
}

export interface FileState {
  /** Rows whose objects are missing. */
  missing: number
  /** Objects whose deletion is due, and for how long the oldest has been. */
  deletions: number
  oldestDeletionSeconds: number
  lastSweep: (SweepReport & { finishedAt: string }) | null
}

/** Reads what is not as it should be, and waits: of a system at rest a few rows. */
export const selectFileState = async (sql: Queryable): Promise<FileState> => {
  const [row] = await sql<FileState[]>`
    select a.missing, d.deletions, d."oldestDeletionSeconds", (
        select s.report || jsonb_build_object('finishedAt', s.finished_at)
        from file_sweeps s order by s.finished_at desc, s.id desc limit 1) as "lastSweep"
    from
      (select count(*) as missing from attachments where missing_since is not null) a,
      (select count(*) as deletions,
        coalesce(extract(epoch from now() - min(created_at)), 0)::float8 as "oldestDeletionSeconds"
        from file_deletions where created_at <= now()) d`
  return row!
}
