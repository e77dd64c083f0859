// From COMMIT to the streams. Invariant: `publish` never blocks or throws, and memory is bounded while Redis is away.
//
// Problem: committed entries have to reach the streams within a millisecond, but a request must not fail or wait because
// Redis does, and two processes that commit to one shard push in any order. The naive way, a push awaited by each
// request, ties every write to Redis and costs one round trip per write under load. The way chosen: per shard one push
// is in flight, and entries committed meanwhile are sent with the next one, so batches grow with the load. A push whose
// numbers do not continue the stream (another process committed earlier numbers and has not pushed them) changes
// nothing and returns the top; this process then pushes the missing numbers from PostgreSQL itself (repair-stream.ts).
// Above the bounds, or when Redis fails, entries are dropped here: the log has them, and the sweeper pushes them.
import { settledWithin } from '../async/timeout.ts'
import type { Database } from '../db/client.ts'
import type { Appended } from '../db/log/append.ts'
import { shardCount } from '../model/scope.ts'
import { messageOf } from '../errors.ts'
import type { Log } from '../log.ts'
import type { LogEntry } from '../model/event.ts'
import type { Histogram } from '../metrics/histogram.ts'
import type { Redis } from '../redis/connection.ts'
import { recordSpans, runOutsideSpans, SpanKind } from '../tracing/spans.ts'
import { repairStream } from './repair-stream.ts'
import { batchLength, pushEntries } from './stream.ts'
import { bytesOf } from './stream-entry.ts'

/** Pushes committed entries to the streams. Never blocks or throws: the log has the entries. */
export interface Publisher {
  publish(appended: Appended): void
}

export interface StreamPublisher extends Publisher, AsyncDisposable {
  /** Counted since the start. */
  readonly stats: PublisherStats
}

export interface PublisherStats {
  /** Entries of this process that reached the stream, pushed by any process. */
  pushed: number
  pushes: number
  /** Pushes that did not continue the stream. */
  refused: number
  /** Pushes and repairs that failed. */
  failed: number
  /** Entries dropped here and left to the sweeper. */
  dropped: number
}

export interface PublisherDeps {
  redis: Redis
  db: Database
  log: Log
  /** Seconds from the commit to the reply of the push. */
  commitToStream?: Histogram
}

/** Entries that wait for the push in flight. */
interface ShardQueue {
  epoch: string
  waiting: LogEntry[]
  /** `performance.now()` at which the first of them arrived. */
  since: number
  bytes: number
  running: Promise<void> | null
}

const maxWaitingEntries = 5_000
const maxWaitingBytes = 4 * 1024 * 1024
const closeTimeoutMs = 2_000

export const createPublisher = (deps: PublisherDeps): StreamPublisher => {
  const { redis, log } = deps
  const stats: PublisherStats = { pushed: 0, pushes: 0, refused: 0, failed: 0, dropped: 0 }
  const queues = Array.from({ length: shardCount }, (): ShardQueue => ({
    epoch: '',
    waiting: [],
    since: 0,
    bytes: 0,
    running: null,
  }))
  let isFailing = false

  const drop = (queue: ShardQueue): void => {
    stats.dropped += queue.waiting.length
    queue.waiting = []
    queue.bytes = 0
  }

  const take = (queue: ShardQueue): LogEntry[] => {
    // Transactions of one shard commit in order, but their results may be read out of order.
    queue.waiting.sort((a, b) => a.seq - b.seq)
    const batch = queue.waiting.splice(0, batchLength(queue.waiting))
    for (const entry of batch) queue.bytes -= bytesOf(entry)
    return batch
  }

  const drain = async (queue: ShardQueue, shard: number): Promise<void> => {
    while (queue.waiting.length > 0) {
      const { epoch } = queue
      const { since } = queue
      const batch = take(queue)
      const upTo = batch.at(-1)!.seq
      const sentAt = performance.now()
      try {
        stats.pushes += 1
        const top = await pushEntries(redis, epoch, shard, batch)
        if (top < upTo) {
          stats.refused += 1
          await repairStream(deps, { epoch, shard, top, upTo })
        }
        stats.pushed += batch.length
        deps.commitToStream?.record((performance.now() - since) / 1000)
        recordPush(shard, batch, sentAt)
        isFailing = false
      } catch (error) {
        stats.failed += 1
        recordPush(shard, batch, sentAt, error)
        stats.dropped += batch.length
        drop(queue)
        const fields = { cause: messageOf(error), oncePerMinute: 'publisher' }
        if (!isFailing) log.warn(fields, 'push to Redis failed: the sweeper of a worker pushes the entries')
        isFailing = true
      }
    }
    queue.running = null // in the same tick as the last check of `waiting`
  }

  const enqueue = (shard: number, epoch: string, entries: LogEntry[]): void => {
    const queue = queues[shard]!
    if (queue.epoch !== epoch) drop(queue)
    queue.epoch = epoch
    if (queue.waiting.length === 0) queue.since = performance.now()
    queue.waiting.push(...entries)
    for (const entry of entries) queue.bytes += bytesOf(entry)
    if (queue.waiting.length > maxWaitingEntries || queue.bytes > maxWaitingBytes) drop(queue)
    if (queue.waiting.length > 0) queue.running ??= runOutsideSpans(() => drain(queue, shard))
  }

  return {
    stats,
    publish({ epoch, entries }: Appended) {
      // A batch of writes has entries of most shards: their pushes leave in one packet.
      const { stream } = redis
      stream?.cork()
      process.nextTick(() => stream?.uncork())
      for (const [shard, own] of Map.groupBy(entries, (entry) => entry.shard)) enqueue(shard, epoch, own)
    },
    async [Symbol.asyncDispose]() {
      const running = Promise.all(queues.flatMap((queue) => queue.running ?? []))
      await settledWithin(closeTimeoutMs, running)
    },
  }
}

/** A push is a span of each write that has entries in it. */
const recordPush = (shard: number, batch: LogEntry[], startedAt: number, error?: unknown): void =>
  recordSpans(
    batch.map(({ trace = null }) => trace),
    'push',
    {
      kind: SpanKind.PRODUCER,
      startedAt,
      attributes: {
        'messaging.system': 'redis',
        'messaging.operation.type': 'send',
        'tasktide.shard': shard,
        'messaging.batch.message_count': batch.length,
      },
    },
    error,
  )
