// The daily partitions of the log. Invariant: they exist before the day begins, so the default partition stays empty.
import { isUnavailable } from '../../errors.ts'
import type { Database, Tx } from '../client.ts'

/**
 * Creates the daily partitions from today to `days` ahead. Writers to existing days are not blocked, readers only while
 * the empty default partition is scanned. A day that has rows in the default (created too late) stays there.
 */
export const ensureFeedPartitions = async (tx: Tx, days = 7): Promise<void> => {
  const missing = await tx<{ name: string; day: string; next: string }[]>`
    select 'feed_' || to_char(day, 'YYYYMMDD') as name, day::date::text as day, (day + interval '1 day')::date::text as next
    from generate_series(
      date_trunc('day', now() at time zone 'UTC'),
      date_trunc('day', now() at time zone 'UTC') + make_interval(days => ${days}), '1 day') as day
    where to_regclass('feed_' || to_char(day, 'YYYYMMDD')) is null`
  if (missing.length === 0) return
  // A reader that keeps the lock, such as a dump, must not hold up the readers that queue behind this for long.
  await tx`set local lock_timeout = '200ms'`
  await tx`lock table feed_default in share update exclusive mode` // before any read of it: two processes would deadlock
  for (const { name, day, next } of missing) {
    const [stray] = await tx`
      select from feed_default
      where at >= ${day}::date::timestamp at time zone 'UTC' and at < ${next}::date::timestamp at time zone 'UTC'
      limit 1`
    if (stray) continue
    await tx`create table if not exists ${tx(name)} (like feed including defaults including constraints)`
    await tx`select attach_feed_partition(${name}, ${day}::date, ${next}::date)`
  }
}

/**
 * Calls `ensureFeedPartitions` in a transaction. @returns false where the lock timed out (a dump may read the log for
 * hours) or PostgreSQL is away. Writes do not depend on it: the next days have partitions, or the default one stores the
 * entries.
 */
export const createComingPartitions = async (db: Pick<Database, 'transact'>): Promise<boolean> => {
  try {
    await db.transact((tx) => ensureFeedPartitions(tx))
    return true
  } catch (error) {
    if (isUnavailable(error)) return false
    throw error
  }
}
