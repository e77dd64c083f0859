// The log as consumers read it: known up to the follower's positions, read from memory, the stream or PostgreSQL, and
// awaited without polling. Invariant: a wait ends with the next entry of its shard, or after a second.
import { shardCount } from '../../model/scope.ts'
import type { LogFollower } from '../../changelog/follower/log-follower.ts'
import { FairQueue } from '../../limits/fair-queue.ts'
import type { LogEntry } from '../../model/event.ts'

export interface LogSource {
  /** The epoch of the positions; another one means that entries may have been lost. */
  readonly epoch: string
  /** The last known number of the shard. */
  head(shard: number): number
  /** Entries (after, head], ascending, at most `limit`. */
  read(shard: number, after: number, limit: number): Promise<LogEntry[]>
  /** Resolves when the shard's head is above `after`, at the next whole second, or with `wake`. */
  wait(shard: number, after: number): Promise<void>
  /** Ends the waits of a shard. */
  wake(shard: number): void
  /** Runs the work of a consumer that is behind in its turn; without the work where `signal` aborts before. */
  inTurn(consumer: string, signal: AbortSignal, work: () => Promise<void>): Promise<void>
}

export type Followed = Pick<LogFollower, 'epoch' | 'onAdvance' | 'positions' | 'read'>

const wakeEveryMs = 1_000
/**
 * Pages of consumers that are behind, in memory at once. After a time without workers all consumers are behind on all
 * shards: 96 pages of 500 entries took 420 MiB, ten take 260 at the same rate.
 */
const pages = { atOnce: 10, perCaller: 5, maxWaiting: shardCount }

/** One timer wakes all: a timer and an abort listener for each wait cost more than reading the entry it waits for. */
export const createLogSource = (follower: Followed): LogSource & Disposable => {
  const waiting = Array.from({ length: shardCount }, (): (() => void)[] => [])
  const head = (shard: number): number => follower.positions[shard] ?? 0
  const wake = (shard: number): void => {
    const woken = waiting[shard]!
    if (woken.length === 0) return
    waiting[shard] = []
    for (const resolve of woken) resolve()
  }
  const stopListening = follower.onAdvance(wake)
  const turns = new FairQueue(pages)
  const timer = setInterval(() => {
    for (let shard = 0; shard < shardCount; shard += 1) wake(shard)
  }, wakeEveryMs)
  return {
    get epoch() {
      return follower.epoch
    },
    head,
    read: (shard, after, limit) => follower.read(shard, after, limit),
    wait(shard, after) {
      if (head(shard) > after) return Promise.resolve()
      return new Promise((resolve) => waiting[shard]!.push(resolve))
    },
    wake,
    async inTurn(consumer, signal, work) {
      const turn = turns.enter(consumer)
      const readyOrAborted = Promise.withResolvers<void>()
      const onEither = (): void => readyOrAborted.resolve()
      void turn.ready.then(onEither)
      signal.addEventListener('abort', onEither, { once: true })
      try {
        if (!signal.aborted) await readyOrAborted.promise
        if (!signal.aborted) await work()
      } finally {
        signal.removeEventListener('abort', onEither)
        turn.leave()
      }
    },
    [Symbol.dispose]() {
      clearInterval(timer)
      stopListening()
    },
  }
}
