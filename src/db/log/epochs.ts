// Epochs of the log: numbers are valid in the epoch in which they were assigned. Invariant: a new epoch starts whenever
// PostgreSQL may have lost commits, so no number means two entries.
import { shardCount } from '../../model/scope.ts'
import type { Queryable, Tx } from '../client.ts'

/**
 * Creates the heads of a new installation, and a new epoch where the cluster or its timeline is not the one in which the
 * numbers were assigned (a restore, a copy, a failover). Returns the epoch and whether it replaces another.
 * @param renew true: always starts a new epoch; an epoch: only if that is the current one.
 */
export const ensureEpoch = async (
  tx: Tx,
  renew: string | boolean = false,
): Promise<{ epoch: string; renewed: boolean }> => {
  await tx`lock table feed_origin in share row exclusive mode`
  const [cluster] = await tx<{ id: string; timeline: number }[]>`
    select system_identifier::text as id, ${timeline(tx)} as timeline
    from pg_control_system()`
  const [origin] = await tx<{ id: string; timeline: number }[]>`
    select system_identifier as id, timeline from feed_origin`
  const heads = await tx<{ epoch: string }[]>`select epoch from feed_head order by shard for update`
  const same = origin?.id === cluster!.id && origin.timeline === cluster!.timeline
  const isVoid = renew === true || renew === heads[0]?.epoch
  if (heads.length === shardCount && same && !isVoid) return { epoch: heads[0]!.epoch, renewed: false }
  const epoch = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) =>
    (byte % 36).toString(36),
  ).join('')
  await tx`
    insert into feed_head (shard, epoch) select shard, ${epoch} from generate_series(0, ${shardCount - 1}) as shard
    on conflict (shard) do update set epoch = excluded.epoch`
  await tx`
    insert into feed_origin (system_identifier, timeline) values (${cluster!.id}, ${cluster!.timeline})
    on conflict (only_row) do update set
      system_identifier = excluded.system_identifier, timeline = excluded.timeline`
  return { epoch, renewed: heads.length > 0 }
}

/** Whether PostgreSQL failed over since the epoch began: its last commits may be lost and their numbers reused. */
export const isEpochVoid = async (sql: Queryable): Promise<boolean> => {
  const [row] = await sql<{ isVoid: boolean }[]>`
    select exists (select from feed_origin where timeline <> ${timeline(sql)}) as "isVoid"`
  return row!.isVoid
}

/** Whether the epoch, an expression, is current and PostgreSQL is still on the timeline in which it began. */
export const isEpochGood = (sql: Queryable, shard: Fragment, epoch: Fragment) => sql`
  exists (
    select from feed_head, feed_origin
    where feed_head.shard = ${shard} and feed_head.epoch = ${epoch} and timeline = ${timeline(sql)})`

type Fragment = ReturnType<Queryable>

/** The timeline of the current WAL; the control file shows a failover only after the next checkpoint. */
const timeline = (sql: Queryable) => sql`
  ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer`
