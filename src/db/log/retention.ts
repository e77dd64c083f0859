// Deleting what is past its retention: days of the log, stored responses, ended sessions, read notifications, dead
// letters. Invariant: each call is bounded and does not block others: it skips locked rows or gives up after 200 ms, and
// leaves the rest to the next call.
import type { Queryable, Tx } from '../client.ts'

/** Whether the log's default partition has entries, which means that partitions were not created in time. */
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

/** Consumers that have not read the whole partition. */
export const selectLateConsumers = async (sql: Queryable, name: string): Promise<string[]> => {
  const rows = await sql<{ consumer: string }[]>`
    select distinct c.consumer
    from consumer_cursor c
    where c.seq < (select max(seq) from ${sql(name)} p where p.shard = c.shard)`
  return rows.map(({ consumer }) => consumer)
}

/** Drops a partition under an exclusive lock on the log; fails with 503 when the lock takes longer than 200 ms. */
export const dropPartition = async (tx: Tx, name: string): Promise<void> => {
  await tx`set local lock_timeout = '200ms'`
  await tx`drop table ${tx(name)}`
}

/**
 * Statements that delete rows older than `keep`, in days, for keys in hours. The limits are literals: with a parameter
 * the planner does not know that few rows match and ignores the index over the oldest.
 */
export const purges = {
  /** After the time in which their request may be repeated. */
  keys: (sql: Queryable, keep: number) => sql`
    delete from idempotency_keys
    where ctid = any(array(
      select ctid from idempotency_keys
      where created_at < now() - make_interval(hours => ${keep})
      order by created_at
      limit 1000
      for update skip locked
    ))`,

  /** Revoked or expired, with their refresh tokens: up to some 700 per session. */
  sessions: (sql: Queryable, keep: number) => sql`
    delete from sessions
    where ctid = any(array(
      select ctid from sessions
      where least(revoked_at, expires_at) < now() - make_interval(days => ${keep})
      order by least(revoked_at, expires_at)
      limit 100
      for update skip locked
    ))`,

  /** Expired, of sessions that go on. */
  refreshTokens: (sql: Queryable, keep: number) => sql`
    delete from refresh_tokens
    where ctid = any(array(
      select ctid from refresh_tokens
      where expires_at < now() - make_interval(days => ${keep})
      order by expires_at
      limit 1000
      for update skip locked
    ))`,

  /** Read notifications. */
  notifications: (sql: Queryable, keep: number) => sql`
    delete from notifications
    where ctid = any(array(
      select ctid from notifications
      where read_at < now() - make_interval(days => ${keep})
      order by read_at
      limit 1000
      for update skip locked
    ))`,

  deadLetters: (sql: Queryable, keep: number) => sql`
    delete from dead_letter
    where ctid = any(array(
      select ctid from dead_letter
      where failed_at < now() - make_interval(days => ${keep})
      order by failed_at
      limit 1000
      for update skip locked
    ))`,
}
