// One Redis stream a shard and epoch: a contiguous slice of the log's end. Invariant: the id of an entry is its
// number in the log, and the push script only ever extends the slice by the next number, so that any process
// may push anything, twice, late or after a crash. What is lost here is read from PostgreSQL.
import type { LogEntry } from '../model/event.ts'
import type { Redis } from '../redis/connection.ts'
import { bytesOf, decodeEntry, encodeEntry, type RawEntry } from './stream-entry.ts'
import pushScript from '../redis/scripts/push-entries.lua' with { type: 'text' }

/** The braces keep a shard's keys in one slot of a Redis Cluster. */
export const streamKey = (epoch: string, shard: number): string => `tide:{${shard}}:${epoch}`

/** Both hold for each shard. */
export const maxStreamEntries = 20_000
export const maxStreamBytes = 64 * 1024 * 1024

/** A stream nobody pushes to ends after a day: those of former epochs. The sweeper restores one that is in use. */
const idleSeconds = 86_400

export interface StreamBounds {
  maxEntries: number
  maxBytes: number
}

const bounds: StreamBounds = { maxEntries: maxStreamEntries, maxBytes: maxStreamBytes }

/**
 * Appends entries of one shard with successive numbers and answers the stream's top afterwards. Numbers at or
 * below the top are skipped; below the last number the answer means a hole, and nothing was appended. An empty
 * stream starts anywhere.
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
  return Number(await redis.eval(pushScript, 1, key, after, maxEntries, maxBytes, idleSeconds, ...fields))
}

/** The last number in a shard's stream, 0 when it is empty. */
export const readTop = (redis: Redis, epoch: string, shard: number): Promise<number> =>
  pushEntries(redis, epoch, shard, [])

/** Forgets what a shard's stream holds; readers take it from the log. */
export const dropStream = async (redis: Redis, epoch: string, shard: number): Promise<void> => {
  await redis.unlink(streamKey(epoch, shard))
}

/** What the stream has with numbers in (after, upTo], at most `limit`; it may begin later and end earlier. */
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

/** The length of the part at the start of `entries` that one push takes: successive numbers, bounded in size. */
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
