// Keeping the streams complete whoever crashed: ten times a second their tops are compared with the log's heads
// and what is missing is pushed from PostgreSQL. Any number of these may run; pushing twice does nothing.
import type { Database } from '../db/client.ts'
import { readHeads, type Heads } from '../db/feed.ts'
import { messageOf } from '../errors.ts'
import type { Log } from '../log.ts'
import { backoffMs, pause } from './pause.ts'
import type { Redis } from './redis.ts'
import { repairStream } from './repair.ts'
import { readTop } from './stream.ts'

export interface SweeperOptions {
  redis: Redis
  db: Database
  log: Log
  /** A stream is ahead of the log: commits were lost, a new epoch is due. Called once an epoch. */
  onAhead: (found: { epoch: string; shard: number; top: number; head: number }) => void
  everyMs?: number
}

export interface SweeperStats {
  ticks: number
  /** Streams found behind and brought on. */
  repairs: number
  failures: number
}

export interface Sweeper extends AsyncDisposable {
  readonly stats: SweeperStats
}

const maxBackoffMs = 1_000

/** Runs until disposed, whatever is away. */
export const startSweeper = ({ redis, db, log, onAhead, everyMs = 100 }: SweeperOptions): Sweeper => {
  const stats: SweeperStats = { ticks: 0, repairs: 0, failures: 0 }
  const stop = new AbortController()
  /** Heads of the tick before: what has not reached the stream since then is late, the rest on its way. */
  let known: Heads | null = null
  /** Per shard the head up to which the log keeps nothing the stream could be given. */
  let barren: number[] = []
  let alarmedEpoch = ''

  const begin = async (): Promise<void> => {
    known = await db.read(readHeads)
    barren = known.seqs.map(() => 0)
  }

  const sweep = async (before: Heads): Promise<void> => {
    const { epoch } = before
    // Tops first: a head read after them is at or above them, unless commits were lost.
    const tops = await Promise.all(before.seqs.map((_, shard) => readTop(redis, epoch, shard)))
    const heads = await db.read(readHeads)
    if (heads.epoch !== epoch) return begin()
    known = heads
    for (const [shard, top] of tops.entries()) {
      const head = heads.seqs[shard]!
      if (top > head && alarmedEpoch !== epoch) {
        alarmedEpoch = epoch
        log.error({ epoch, shard, top, head }, 'a stream is ahead of the log: commits were lost')
        onAhead({ epoch, shard, top, head })
      }
      if (top >= before.seqs[shard]! || barren[shard] === head) continue
      const outcome = await repairStream({ redis, db }, { epoch, shard, top, upTo: head })
      if (outcome === 'nothing') barren[shard] = head
      else stats.repairs += 1
    }
  }

  const run = async (): Promise<void> => {
    let failures = 0
    while (!stop.signal.aborted) {
      try {
        await (known ? sweep(known) : begin())
        stats.ticks += 1
        failures = 0
      } catch (error) {
        failures += 1
        stats.failures += 1
        if (failures === 2) log.warn({ cause: messageOf(error) }, 'the sweeper cannot work')
      }
      await pause(failures > 0 ? backoffMs(failures, everyMs, maxBackoffMs) : everyMs, stop.signal)
    }
  }

  const running = run()
  return {
    stats,
    async [Symbol.asyncDispose]() {
      stop.abort()
      await running
    },
  }
}
