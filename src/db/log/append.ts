// Appending to the log. Invariant: within a shard, numbers are contiguous and in commit order, because `append` is the
// last statement of its transaction and holds the shard's head row until commit.
import { shardOf, type Scope } from '../../model/scope.ts'
import {
  encodeBody,
  formatCursor,
  maxLoudEntries,
  withoutLongTexts,
  type Entry,
  type LogEntry,
} from '../../model/event.ts'
import type { Tx } from '../client.ts'
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
