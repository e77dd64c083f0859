// Following the log: every entry of every shard after the start, in order, once. Invariant: entries reach the receiver
// only through `Admission`, which moves a position by the next numbers of its shard.
//
// Problem: entries have to arrive within milliseconds of their commit, in order and without loss, although Redis may
// drop, delay, repeat or forget anything. The naive ways each give up one of these: consuming the streams alone loses
// what a failed push, FLUSHALL or MAXLEN removed, without an error; polling PostgreSQL alone is complete, but costs
// every process a query per shard and tick, and latency of the poll interval. The way chosen reads both. One loop blocks
// on the streams, the other reads all heads every 250 ms with one query and fetches from PostgreSQL only shards that
// are behind. Neither trusts its source: each passes its entries to `Admission`, which drops numbers it has and refuses
// numbers after a gap, and a gap starts one fill per shard from PostgreSQL. So Redis decides the latency and never the
// result, and a process that receives everything by stream does four small queries a second.
//
// A server has a third source: what it committed itself (`offer`). It passes `Admission` as well, so it may come early,
// late or not at all, and saves the way to Redis and back for sockets of the process that wrote.
//
// The cost of reading streams is per read, not per entry: an XREAD names the streams of all shards, and Redis registers and
// unregisters the blocked client with each. Reading again at once makes every push a read of its own (750 pushes/s: 750
// reads/s by each process). So after a read with entries the next one begins `paceMs` later and collects what was
// pushed meanwhile; the first entry after a quiet time is not delayed.
import { setImmediate } from 'node:timers/promises'
import type { Database } from '../../db/client.ts'
import { readHeads, readShard, type Heads } from '../../db/log/feed.ts'
import { messageOf } from '../../errors.ts'
import type { Log } from '../../log.ts'
import type { FeedStages } from '../../metrics/feed-stages.ts'
import type { LogEntry } from '../../model/event.ts'
import { backOffMs } from '../../async/back-off.ts'
import { pause } from '../../async/pause.ts'
import type { RedisConnection } from '../../redis/connection.ts'
import { Admission } from './admission.ts'
import { isContiguous } from './read-log.ts'
import { StreamReader } from './stream-reader.ts'

export interface TailOptions {
  /** Opens a blocking connection: at the start and whenever the last one makes no progress. */
  connect: () => RedisConnection
  /** A small pool of its own: confirmations must not wait behind requests. */
  db: Database
  log: Log
  /** Receives admitted entries: contiguous within a shard, each once. Positions include them already. */
  onEntries(shard: number, entries: LogEntry[]): void
  /** The log has another epoch (a restore, a failover): positions are at its heads, former numbers are void. */
  onEpochChange?(epoch: string): void
  /** Between the end of a read with entries and the next read, milliseconds (0). */
  paceMs?: number | undefined
  stages?: Pick<FeedStages, 'streamToHub' | 'commitToHub'> | undefined
}

export interface TailStats {
  fromStream: number
  fromLog: number
  /** Entries that this process committed and admitted before a stream had them. */
  fromCommit: number
  /** Reads of the streams that had entries. */
  streamReads: number
  /** Gaps before a stream's next entry, as after FLUSHALL; filled from the log. */
  gapFills: number
  /** Gaps within one answer of a stream or of the log: an error, these must not exist. */
  contiguityViolations: number
}

/** The heads, and when (ms since 1970) the reading of them began. */
interface HeadsReading {
  heads: Heads
  startedAt: number
}

const confirmEveryMs = 250
/** Entries committed this recently are usually on their way through the stream. */
const graceMs = 20
const headsDeadlineMs = 2_000
const maxBackoffMs = 500
const stepEntries = 500
/**
 * The next read is this many times further away when one had only entries that are admitted already: where one server
 * commits everything, the streams bring it nothing.
 */
const knownPace = 4
/** After this long the loop over streamed entries yields the event loop. */
const sliceMs = 4

export class Tail implements AsyncDisposable {
  readonly stats: TailStats = {
    fromStream: 0,
    fromLog: 0,
    fromCommit: 0,
    streamReads: 0,
    gapFills: 0,
    contiguityViolations: 0,
  }
  readonly #admission = new Admission()
  #confirmedAt = 0
  /** As the last read found them. */
  #knownHeads: readonly number[] = []
  /** Per shard the last number known to be committed, and the running fill up to it. */
  #targets: number[] = []
  #fills: (Promise<void> | undefined)[] = []
  #reader: StreamReader
  #headsReading: Promise<HeadsReading> | undefined
  #stop = new AbortController()
  #running: Promise<unknown> = Promise.resolve()

