// Deleting what is past its retention: days of the log, stored responses, ended sessions, read notifications, links of
// mails, dead letters, ended deliveries. Invariant: each call is bounded and does not block others: it skips locked rows
// or gives up after 200 ms, and leaves the rest to the next call.
import type postgres from 'postgres'
import type { Queryable, Tx } from '../client.ts'

/** Entries of the log that are in no daily partition, at most 10,000: their partitions were not created in time. */
export const countStrayEntries = async (sql: Queryable): Promise<number> => {
  const [row] = await sql<{ n: number }[]>`
    select count(*)::integer as n from (select from feed_default limit 10000) as stray`
  return row!.n
}

export const strayBatchSize = 5_000

/**
 * Deletes those past retention that every consumer has read, the oldest of each shard first, a batch of them. Only for a log
 * without expired partitions: readers take an entry after their cursor for proof that none is missing behind it, which a
 * hole between older and newer entries would make wrong.
 * @returns how many.
 */
export const deleteStrayEntries = async (tx: Tx, days: number): Promise<number> => {
  const { count } = await tx`
    delete from feed_default where ctid = any(array(
      select d.ctid from feed_default d
      where d.at < (date_trunc('day', now() at time zone 'UTC') - make_interval(days => ${days})) at time zone 'UTC'
        and not exists (select from consumer_cursor c where c.shard = d.shard and c.seq < d.seq)
      order by d.shard, d.seq
      limit ${strayBatchSize}))`
  return count
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

type Fragment = postgres.PendingQuery<postgres.Row[]>

/** The setting that says how long rows stay. */
export type RetentionSetting =
  | 'idempotencyRetentionHours'
  | 'sessionRetentionDays'
  | 'notificationRetentionDays'
  | 'deadLetterRetentionDays'
  | 'deliveryRetentionDays'

/** Deletes the rows of one kind that are past retention. */
export interface Purge {
  setting: RetentionSetting
  /** Rows that one statement deletes at most. */
  batchSize: keyof typeof limits
  /** @param keep younger rows stay: in days, for `keys` in hours. */
  deleteOldest: (sql: Queryable, keep: number) => Fragment
}

/** Literals: with a parameter the planner does not know that few rows match and ignores the index over the oldest. */
const limits = {
  100: (sql: Queryable) => sql`limit 100`,
  1000: (sql: Queryable) => sql`limit 1000`,
}

const days = (sql: Queryable, keep: number) => sql`make_interval(days => ${keep})`
const hours = (sql: Queryable, keep: number) => sql`make_interval(hours => ${keep})`

/** @param time an expression with an index; null for rows that are kept. */
const purgeOf = (
  setting: RetentionSetting,
  table: string,
  time: (sql: Queryable) => Fragment,
  { batchSize = 1000, interval = days }: { batchSize?: Purge['batchSize']; interval?: typeof days } = {},
): Purge => ({
  setting,
  batchSize,
  deleteOldest: (sql, keep) => sql`
    delete from ${sql(table)}
    where ctid = any(array(
      select ctid from ${sql(table)}
      where ${time(sql)} < now() - ${interval(sql, keep)}
      order by ${time(sql)}
      ${limits[batchSize](sql)}
      for update skip locked
    ))`,
})

/** Every kind of rows that is deleted by age; a worker runs each of them. */
export const purges = {
  /** After the time in which their request may be repeated. */
  keys: purgeOf('idempotencyRetentionHours', 'idempotency_keys', (sql) => sql`created_at`, {
    interval: hours,
  }),
  /** Revoked or expired, with their refresh tokens: up to some 700 per session. */
  sessions: purgeOf('sessionRetentionDays', 'sessions', (sql) => sql`least(revoked_at, expires_at)`, {
    batchSize: 100,
  }),
  /** Revoked or expired. */
  personalTokens: purgeOf(
    'sessionRetentionDays',
    'personal_tokens',
    (sql) => sql`least(revoked_at, expires_at)`,
  ),
  /** Expired, of sessions that go on. */
  refreshTokens: purgeOf('sessionRetentionDays', 'refresh_tokens', (sql) => sql`expires_at`),
  /** Links of mails: from then on their tokens count as expired. */
  accountLinks: purgeOf('sessionRetentionDays', 'account_links', (sql) => sql`expires_at`),
  /** Read notifications. */
  notifications: purgeOf('notificationRetentionDays', 'notifications', (sql) => sql`read_at`),
  deadLetters: purgeOf('deadLetterRetentionDays', 'dead_letter', (sql) => sql`failed_at`),
  /** Done; until then an equal one is dropped. */
  deliveries: purgeOf(
    'deliveryRetentionDays',
    'deliveries',
    (sql) => sql`(case when state = 'done' then ended_at end)`,
  ),
  /** Of mails that failed for good. */
  mailNotices: purgeOf('deadLetterRetentionDays', 'mail_notices', (sql) => sql`created_at`),
  failedDeliveries: purgeOf(
    'deadLetterRetentionDays',
    'deliveries',
    (sql) => sql`(case when state = 'failed' then ended_at end)`,
  ),
}
