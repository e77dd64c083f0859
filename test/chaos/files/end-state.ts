// The end of a run: waits until every job is done, hours later by the clock of the rows, and then compares the store with
// the rows by listing both.
import type { Database } from '../../../src/db/client.ts'
import type { Storage } from '../../../src/storage/storage.ts'
import { eventually } from '../../support/eventually.ts'
import type { FilesCounts } from './counts.ts'

interface Waited {
  timeoutMs: number
  /** Also objects whose signed URL is no longer valid are deleted for the second time. */
  isLater: boolean
}

/** @returns what has not ended within the time; the deadline starts again whenever something ends. */
export const settle = async (db: Database, { timeoutMs, isLater }: Waited): Promise<number> => {
  let left = 0
  const look = async (): Promise<void> => {
    await db.transact(async (tx) => {
      // Uploads that were cut off expire; those past the server are remembered for a day.
      await tx`
        update attachments set expires_at = now() - interval '25 hours'
        where expires_at > now() - interval '24 hours'`
      if (isLater)
        await tx`update file_deletions set created_at = now() - interval '1 minute' where created_at > now()`
    })
    const [row] = await db.read(
      (sql) => sql<{ open: number }[]>`
        select (select count(*) from deliveries where state not in ('done', 'failed') and next_at < now() + interval '1 hour')
          + (select count(*) from file_deletions where created_at <= now())
          + (select count(*) from attachments where state <> 'ready') as open`,
    )
    left = row!.open
    if (left > 0) throw new Error(`${left} deliveries, deletions and uploads are open`)
  }
  await eventually(look, { timeoutMs, everyMs: 250, progress: () => left }).catch(() => {})
  return left
}

type Compared = Pick<FilesCounts, 'objects' | 'orphans' | 'missing' | 'repeated' | 'lost' | 'replaced'>

interface Row {
  id: string
  key: string
  sha256: string
}

/** @param kept ids of attachments that have to be there. */
export const compare = async (
  { db, storage }: { db: Database; storage: Storage },
  kept: ReadonlySet<string>,
): Promise<Compared> => {
  const stored = new Set((await Array.fromAsync(storage.list('attachments/'))).map(({ key }) => key))
  const shown = await db.read(
    (sql) => sql<Row[]>`
      select id, storage_key as key, encode(sha256, 'hex') as sha256 from attachments where state = 'ready'`,
  )
  // What has not ended is owned, too; it is counted as unsettled.
  const unfinished = await db.read(
    (sql) => sql<{ key: string }[]>`
      select unnest(array[storage_key, upload_key]) as key from attachments
      union select key from file_deletions`,
  )
  const owned = new Set(unfinished.map(({ key }) => key))
  const [done] = await db.read(
    (sql) => sql<{ repeated: number }[]>`
      select count(*) - count(distinct delivery_id) as repeated from completions`,
  )
  const ids = new Set(shown.map(({ id }) => id))
  return {
    objects: stored.size,
    orphans: [...stored].filter((key) => !owned.has(key)).length,
    missing: shown.filter(({ key }) => !stored.has(key)).length,
    repeated: done!.repeated,
    lost: [...kept].filter((id) => !ids.has(id)).length,
    replaced: await countReplaced(
      storage,
      shown.filter(({ key }) => stored.has(key)),
    ),
  }
}

const readsAtOnce = 8

const countReplaced = async (storage: Storage, rows: Row[]): Promise<number> => {
  let replaced = 0
  const work = async (): Promise<void> => {
    for (let row = rows.pop(); row; row = rows.pop()) {
      const object = await storage.get(row.key)
      const bytes = await new Response(object?.body ?? null).bytes()
      if (new Bun.CryptoHasher('sha256').update(bytes).digest('hex') !== row.sha256) replaced += 1
    }
  }
  await Promise.all(Array.from({ length: readsAtOnce }, work))
  return replaced
}
