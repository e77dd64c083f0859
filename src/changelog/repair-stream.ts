// Bringing a shard's stream up to the log, from PostgreSQL. Used by writers whose push met a hole and by the
// sweeper. Bounded: a few steps a call, and never more than a stream would keep.
import type { Database } from '../db/client.ts'
import { readShard } from '../db/log/feed.ts'
import type { LogEntry } from '../model/event.ts'
import type { Redis } from '../redis/connection.ts'
import { batchLength, dropStream, maxStreamEntries, pushEntries } from './stream.ts'

export interface RepairDeps {
  redis: Redis
  db: Database
}

export interface Hole {
  epoch: string
  shard: number
  /** The last number in the stream, 0 when it is empty. */
  top: number
  /** The last number it should have. */
  upTo: number
}

const stepEntries = 256
const maxSteps = 8

/** How far back an empty stream begins: enough for those who resume just now, and restored in one or two steps. */
const recentEntries = 512

/**
 * Pushes entries (top, upTo]. `more` when the bound on steps or another process came between: look again;
 * `nothing` when the log no longer keeps any of them. Throws what PostgreSQL and Redis throw.
 */
export const repairStream = async (
  deps: RepairDeps,
  { epoch, shard, top, upTo }: Hole,
): Promise<'done' | 'more' | 'nothing'> => {
  const { redis, db } = deps
  let isEmpty = top === 0
  if (!isEmpty && upTo - top > maxStreamEntries) {
    await dropStream(redis, epoch, shard) // all it has would be trimmed on the way
    isEmpty = true
  }
  let reached = isEmpty ? Math.max(0, upTo - recentEntries) : top
  for (let step = 0; step < maxSteps && reached < upTo; step += 1) {
    const entries = await db.read((sql) => readShard(sql, shard, reached, upTo, stepEntries))
    if (entries.length === 0) return 'nothing'
    if (entries[0]!.seq > reached + 1 && !isEmpty) await dropStream(redis, epoch, shard) // the log begins later
    const after = await pushAll(redis, epoch, shard, entries)
    if (after < entries.at(-1)!.seq) return 'more' // emptied meanwhile
    reached = after
    isEmpty = false
  }
  return reached < upTo ? 'more' : 'done'
}

const pushAll = async (redis: Redis, epoch: string, shard: number, entries: LogEntry[]): Promise<number> => {
  let top = 0
  for (let start = 0; start < entries.length;) {
    const batch = entries.slice(start, start + batchLength(entries.slice(start)))
    top = await pushEntries(redis, epoch, shard, batch)
    if (top < batch.at(-1)!.seq) return top
    start += batch.length
  }
  return top
}
