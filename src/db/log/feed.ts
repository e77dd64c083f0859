// Reading the log in PostgreSQL: heads, entries of shards, and frames of scopes.
import { shardCount, type Scope } from '../../model/scope.ts'
import { AppError } from '../../errors.ts'
import { type LogEntry } from '../../model/event.ts'
import type { Queryable } from '../client.ts'

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
  select ${entryColumns(sql)} from feed
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

/** Of `feed`, for a row that is a `LogEntry`. */
export const entryColumns = (sql: Queryable) => sql`
  shard, seq, at, scope, type, entity_id as "entityId", version, actor_id as "actorId",
  op, control, changes, quiet, override, frame`
