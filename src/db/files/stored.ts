// How much is stored, for operators.
import type { Queryable } from '../client.ts'

export interface StoredFiles {
  /** Attachments that are shown, and their bytes. */
  attachments: number
  bytes: number
  /** At most 2 MiB each. */
  avatars: number
}

/** Reads every entry of two indexes, which of a million files takes a few tenths of a second: call it once a minute. */
export const countStoredFiles = async (sql: Queryable): Promise<StoredFiles> => {
  const [row] = await sql<StoredFiles[]>`
    select a.attachments, a.bytes, u.avatars
    from
      (select count(*) as attachments, coalesce(sum(size), 0)::bigint as bytes
        from attachments where state = 'ready') a,
      (select count(*) as avatars from users where avatar_key is not null) u`
  return row!
}
