// Reading the log from any number on: from memory, else from the stream, else from PostgreSQL, whichever has the next
// number. While Redis is slow or away, reading is slower and returns the same.
import type { DatabaseCalls } from '../../db/client.ts'
import { readShard } from '../../db/log/feed.ts'
import type { LogEntry } from '../../model/event.ts'
import type { Redis } from '../../redis/connection.ts'
import type { Ring } from './ring.ts'
import { readStream } from '../stream.ts'

export interface ReplayDeps {
  ring?: Ring | undefined
  redis: Redis
  db: DatabaseCalls
}

export interface LogPage {
  source: 'ring' | 'stream' | 'log'
  entries: LogEntry[]
}

/**
 * Entries of a shard with numbers in (after, upTo], from `after + 1` on without a gap, at most `limit`. There may be
 * fewer: continue from the last. Empty means that the log has none; a result that begins later than `after + 1` comes
 * from the log, which no longer keeps the entries before it.
 * @throws AppError `unavailable` when only PostgreSQL has them and is away.
 */
export const readLog = async (
  { ring, redis, db }: ReplayDeps,
  epoch: string,
  shard: number,
  after: number,
  upTo: number,
  limit: number,
): Promise<LogPage> => {
  const held = after < upTo && ring?.slice(shard, after, Math.min(limit, upTo - after))
  if (held) return { source: 'ring', entries: held }
  const streamed = await readStreamed(redis, epoch, shard, after, upTo, limit)
  if (streamed) return { source: 'stream', entries: streamed }
  return { source: 'log', entries: await db.read((sql) => readShard(sql, shard, after, upTo, limit)) }
}

/** The same from the stream alone; null when it does not have the next number, or Redis is away. */
export const readStreamed = async (
  redis: Redis,
  epoch: string,
  shard: number,
  after: number,
  upTo: number,
  limit: number,
): Promise<LogEntry[] | null> => {
  const entries = await readStream(redis, epoch, shard, after, upTo, limit).catch(() => [])
  return entries.length > 0 && isContiguous(entries, after) ? entries : null
}

/** Whether the entries have exactly the successive numbers after `after`. */
export const isContiguous = (entries: readonly LogEntry[], after: number): boolean =>
  entries.every((entry, index) => entry.seq === after + 1 + index)
