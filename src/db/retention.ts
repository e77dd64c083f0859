// Forgetting what is past its time: days of the log, and answers kept for repeats. Each call is small and gives
// way: it waits a moment for its locks at most, and what is left is left for the next.
import type { Queryable, Tx } from './client.ts'

/** Whether the log's default partition holds anything, which it never should: partitions were not made in time. */
export const hasStrayEntries = async (sql: Queryable): Promise<boolean> => {
  const [row] = await sql<{ found: boolean }[]>`select exists (select from feed_default) as found`
  return row!.found
}

/** Daily partitions that ended more than `days` ago, oldest first. */
export const selectExpiredPartitions = async (sql: Queryable, days: number): Promise<string[]> => {
  const rows = await sql<{ name: string }[]>`
    select c.relname as name
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'feed'::regclass and c.relname ~ '^feed_[0-9]{8}$'
      and to_date(right(c.relname, 8), 'YYYYMMDD') + 1 <= (now() at time zone 'UTC')::date - ${days}::integer
    order by c.relname`
  return rows.map(({ name }) => name)
}

/** Consumers that have not read all of the partition. */
export const selectLateConsumers = async (sql: Queryable, name: string): Promise<string[]> => {
  const rows = await sql<{ consumer: string }[]>`
    select distinct c.consumer
    from consumer_cursor c
    where c.seq < (select max(seq) from ${sql(name)} p where p.shard = c.shard)`
  return rows.map(({ consumer }) => consumer)
}

/** Shuts everybody else out of the log for a moment; gives up (503) when that takes waiting. */
export const dropPartition = async (tx: Tx, name: string): Promise<void> => {
  await tx`set local lock_timeout = '200ms'`
  await tx`drop table ${tx(name)}`
}

/** Deletes up to `limit` idempotency keys older than a day; answers how many. */
export const deleteOldKeys = async (sql: Queryable, limit: number): Promise<number> => {
  const deleted = await sql`
    delete from idempotency_keys
    where ctid = any(array(
      select ctid from idempotency_keys
      where created_at < now() - interval '24 hours'
      order by created_at
      limit ${limit}
      for update skip locked
    ))`
  return deleted.count
}
