// The sweeper keeps the streams complete: it compares their tops with the heads of the log and pushes missing entries
// from PostgreSQL. Any number of sweepers may run; pushing twice does nothing.
//
// Problem: a process that is killed between COMMIT and push, or that dropped entries while Redis was away, leaves a
// stream behind the log; followers then wait for their 250 ms check. The naive way, pushing whatever a stream lacks in
// every tick, duplicates the work of all publishers, because at any moment some entries are committed and in flight to
// Redis. The way chosen: ten times a second, entries count as missing only if they were at or below the head of the tick
// before, so a healthy system sweeps nothing and a crash is repaired within 200 ms; a stream that Redis lost, within a
// second. The same comparison detects lost
// commits: tops are read before heads, so a top above its head means that PostgreSQL lost what it had acknowledged (a
// restore, a failover), and the epoch is replaced.
import type { Database } from '../db/client.ts'
import { isEpochVoid } from '../db/log/epochs.ts'
import { readHeads, type Heads } from '../db/log/feed.ts'
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
  /** Commits were lost: replaces this epoch. Called in every tick until it is replaced. */
  onLost: (epoch: string) => Promise<unknown>
  everyMs?: number
}

export interface SweeperStats {
  ticks: number
  /** Streams found behind and filled. */
  repairs: number
  failures: number
  /** Epochs that ended because PostgreSQL had lost commits. */
  losses: number
}

export interface Sweeper extends AsyncDisposable {
  readonly stats: SweeperStats
}

const maxBackoffMs = 1_000
/** Ticks between two that ask for all tops: a second. Asking for each of 16 in every tick was half of an idle Redis's work. */
const wholeEveryTicks = 10

/** Runs until disposed; retries with back-off while PostgreSQL or Redis is away. */
export const startSweeper = ({ redis, db, log, onLost, everyMs = 100 }: SweeperOptions): Sweeper => {
  const stats: SweeperStats = { ticks: 0, repairs: 0, failures: 0, losses: 0 }
  const stop = new AbortController()
  /** Heads of the tick before: numbers up to these should have reached the streams, later ones may be in flight. */
  let known: Heads | null = null
  /** Per shard the head up to which the log keeps no entries to push. */
  let barren: number[] = []
  /** Per shard the top of the tick before. */
  let reached: number[] = []
  let rounds = 0
  let alarmedEpoch = ''

  const begin = async (): Promise<void> => {
    known = await db.read(readHeads)
    barren = known.seqs.map(() => 0)
    reached = known.seqs.map(() => -1)
  }

  const end = async (epoch: string, reason: string): Promise<void> => {
    if (alarmedEpoch !== epoch) {
      stats.losses += 1
      log.error(
        { epoch, reason },
        'commits were lost: a new epoch starts and clients read their snapshots again',
      )
    }
    alarmedEpoch = epoch
    await onLost(epoch)
  }

  const sweep = async (before: Heads): Promise<void> => {
    const { epoch } = before
    // New writes may have passed the tops already: then only the failover itself reveals the loss.
    if (await db.read(isEpochVoid)) return end(epoch, 'PostgreSQL failed over')
    // Tops before heads: a head read later is at or above its top, unless commits were lost.
    const isWhole = rounds % wholeEveryTicks === 0
    rounds += 1
    const answers = await Promise.allSettled(
      // A stream that reached its head is asked for again when the head has moved, and now and then: Redis may lose it.
      before.seqs.map(async (seq, shard) =>
        !isWhole && seq === reached[shard] ? seq : readTop(redis, epoch, shard),
      ),
    )
    const failures = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason] : []))
    if (failures.length === answers.length) throw failures[0]
    const tops = answers.map((answer) => (answer.status === 'fulfilled' ? answer.value : -1))
    const heads = await db.read(readHeads)
    if (heads.epoch !== epoch) return begin()
    if (tops.some((top, shard) => top > heads.seqs[shard]!)) return end(epoch, 'a stream is ahead of the log')
    known = heads
    reached = tops
    for (const [shard, top] of tops.entries()) {
      if (stop.signal.aborted) return
      const head = heads.seqs[shard]!
      if (top < 0 || top >= before.seqs[shard]! || barren[shard] === head) continue
      try {
        const outcome = await repairStream({ redis, db }, { epoch, shard, top, upTo: head })
        if (outcome === 'nothing') barren[shard] = head
        else stats.repairs += 1
      } catch (error) {
        // Redis may be full for one stream and have room for the next.
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
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
          log.warn({ cause: messageOf(error), oncePerMinute: 'sweeper' }, 'sweeper failed, retrying')
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