  constructor(private readonly options: TailOptions) {
    this.#reader = new StreamReader(options.connect)
  }

  get epoch(): string {
    return this.#admission.epoch
  }

  get #paceMs(): number {
    return this.options.paceMs ?? 0
  }

  /** Per shard the number of the last entry admitted. */
  get positions(): readonly number[] {
    return this.#admission.positions
  }

  /** Per shard how far the position is behind the last known head. */
  get lags(): number[] {
    return this.#knownHeads.map((seq, shard) => Math.max(0, seq - this.positions[shard]!))
  }

  /** When (ms since 1970) the last read of the heads began that found everything before it admitted. */
  get confirmedAt(): number {
    return this.#confirmedAt
  }

  /** Resolves once positions are known, at the heads of that moment; waits for as long as PostgreSQL is away. */
  async start(): Promise<void> {
    await this.#retrying(confirmEveryMs, async () => {
      const startedAt = Date.now()
      this.#moveToHeads(await this.#loadHeads())
      this.#confirmedAt = startedAt
      return 'done'
    })
    this.#running = Promise.all([this.#followStreams(), this.#followLog()])
  }

  /**
   * Moves to an epoch that the caller has just read in the log, which this process may not know yet. If `epoch` differs
   * from it afterwards, `epoch` is newer.
   * @throws AppError `unavailable`.
   */
  async awaitEpoch(epoch: string): Promise<void> {
    // A read that is in flight may have begun before the epoch did; the next one has not.
    for (let reads = 0; reads < 2 && epoch !== this.epoch; reads += 1) await this.#readHeadsShared()
  }

  /**
   * Admits entries of one shard that this process has committed, ascending. Those that do not continue the shard, because
   * another process committed what is before them, arrive by stream.
   */
  offer(epoch: string, shard: number, entries: LogEntry[]): void {
    if (epoch === this.epoch && !this.#stop.signal.aborted) this.#admit(shard, entries, 'fromCommit')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#reader[Symbol.asyncDispose]()
    await this.#running
  }

  /** Runs `step` until it is done or the tail stops, `everyMs` apart, with back-off while it fails. */
  async #retrying(everyMs: number, step: () => Promise<'done' | 'again'>): Promise<void> {
    let failures = 0
    while (!this.#stop.signal.aborted) {
      try {
        if ((await step()) === 'done') return
        failures = 0
      } catch (error) {
        failures += 1
        if (failures === 2)
          this.options.log.warn(
            { cause: messageOf(error), oncePerMinute: 'tail' },
            'log follower failed, retrying',
          )
      }
      const waitMs = failures > 0 ? backOffMs(failures, 50, maxBackoffMs) : everyMs
      if (waitMs > 0) await pause(waitMs, this.#stop.signal)
    }
  }

  #followStreams(): Promise<void> {
    return this.#retrying(0, async () => {
      const epoch = this.epoch
      const batches = await this.#reader.read(epoch, this.#admission.seen).catch((error: unknown) => {
        if (epoch !== this.epoch) return [] // interrupted for the new epoch
        throw error
      })
      const streamed = this.stats.fromStream
      const readAt = performance.now()
      let sliceEndsAt = readAt + sliceMs
      for (const { shard, entries } of batches) {
        if (performance.now() > sliceEndsAt) {
          await setImmediate()
          sliceEndsAt = performance.now() + sliceMs
        }
        if (epoch !== this.epoch) break
        this.#admitStreamed(shard, entries)
      }
      if (batches.length > 0) {
        this.stats.streamReads += 1
        const hasNew = this.stats.fromStream > streamed
        if (hasNew) this.options.stages?.streamToHub.record((performance.now() - readAt) / 1000)
        if (this.#paceMs > 0) await Bun.sleep(hasNew ? this.#paceMs : this.#paceMs * knownPace)
      }
      return 'again'
    })
  }

  #admitStreamed(shard: number, entries: LogEntry[]): void {
    const last = entries.at(-1)!.seq
    if (!isContiguous(entries, entries[0]!.seq - 1)) this.#violation(shard, 'stream', entries)
    this.#admission.noteSeen(shard, last)
    this.#admit(shard, entries, 'fromStream')
    if (this.positions[shard]! >= last) return
    if (!this.#fills[shard]) this.stats.gapFills += 1
    this.#catchUp(shard, last).catch(() => {}) // the next read of the heads finds the gap again
  }

  #followLog(): Promise<void> {
    return this.#retrying(confirmEveryMs, async () => {
      const { heads, startedAt } = await this.#readHeadsShared()
      this.#knownHeads = heads.seqs
      const behind = () => heads.seqs.flatMap((seq, shard) => (this.positions[shard]! < seq ? [shard] : []))
      if (behind().length > 0) await pause(graceMs + 2 * this.#paceMs, this.#stop.signal)
      await Promise.all(behind().map((shard) => this.#catchUp(shard, heads.seqs[shard]!)))
      if (behind().length === 0) this.#confirmedAt = startedAt
      return 'again'
    })
  }

  /** Reads the heads, and moves to a new epoch if they have one. Concurrent calls share one read. */
  #readHeadsShared(): Promise<HeadsReading> {
    return (this.#headsReading ??= this.#readHeads().finally(() => (this.#headsReading = undefined)))
  }

  async #readHeads(): Promise<HeadsReading> {
    const startedAt = Date.now()
    const heads = await this.#loadHeads()
    if (heads.epoch !== this.epoch) {
      this.options.log.warn({ epoch: heads.epoch }, 'the log has a new epoch')
      this.#moveToHeads(heads)
      this.#reader.interrupt()
      this.options.onEpochChange?.(heads.epoch)
    }
    return { heads, startedAt }
  }

  #loadHeads(): Promise<Heads> {
    return this.options.db.read(readHeads, { deadlineMs: headsDeadlineMs })
  }

  #moveToHeads(heads: Heads): void {
    this.#admission.moveToHeads(heads)
    this.#targets = [...heads.seqs]
    this.#fills = heads.seqs.map(() => undefined)
  }

  /** Admits entries from the log until the shard is at `upTo` or beyond. Concurrent calls share one fill per shard. */
  #catchUp(shard: number, upTo: number): Promise<void> {
    this.#targets[shard] = Math.max(this.#targets[shard]!, upTo)
    return (this.#fills[shard] ??= this.#fill(shard, this.#fills))
  }

  async #fill(shard: number, fills: (Promise<void> | undefined)[]): Promise<void> {
    const epoch = this.epoch
    try {
      while (this.positions[shard]! < this.#targets[shard]! && !this.#stop.signal.aborted) {
        const [after, upTo] = [this.positions[shard]!, this.#targets[shard]!]
        const entries = await this.options.db.read((sql) => readShard(sql, shard, after, upTo, stepEntries))
        if (epoch !== this.epoch) return
        if (entries.length === 0) return // committed entries are missing: the sweeper detects it and logs an error
        if (!isContiguous(entries, after)) {
          this.#violation(shard, 'log', entries)
          this.#admission.skipTo(shard, entries[0]!.seq - 1) // past retention
        }
        this.#admit(shard, entries, 'fromLog')
      }
    } finally {
      fills[shard] = undefined // in the same tick as the last comparison with the target
    }
  }

  #admit(shard: number, entries: LogEntry[], source: 'fromStream' | 'fromLog' | 'fromCommit'): void {
    const next = this.#admission.admit(shard, entries)
    if (next.length === 0) return
    this.stats[source] += next.length
    // Of the oldest one; the clocks of PostgreSQL and of this process may differ.
    this.options.stages?.commitToHub.record(Math.max(0, Date.now() - Date.parse(next[0]!.at)) / 1000)
    try {
      this.options.onEntries(shard, next)
    } catch (error) {
      this.options.log.error({ err: error, shard }, 'a receiver of log entries threw')
    }
  }

  #violation(shard: number, source: string, entries: LogEntry[]): void {
    this.stats.contiguityViolations += 1
    const seqs = { first: entries[0]!.seq, last: entries.at(-1)!.seq, count: entries.length }
    this.options.log.error(
      { shard, source, position: this.positions[shard], ...seqs },
      'entries are not contiguous',
    )
  }
}
