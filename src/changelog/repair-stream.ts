// Pushing the entries that a shard's stream lacks, read from PostgreSQL. Used by the publisher after a push that did not
// continue the stream, and by the sweeper. Bounded: eight steps per call, and never more than a stream keeps.
//
// Problem: a stream that is empty (FLUSHALL, a new epoch) or far behind would take the whole log to fill. The naive way,
// pushing everything after its top, reads up to 20,000 entries per shard that hardly a client resumes from. The way chosen: an
// empty stream starts 512 numbers below the head, one that is so far behind that all of it would be trimmed is dropped
// first, and one whose next number retention has removed is dropped too, because a stream must stay contiguous.
import type { Database } from '../db/client.ts'
import { readShard } from '../db/log/feed.ts'
import type { LogEntry } from '../model/event.ts'
import type { Redis } from '../redis/connection.ts'
import { batchLength, dropStream, maxStreamEntries, pushEntries } from './stream.ts'

export interface RepairDeps {
  redis: Redis
  db: Database
}

export interface StreamGap {
  epoch: string
  shard: number
  /** The last number in the stream, 0 when it is empty. */
  top: number
  /** The last number it has to reach. */
  upTo: number
}

const stepEntries = 256
const maxSteps = 8

/** How far below the head an empty stream starts: enough for clients that resume now, and filled in two steps. */
const recentEntries = 512

/**
 * Pushes entries (top, upTo]. Returns `more` when the bound on steps was reached or another process emptied the stream:
 * compare again; `nothing` when the log no longer keeps any of them. Throws what PostgreSQL and Redis throw.
 */
export const repairStream = async (
  deps: RepairDeps,
  { epoch, shard, top, upTo }: StreamGap,
): Promise<'done' | 'more' | 'nothing'> => {
  const { redis, db } = deps
  let isEmpty = top === 0
  if (!isEmpty && upTo - top > maxStreamEntries) {
    await dropStream(redis, epoch, shard) // all its entries would be trimmed on the way
    isEmpty = true
  }
  let reached = isEmpty ? Math.max(0, upTo - recentEntries) : top
  for (let step = 0; step < maxSteps && reached < upTo; step += 1) {
    const entries = await db.read((sql) => readShard(sql, shard, reached, upTo, stepEntries))
    if (entries.length === 0) return 'nothing'
    if (entries[0]!.seq > reached + 1 && !isEmpty) await dropStream(redis, epoch, shard) // retention removed the next number
    const after = await pushAll(redis, epoch, shard, entries)
    if (after < entries.at(-1)!.seq) return 'more' // another process emptied it meanwhile
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
