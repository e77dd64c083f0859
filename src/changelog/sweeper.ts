// Keeping the streams complete whoever crashed: ten times a second their tops are compared with the log's heads
// and what is missing is pushed from PostgreSQL. Any number of these may run; pushing twice does nothing.
import type { Database } from '../db/client.ts'
import { isEpochVoid, readHeads, type Heads } from '../db/log/feed.ts'
import { messageOf } from '../errors.ts'
import type { Log } from '../log.ts'
import { backOffMs } from '../async/back-off.ts'
import { pause } from '../async/pause.ts'
import type { Redis } from '../redis/connection.ts'
import { repairStream } from './repair-stream.ts'
import { readTop } from './stream.ts'

export interface SweeperOptions {
  redis: Redis
  db: Database
  log: Log
  /** Commits were lost: this epoch is to be replaced. Called again until it is. */
  onLost: (epoch: string) => Promise<unknown>
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
export const startSweeper = ({ redis, db, log, onLost, everyMs = 100 }: SweeperOptions): Sweeper => {
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

  const end = async (epoch: string, reason: string): Promise<void> => {
    if (alarmedEpoch !== epoch)
      log.error({ epoch, reason }, 'commits were lost: clients will read snapshots anew')
    alarmedEpoch = epoch
    await onLost(epoch)
  }

  const sweep = async (before: Heads): Promise<void> => {
    const { epoch } = before
    // What was written since may have passed the tops already: then only the failover itself tells of it.
    if (await db.read(isEpochVoid)) return end(epoch, 'PostgreSQL failed over')
    // Tops first: a head read after them is at or above them, unless commits were lost.
    const tops = await Promise.all(before.seqs.map((_, shard) => readTop(redis, epoch, shard)))
    const heads = await db.read(readHeads)
    if (heads.epoch !== epoch) return begin()
    if (tops.some((top, shard) => top > heads.seqs[shard]!)) return end(epoch, 'a stream is ahead of the log')
    known = heads
    for (const [shard, top] of tops.entries()) {
      const head = heads.seqs[shard]!
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
        if (failures === 2)
          log.warn({ cause: messageOf(error), oncePerMinute: 'sweeper' }, 'the sweeper cannot work')
      }
      await pause(failures > 0 ? backOffMs(failures, everyMs, maxBackoffMs) : everyMs, stop.signal)
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
