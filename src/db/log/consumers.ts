// Positions of consumers. Invariant: a position moves only from the number at which its transaction
// started, together with the effects; where another worker moved it first, the transaction rolls back.
import type postgres from 'postgres'
import { shardCount } from '../../model/scope.ts'
import type { Queryable, Tx } from '../client.ts'
import { isEpochGood } from './epochs.ts'

/** One move of a position past entries that were read in `epoch`. */
export interface PositionMove {
  consumer: string
  epoch: string
  shard: number
  from: number
  to: number
}

/** Another worker moved the position, or the entries belong to a void epoch: the transaction must roll back. */
export class PositionMoved extends Error {
  override readonly name = 'PositionMoved'

  constructor({ consumer, epoch, shard, from }: PositionMove) {
    super(`${consumer} is no longer at ${epoch}.${shard}.${from}`)
  }
}

/** The cheapest statement: whether PostgreSQL answers. */
export const answers = async (sql: Queryable): Promise<void> => {
  await sql`select 1`
}

/** Inserts positions of a new consumer at the heads of one snapshot; existing positions stay. */
export const insertPositions = async (sql: Queryable, consumer: string): Promise<void> => {
  await sql`
    insert into consumer_cursor (consumer, shard, seq)
    select ${consumer}, shard, seq from feed_head
    on conflict do nothing`
}

/** Inserts positions of a new consumer before the oldest entry of each shard that the log has; existing positions stay. */
export const insertOldestPositions = async (sql: Queryable, consumer: string): Promise<void> => {
  await sql`
    insert into consumer_cursor (consumer, shard, seq)
    select ${consumer}, h.shard, coalesce((select f.seq - 1 from feed f where f.shard = h.shard order by f.seq limit 1), h.seq)
    from feed_head h
    where not exists (select from consumer_cursor c where c.consumer = ${consumer} and c.shard = h.shard)
    on conflict do nothing`
}

/**
 * The last entry of each project of `home (project_id)` as `head (scope, seq)`, and the number up to which a consumer has
 * processed its shard as `passed (seq)`, null for a consumer without positions: what is read after `from`.
 */
export const headsAndPositions = (
  sql: Queryable,
  home: postgres.PendingQuery<postgres.Row[]> | ReturnType<Queryable>,
  consumer: string,
): ReturnType<Queryable> => sql`
  ${home}
  cross join lateral (
    select scope, seq from scope_head where scope = 'project:' || home.project_id offset 0
  ) head
  cross join lateral (
    select (
      select seq from consumer_cursor
      where consumer = ${consumer} and shard = get_byte(sha256(convert_to(head.scope, 'UTF8')), 0) % ${shardCount}
    ) as seq offset 0
  ) passed`

/** The number up to which the consumer has processed the shard. */
export const selectPosition = async (sql: Queryable, consumer: string, shard: number): Promise<number> => {
  const [row] = await sql<{ seq: number }[]>`
    select seq from consumer_cursor where consumer = ${consumer} and shard = ${shard}`
  if (!row) throw new Error(`consumer ${consumer} has no position in shard ${shard}`)
  return row.seq
}

/**
 * Moves the position and locks it until commit. Counts the move in `moves`: a trigger of migration 0010 takes a move that
 * does not count for one of a previous worker.
 * @throws PositionMoved unless the position is at `from` and the entries up to `to`, read in `epoch`, are still in the
 * log: a stream may have more than a PostgreSQL that failed over.
 */
export const updatePosition = async (tx: Tx, move: PositionMove): Promise<void> => {
  const { consumer, epoch, shard, from, to } = move
  const moved = await tx`
    update consumer_cursor set seq = ${to}, moves = moves + 1
    where consumer = ${consumer} and shard = ${shard} and seq = ${from} and ${isEpochGood(tx, tx`${shard}`, tx`${epoch}`)}
    returning seq`
  if (moved.length === 0) throw new PositionMoved(move)
}

/** Moves many positions, locked in one order. Returns which of them moved; the same rules as `updatePosition`. */
export const updatePositions = async (tx: Tx, moves: readonly PositionMove[]): Promise<boolean[]> => {
  const consumers = moves.map(({ consumer }) => consumer)
  const shards = moves.map(({ shard }) => shard)
  await tx`
    select from consumer_cursor
    where (consumer, shard) in (select * from unnest(${consumers}::text[], ${shards}::int[]))
    order by consumer, shard
    for update`
  const moved = await tx<{ place: number }[]>`
    update consumer_cursor set seq = move.until, moves = moves + 1
    from unnest(
      ${consumers}::text[], ${shards}::int[], ${moves.map(({ epoch }) => epoch)}::text[],
      ${moves.map(({ from }) => from)}::bigint[], ${moves.map(({ to }) => to)}::bigint[])
      with ordinality as move (consumer, shard, epoch, start, until, place)
    where consumer_cursor.consumer = move.consumer and consumer_cursor.shard = move.shard
      and consumer_cursor.seq = move.start and ${isEpochGood(tx, tx`move.shard`, tx`move.epoch`)}
    returning move.place::int as place`
  const places = new Set(moved.map(({ place }) => place))
  return moves.map((_, index) => places.has(index + 1))
}
