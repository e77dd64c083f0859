// From COMMIT to the streams. `publish` takes what this process committed and never waits or throws; per shard one
// push is in flight, and what arrives meanwhile goes with the next. Whatever is dropped here, because Redis is
// away or slow, the sweeper repairs: the log already has it.
import { settledWithin } from '../async/timeout.ts'
import type { Database } from '../db/client.ts'
import type { Appended } from '../db/log/feed.ts'
import { shardCount } from '../model/scope.ts'
import { messageOf } from '../errors.ts'
import type { Log } from '../log.ts'
import type { LogEntry } from '../model/event.ts'
import type { Redis } from '../redis/connection.ts'
import { repairStream } from './repair-stream.ts'
import { batchLength, pushEntries } from './stream.ts'
import { bytesOf } from './stream-entry.ts'

/** Takes what was committed towards the readers. Never waits, never throws: the log already has it. */
export interface Publisher {
  publish(appended: Appended): void
}

export interface StreamPublisher extends Publisher, AsyncDisposable {
  /** Counted since the start. */
  readonly stats: PublisherStats
}

export interface PublisherStats {
  /** Entries that reached the stream, by whomever. */
  pushed: number
  pushes: number
  /** Pushes that met a hole. */
  refused: number
  /** Pushes and repairs that failed. */
  failed: number
  /** Entries left to the sweeper. */
  dropped: number
}

/** What waits for the push in flight. */
interface ShardQueue {
  epoch: string
  waiting: LogEntry[]
  bytes: number
  running: Promise<void> | null
}

const maxWaitingEntries = 5_000
const maxWaitingBytes = 4 * 1024 * 1024
const closeTimeoutMs = 2_000

export const createPublisher = (deps: { redis: Redis; db: Database; log: Log }): StreamPublisher => {
  const { redis, log } = deps
  const stats: PublisherStats = { pushed: 0, pushes: 0, refused: 0, failed: 0, dropped: 0 }
  const lanes = Array.from({ length: shardCount }, (): ShardQueue => ({
    epoch: '',
    waiting: [],
    bytes: 0,
    running: null,
  }))
  let isFailing = false

  const drop = (lane: ShardQueue): void => {
    stats.dropped += lane.waiting.length
    lane.waiting = []
    lane.bytes = 0
  }

  const take = (lane: ShardQueue): LogEntry[] => {
    // Transactions of one shard commit in order, but their answers may be read out of order.
    lane.waiting.sort((a, b) => a.seq - b.seq)
    const batch = lane.waiting.splice(0, batchLength(lane.waiting))
    for (const entry of batch) lane.bytes -= bytesOf(entry)
    return batch
  }

  const drain = async (lane: ShardQueue, shard: number): Promise<void> => {
    while (lane.waiting.length > 0) {
      const { epoch } = lane
      const batch = take(lane)
      const upTo = batch.at(-1)!.seq
      try {
        stats.pushes += 1
        const top = await pushEntries(redis, epoch, shard, batch)
        if (top < upTo) {
          stats.refused += 1
          await repairStream(deps, { epoch, shard, top, upTo })
        }
        stats.pushed += batch.length
        isFailing = false
      } catch (error) {
        stats.failed += 1
        stats.dropped += batch.length
        drop(lane)
        const fields = { cause: messageOf(error), oncePerMinute: 'publisher' }
        if (!isFailing) log.warn(fields, 'pushing failed; the sweeper will repair it')
        isFailing = true
      }
    }
    lane.running = null // in the same step as the last look at `waiting`
  }

  const enqueue = (shard: number, epoch: string, entries: LogEntry[]): void => {
    const lane = lanes[shard]!
    if (lane.epoch !== epoch) drop(lane)
    lane.epoch = epoch
    lane.waiting.push(...entries)
    for (const entry of entries) lane.bytes += bytesOf(entry)
    if (lane.waiting.length > maxWaitingEntries || lane.bytes > maxWaitingBytes) drop(lane)
    if (lane.waiting.length > 0) lane.running ??= drain(lane, shard)
  }

  return {
    stats,
    publish({ epoch, entries }: Appended) {
      for (const [shard, own] of Map.groupBy(entries, (entry) => entry.shard)) enqueue(shard, epoch, own)
    },
    async [Symbol.asyncDispose]() {
      const running = Promise.all(lanes.flatMap((lane) => lane.running ?? []))
      await settledWithin(closeTimeoutMs, running)
    },
  }
}
