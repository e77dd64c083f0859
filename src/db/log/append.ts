// Appending to the log. Invariant: within a shard, numbers are contiguous and in commit order, because `append` is the
// last statement of its transaction and holds the shard's head row until commit.
import { idOf, isProjectScope, shardOf, type Scope } from '../../model/scope.ts'
import {
  encodeBody,
  formatCursor,
  maxLoudEntries,
  withoutLongTexts,
  type Changes,
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
 * frames, moves the heads of scopes and fills the idempotency rows. The writes of a batch share it, and a batch sends COMMIT
 * together with it: the lock is then held for the statement and the COMMIT, and for no round trip.
 */

/** What one write appends, and the response it stores. */
export interface WriteAppend {
  entries: Entry[]
  /** The Idempotency-Key of the write. */
  op?: string | null
  /** The scope whose last number is the `Tide-Cursor` of the response, null for none. */
  cursorScope?: Scope | null
  /** The projects in which the write needed the right of admins; their entries say so. */
  overrides?: ReadonlySet<string> | undefined
  /** `traceparent` of the write; null for none. */
  trace?: string | null
  /** The response to store, without `Tide-Cursor`. Null where the write claimed no key. */
  claimed?: ClaimedResponse | null
}

/** The result of one write of an append. */
export interface WriteAppended {
  /** Null where the write appended nothing to its `cursorScope`. */
  cursor: string | null
  /** Bytes of its frames and changes. */
  loggedBytes: number
}

export interface AppendedWrites extends Appended {
  /** In the order of the writes. */
  writes: WriteAppended[]
}

/** Separates values of one parameter. JSON, ids and scopes contain no control characters. */
const separator = '\u001f'

const joined = <T>(
  rows: readonly T[],
  value: (row: T) => string | number | boolean | null | undefined,
): string => rows.map((row) => value(row) ?? '').join(separator)

interface InputRow {
  entry: Entry
  shard: number
  /** Position among the entries of its shard, from 1. */
  n: number
  op: string | null
  quiet: boolean
  override: boolean
  trace: string | null
  changes: Changes | null
  changesText: string | null
  /** The end of the frame; null for an entry without one. */
  body: string | null
}

/**
 * Appends the entries of one or more writes, and stores each response, with its cursor, in its claimed idempotency row.
 * Must be the last statement of its transaction. If one scope has more than `maxLoudEntries` of one write, sockets
 * receive one `scope.refetch` in place of them.
 *
 * PostgreSQL returns only where each shard begins: numbers, frames and cursors follow from that and are computed here as
 * in the statement, because returning the rows would send each frame back and parse it. Columns are sent as joined texts
 * (`string_to_array`): a frame is JSON, and inside a JSON parameter each of its quotes would be escaped and unescaped.
 */
export const appendWrites = async (tx: Tx, writes: WriteAppend[]): Promise<AppendedWrites> => {
  const counts = new Map<number, number>()
  const rowsOf = writes.map((write) => inputRows(write, counts))
  const rows = rowsOf.flat()
  const claims = writes.flatMap(({ claimed, cursorScope = null }, index) => {
    const last =
      cursorScope === null ? undefined : rowsOf[index]!.findLast(({ entry }) => entry.scope === cursorScope)
    return claimed ? [claimRow(claimed, last)] : []
  })
  const shards = [...counts.keys()].sort((a, b) => a - b)
  const [, heads] = await Promise.all([
    // A single update locks rows in unspecified order; two appends to the same shards could deadlock.
    shards.length > 1 ? lockHeads(tx, shards) : null,
    shards.length > 0 || claims.length > 0 ? insertEntries(tx, rows, claims) : [],
  ])
  return numbered(writes, rowsOf, heads)
}

const lockHeads = async (tx: Tx, shards: number[]): Promise<void> => {
  await tx`
    select from feed_head
    where shard = any(${shards}::smallint[])
    order by shard
    for update`
}

/** A shard before the append. */
interface Head {
  shard: number
  epoch: string
  base: number
  at: string
}

const insertEntries = (tx: Tx, rows: InputRow[], claims: object[]): Promise<Head[]> => tx<Head[]>`
    with input as (
      select
        i.shard::smallint, i.n::bigint, i.scope, i.type, nullif(i.entity_id, '')::uuid as entity_id,
        nullif(i.version, '')::bigint as version, nullif(i.actor_id, '')::uuid as actor_id, nullif(i.op, '') as op,
        nullif(i.control, '')::jsonb as control, nullif(i.changes, '')::jsonb as changes, i.quiet::boolean,
        i.override::boolean, nullif(i.body, '') as body
      from unnest(
        string_to_array(${joined(rows, ({ shard }) => shard)}, ${separator}),
        string_to_array(${joined(rows, ({ n }) => n)}, ${separator}),
        string_to_array(${joined(rows, ({ entry }) => entry.scope)}, ${separator}),
        string_to_array(${joined(rows, ({ entry }) => entry.type)}, ${separator}),
        string_to_array(${joined(rows, ({ entry }) => entry.id)}, ${separator}),
        string_to_array(${joined(rows, ({ entry }) => entry.version)}, ${separator}),
        string_to_array(${joined(rows, ({ entry }) => entry.actorId)}, ${separator}),
        string_to_array(${joined(rows, ({ op }) => op)}, ${separator}),
        string_to_array(${joined(rows, ({ entry }) => entry.control && JSON.stringify(entry.control))}, ${separator}),
        string_to_array(${joined(rows, ({ changesText }) => changesText)}, ${separator}),
        string_to_array(${joined(rows, ({ quiet }) => quiet)}, ${separator}),
        string_to_array(${joined(rows, ({ override }) => override)}, ${separator}),
        string_to_array(${joined(rows, ({ body }) => body)}, ${separator})
      ) as i (shard, n, scope, type, entity_id, version, actor_id, op, control, changes, quiet, override, body)
    ), head as (
      update feed_head h set seq = h.seq + c.n
      from (select shard, count(*) as n from input group by shard) c
      where h.shard = c.shard
      returning h.shard, h.epoch, h.seq - c.n as base, clock_timestamp()::timestamptz(3) as at
    ), numbered as (
      select i.*, h.epoch, h.at, h.base + i.n as seq
      from input i join head h using (shard)
    ), written as (
      insert into feed (
        shard, seq, at, scope, type, entity_id, version, actor_id, op, control, changes, quiet, override, frame)
      select
        shard, seq, at, scope, type, entity_id, coalesce(version, seq), actor_id, op, control, changes, quiet, override,
        '{"t":"event","scope":"' || scope || '","cursor":"' || epoch || '.' || shard || '.' || seq
          || '","version":' || coalesce(version, seq)
          || ',"at":"' || to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') || '",' || body
      from numbered
    ), scope_heads as (
      insert into scope_head (scope, seq)
      select scope, max(seq) from numbered group by scope
      on conflict (scope) do update set seq = excluded.seq
    ), filled as (
      ${claims.length > 0 ? fillClaims(tx, claims) : tx`select`}
    )
    select shard, epoch, base, at from head`

/**
 * The end of `append`'s statement: stores responses, with the cursor of each that has one. The rows exist since they were
 * claimed; an insert with a conflict finds them by their key, whatever a plan says of the size of the table.
 */
const fillClaims = (tx: Tx, claims: object[]) => tx`
      insert into idempotency_keys (user_id, method, path, key, fingerprint, status, body, subject, texts, headers)
      select i.user_id, i.method, i.path, i.key, '', i.status, i.body, i.subject, i.texts,
        i.headers || case when h.shard is null then '{}' else
          jsonb_build_object('Tide-Cursor', h.epoch || '.' || h.shard || '.' || (h.base + i.n)) end
      from json_to_recordset(${JSON.stringify(claims)}::text::json) as i (
        user_id uuid, method text, path text, key text, status smallint, headers jsonb, body text, subject jsonb,
        texts jsonb, shard smallint, n bigint)
      left join head h using (shard)
      on conflict on constraint idempotency_keys_pkey do update set
        status = excluded.status, headers = excluded.headers, body = excluded.body, subject = excluded.subject,
        texts = excluded.texts`

const claimRow = (claimed: ClaimedResponse, last: InputRow | undefined): object => {
  const { userId, method, path, key, status, headers, body, subject, texts } = claimed
  const place = { shard: last?.shard ?? null, n: last?.n ?? null }
  return { user_id: userId, method, path, key, status, headers, body, subject, texts, ...place }
}

/** @param counts entries so far by shard; the entries of this write are added. */
const inputRows = (
  { entries, op = null, overrides, trace = null }: WriteAppend,
  counts: Map<number, number>,
): InputRow[] =>
  markQuiet(entries).map(({ entry, quiet }) => {
    const shard = shardOf(entry.scope)
    const n = (counts.get(shard) ?? 0) + 1
    counts.set(shard, n)
    const changes = entry.changes ? withoutLongTexts(entry.changes) : null
    const hasFrame = !quiet && entry.type !== 'control'
    return {
      entry,
      shard,
      n,
      op,
      quiet,
      trace,
      override: overrides !== undefined && isProjectScope(entry.scope) && overrides.has(idOf(entry.scope)),
      changes,
      changesText: changes && JSON.stringify(changes),
      body: hasFrame ? encodeBody(entry, op) : null,
    }
  })

/** The entries as the statement wrote them. */
const numbered = (writes: WriteAppend[], rowsOf: InputRow[][], heads: Head[]): AppendedWrites => {
  const byShard = new Map(heads.map((head) => [head.shard, head]))
  const entries: LogEntry[] = []
  const appended = writes.map(({ cursorScope = null }, index): WriteAppended => {
    let cursor: string | null = null
    let loggedBytes = 0
    for (const row of rowsOf[index]!) {
      const entry = logEntry(row, byShard.get(row.shard)!)
      entries.push(entry)
      loggedBytes += (entry.frame?.length ?? 0) + (row.changesText?.length ?? 0)
      if (entry.scope === cursorScope) cursor = formatCursor({ ...byShard.get(row.shard)!, seq: entry.seq })
    }
    return { cursor, loggedBytes }
  })
  entries.sort((a, b) => a.shard - b.shard || a.seq - b.seq)
  return { epoch: heads[0]?.epoch ?? '', entries, writes: appended }
}

const logEntry = (
  { entry, shard, n, op, quiet, override, trace, changes, body }: InputRow,
  { epoch, base, at }: Head,
): LogEntry => {
  const seq = base + n
  const version = entry.version ?? seq
  const cursor = formatCursor({ epoch, shard, seq })
  return {
    shard,
    seq,
    at,
    scope: entry.scope,
    type: entry.type,
    entityId: entry.id,
    version,
    actorId: entry.actorId,
    op,
    control: entry.control ?? null,
    changes,
    quiet,
    override,
    ...(trace !== null && { trace }),
    frame:
      body === null
        ? null
        : `{"t":"event","scope":"${entry.scope}","cursor":"${cursor}","version":${version},"at":"${at}",${body}`,
  }
}

/** Appends the entries of one write: `appendWrites` for a list of one. */
export const append = async (
  tx: Tx,
  entries: Entry[],
  options: Omit<WriteAppend, 'entries'> = {},
): Promise<Appended & WriteAppended> => {
  const { writes, ...appended } = await appendWrites(tx, [{ entries, ...options }])
  return { ...appended, ...writes[0]! }
}

const markQuiet = (entries: Entry[]): { entry: Entry; quiet: boolean }[] => {
  if (entries.length <= maxLoudEntries) return entries.map((entry) => ({ entry, quiet: false }))
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
