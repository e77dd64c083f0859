// One Redis stream per shard and epoch: a contiguous slice of the end of the log. Invariant: the id of an entry is its
// number in the log, and the push script extends the slice only by the next number, so any process may push any entries,
// twice, late or after a crash. Entries that a stream lacks are read from PostgreSQL.
import type { LogEntry } from '../model/event.ts'
import { shardCount } from '../model/scope.ts'
import type { Redis } from '../redis/connection.ts'
import { bytesOf, decodeEntry, encodeEntry, type RawEntry } from './stream-entry.ts'
import { scriptOf } from '../redis/script.ts'
import pushText from '../redis/scripts/push-entries.lua' with { type: 'text' }

const pushScript = scriptOf(pushText)

/** The braces keep a shard's keys in one slot of a Redis Cluster. */
export const streamKey = (epoch: string, shard: number): string => `tide:{${shard}}:${epoch}`

/** Of each shard. */
export const maxStreamEntries = 20_000
export const maxStreamBytes = 64 * 1024 * 1024
/** All streams together have at most half of the memory that Redis may use (`maxmemory`), whatever that is. */
const partsOfMemory = 2 * shardCount

/** A stream without pushes expires after a day, as those of former epochs do. The sweeper restores one that is in use. */
const idleSeconds = 86_400

export interface StreamBounds {
  maxEntries: number
  maxBytes: number
}

const bounds: StreamBounds = { maxEntries: maxStreamEntries, maxBytes: maxStreamBytes }

/**
 * Appends entries of one shard with successive numbers and returns the stream's top afterwards. Numbers at or below the
 * top are skipped. A result below the last number means that the push would have left a gap: nothing was appended. An
 * empty stream starts at any number.
 */
export const pushEntries = async (
  redis: Redis,
  epoch: string,
  shard: number,
  entries: readonly LogEntry[],
  { maxEntries, maxBytes }: StreamBounds = bounds,
): Promise<number> => {
  const after = entries.length === 0 ? 0 : entries[0]!.seq - 1
  const fields = entries.flatMap(encodeEntry)
  const key = streamKey(epoch, shard)
  return Number(
    await pushScript.run(redis, key, after, maxEntries, maxBytes, partsOfMemory, idleSeconds, ...fields),
  )
}

/** The last number in a shard's stream, 0 when it is empty. */
export const readTop = (redis: Redis, epoch: string, shard: number): Promise<number> =>
  pushEntries(redis, epoch, shard, [])

/** Deletes a shard's stream; readers read the log instead. */
export const dropStream = async (redis: Redis, epoch: string, shard: number): Promise<void> => {
  await redis.unlink(streamKey(epoch, shard))
}

/** The stream's entries with numbers in (after, upTo], at most `limit`; they may begin later and end earlier. */
export const readStream = async (
  redis: Redis,
  epoch: string,
  shard: number,
  after: number,
  upTo: number,
  limit: number,
): Promise<LogEntry[]> => {
  const key = streamKey(epoch, shard)
  const raw: RawEntry[] = await redis.xrange(key, `${after + 1}-0`, `${upTo}-0`, 'COUNT', limit)
  return raw.map((entry) => decodeEntry(shard, entry))
}

const maxBatchEntries = 256
const maxBatchBytes = 1024 * 1024

/** How many entries from the start one push takes: successive numbers, bounded in count and bytes. */
export const batchLength = (entries: readonly LogEntry[]): number => {
  const first = entries[0]?.seq ?? 0
  let bytes = 0
  let length = 0
  while (length < entries.length && length < maxBatchEntries && entries[length]!.seq === first + length) {
    bytes += bytesOf(entries[length]!)
    if (bytes > maxBatchBytes && length > 0) break
    length += 1
  }
  return length
}
