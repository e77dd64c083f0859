// The log in PostgreSQL: append, reads, heads, epochs and partitions. Invariant: within a shard, numbers are contiguous
// and in commit order, because `append` is the last statement of its transaction and holds the shard's head row until
// commit.
import { shardCount, shardOf, type Scope } from '../../model/scope.ts'
import { AppError } from '../../errors.ts'
import {
  encodeBody,
  formatCursor,
  maxLoudEntries,
  withoutLongTexts,
  type Entry,
  type LogEntry,
} from '../../model/event.ts'
import type { Queryable, Tx } from '../client.ts'
import type { ClaimedResponse } from './idempotency.ts'

/** The result of an append: the numbered entries of all shards, ascending within each. */
export interface Appended {
  epoch: string
  entries: LogEntry[]
}

/*
 * Problem: readers resume from a number, so the numbers of a shard have to be contiguous and visible in their order. The
 * naive way, a sequence per shard, gives neither: a rollback leaves a gap, and of two transactions the one with the later
 * number may commit first, so that a reader at that number never sees the earlier one. Ordering by commit with a lock over
 * the whole transaction is correct, but serializes all writes of a shard for as long as a transaction runs. The way
 * chosen: the append is the last statement of its transaction. It increments the head row of each shard, whose row lock
 * lasts until COMMIT, so writers of a shard wait for each other only from here to COMMIT, a rollback returns its
 * numbers, and numbers become visible in order. One statement numbers the entries, inserts them with their encoded
 * frames, moves the heads of scopes and fills the idempotency row: the lock is held for two round trips.
 */

/**
 * Appends entries and stores the response, with its cursor, in the claimed idempotency row. Must be the last statement of its transaction. If one scope has
 * more than `maxLoudEntries`, sockets receive one `scope.refetch` in place of them.
 * @param cursorScope the scope whose last number is the `Tide-Cursor` of the response, null for none.
 */
export const append = async (
  tx: Tx,
  entries: Entry[],
  options: { op?: string | null; cursorScope?: Scope | null; claimed?: ClaimedResponse | null } = {},
): Promise<Appended> => {
  const { op = null, cursorScope = null, claimed = null } = options
  const rows = markQuiet(entries).map(({ entry, quiet }) => ({
    shard: shardOf(entry.scope),
    scope: entry.scope,
    type: entry.type,
    entity_id: entry.id,
    version: entry.version ?? null,
    actor_id: entry.actorId,
    control: entry.control ?? null,
    changes: entry.changes ? withoutLongTexts(entry.changes) : null,
    quiet,
    body: quiet || entry.type === 'control' ? null : encodeBody(entry, op),
  }))
  const shards = [...new Set(rows.map((row) => row.shard))].sort((a, b) => a - b)
  // A single update locks rows in unspecified order; two appends to the same shards could deadlock.
  if (shards.length > 1) {
    await tx`
      select from feed_head
      where shard in ${tx(shards)}
      order by shard
      for update`
  }
  const written = await tx<(LogEntry & { epoch: string })[]>`
    with input as (
      select *
      from rows from (json_to_recordset(${JSON.stringify(rows)}::text::json) as (
        shard smallint, scope text, type text, entity_id uuid, version bigint, actor_id uuid,
        control jsonb, changes jsonb, quiet boolean, body text
      )) with ordinality as i (
        shard, scope, type, entity_id, version, actor_id, control, changes, quiet, body, n)
    ), head as (
      update feed_head h set seq = h.seq + c.n
      from (select shard, count(*) as n from input group by shard) c
      where h.shard = c.shard
      returning h.shard, h.epoch, h.seq - c.n as base, clock_timestamp()::timestamptz(3) as at
    ), numbered as (
      select i.*, h.epoch, h.at, h.base + row_number() over (partition by i.shard order by i.n) as seq
      from input i join head h using (shard)
    ), written as (
      insert into feed (
        shard, seq, at, scope, type, entity_id, version, actor_id, op, control, changes, quiet, frame)
      select
        shard, seq, at, scope, type, entity_id, coalesce(version, seq), actor_id, ${op}::text, control, changes, quiet,
        '{"t":"event","scope":"' || scope || '","cursor":"' || epoch || '.' || shard || '.' || seq
          || '","version":' || coalesce(version, seq)
          || ',"at":"' || to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') || '",' || body
      from numbered
      returning *
    ), scope_heads as (
      insert into scope_head (scope, seq)
      select scope, max(seq) from numbered group by scope
      on conflict (scope) do update set seq = excluded.seq
    ), filled as (
      update idempotency_keys set
        status = ${claimed?.status ?? null}::smallint,
        body = ${claimed?.body ?? null}::text,
        subject = ${JSON.stringify(claimed?.subject ?? null)}::text::jsonb,
        texts = ${JSON.stringify(claimed?.texts ?? [])}::text::jsonb,
        headers = ${JSON.stringify(claimed?.headers ?? {})}::text::jsonb || coalesce((
          select jsonb_build_object('Tide-Cursor', epoch || '.' || shard || '.' || seq)
          from numbered where scope = ${cursorScope}::text order by seq desc limit 1), '{}')
      where user_id = ${claimed?.userId ?? null}::uuid and method = ${claimed?.method ?? null}::text
        and path = ${claimed?.path ?? null}::text and key = ${claimed?.key ?? null}::text
    )
    select w.shard, w.seq, w.at, w.scope, w.type, w.entity_id as "entityId", w.version, w.actor_id as "actorId",
      w.op, w.control, w.changes, w.quiet, w.frame, h.epoch
    from written w join head h using (shard)
    order by w.shard, w.seq`
  return { epoch: written[0]?.epoch ?? '', entries: written.map(withoutEpoch) }
}

const withoutEpoch = ({ epoch: _epoch, ...entry }: LogEntry & { epoch: string }): LogEntry => entry

const markQuiet = (entries: Entry[]): { entry: Entry; quiet: boolean }[] => {
  const perScope = Map.groupBy(entries, (entry) => entry.scope)
  const loud = (scope: Scope): boolean => perScope.get(scope)!.length <= maxLoudEntries
  const refetches = [...perScope.keys()]
    .filter((scope) => !loud(scope))
    .map((scope): Entry => ({ scope, type: 'scope.refetch', id: null, actorId: null }))
  return [
    ...entries.map((entry) => ({ entry, quiet: !loud(entry.scope) && entry.type !== 'control' })),
    ...refetches.map((entry) => ({ entry, quiet: false })),
  ]
}

/** The cursor of the last of these entries in a scope, or null. */
export const cursorOf = ({ epoch, entries }: Appended, scope: Scope | null): string | null => {
  const last = entries.findLast((entry) => entry.scope === scope)
  return last ? formatCursor({ epoch, shard: last.shard, seq: last.seq }) : null
}

export interface Heads {
  epoch: string
  /** Last number of each shard, by shard. */
  seqs: number[]
}

export const notInstalled = (): AppError =>
  new AppError('unavailable', 'The log is not installed: run migrate')

/** All heads in one read. 503 if the log is not installed. */
export const readHeads = async (sql: Queryable): Promise<Heads> => {
  const rows = await sql<{ shard: number; epoch: string; seq: number }[]>`
    select shard, epoch, seq from feed_head order by shard`
  if (rows.length !== shardCount) throw notInstalled()
  return { epoch: rows[0]!.epoch, seqs: rows.map((row) => row.seq) }
}

/** The head of one shard: in a snapshot transaction an exact watermark. */
export const readHead = async (sql: Queryable, shard: number): Promise<{ epoch: string; seq: number }> => {
  const [row] = await sql<{ epoch: string; seq: number }[]>`
    select epoch, seq from feed_head where shard = ${shard}`
  if (!row) throw notInstalled()
  return row
}

/** Entries of a shard with numbers in (after, upTo], ascending, contiguous, at most `limit`. */
export const readShard = async (
  sql: Queryable,
  shard: number,
  after: number,
  upTo: number,
  limit: number,
): Promise<LogEntry[]> => sql<LogEntry[]>`
  select ${columns(sql)} from feed
  where shard = ${shard} and seq > ${after} and seq <= ${upTo}
  order by seq limit ${limit}`

/** An entry as clients receive it: without the part that only workers read, which may be larger than the frame. */
export type Framed = Pick<LogEntry, 'seq' | 'scope' | 'control' | 'frame'>

/** The same entries as `readShard`, as clients receive them. */
export const readShardFrames = async (
  sql: Queryable,
  shard: number,
  after: number,
  upTo: number,
  limit: number,
): Promise<Framed[]> => sql<Framed[]>`
  select ${framedColumns(sql)} from feed
  where shard = ${shard} and seq > ${after} and seq <= ${upTo}
  order by seq limit ${limit}`

/** Entries of one scope with numbers in (after, upTo] as clients receive them, ascending, at most `limit`. */
export const readScopeFrames = async (
  sql: Queryable,
  scope: Scope,
  after: number,
  upTo: number,
  limit: number,
): Promise<Framed[]> => sql<Framed[]>`
  select ${framedColumns(sql)} from feed
  where scope = ${scope} and seq > ${after} and seq <= ${upTo}
  order by seq limit ${limit}`

/** Whether the log still has the entry after a number below the shard's head: then it has all entries after it. */
export const keepsAfter = async (sql: Queryable, shard: number, after: number): Promise<boolean> => {
  const rows = await sql`select from feed where shard = ${shard} and seq = ${after} + 1`
  return rows.length > 0
}

const framedColumns = (sql: Queryable) => sql`seq, scope, control, frame`

const columns = (sql: Queryable) => sql`
  shard, seq, at, scope, type, entity_id as "entityId", version, actor_id as "actorId",
  op, control, changes, quiet, frame`

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

/** Whether the epoch is current and PostgreSQL is still on the timeline in which it began. */
export const isEpochGood = (sql: Queryable, shard: number, epoch: string) => sql`
  exists (
    select from feed_head, feed_origin
    where shard = ${shard} and epoch = ${epoch} and timeline = ${timeline(sql)})`

/** The timeline of the current WAL; the control file shows a failover only after the next checkpoint. */
const timeline = (sql: Queryable) => sql`
  ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer`

/**
 * Makes the daily partitions from today to `days` ahead. Writers to existing days are not locked out, readers only
 * while the empty default is looked through. A day that has rows in the default (made too late) stays there.
 */
export const ensureFeedPartitions = async (tx: Tx, days = 7): Promise<void> => {
  const missing = await tx<{ name: string; day: string; next: string }[]>`
    select 'feed_' || to_char(day, 'YYYYMMDD') as name, day::date::text as day, (day + interval '1 day')::date::text as next
    from generate_series(
      date_trunc('day', now() at time zone 'UTC'),
      date_trunc('day', now() at time zone 'UTC') + make_interval(days => ${days}), '1 day') as day
    where to_regclass('feed_' || to_char(day, 'YYYYMMDD')) is null`
  if (missing.length === 0) return
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
