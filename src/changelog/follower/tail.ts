// Following the log: every entry of every shard after the start, in order, once. Two readers race, the streams for
// speed and PostgreSQL for certainty; both hand what they have to `#deliver`, which alone moves the positions and
// lets through only the very next number. That one check makes any loss of Redis harmless.
import { setImmediate } from 'node:timers/promises'
import type { Database } from '../../db/client.ts'
import { readHeads, readShard, type Heads } from '../../db/log/feed.ts'
import { messageOf } from '../../errors.ts'
import type { Log } from '../../log.ts'
import type { LogEntry } from '../../model/event.ts'
import { backOffMs } from '../../async/back-off.ts'
import { pause } from '../../async/pause.ts'
import type { RedisConnection } from '../../redis/connection.ts'
import { isContiguous } from './read-log.ts'
import { StreamReader } from './stream-reader.ts'

export interface TailOptions {
  /** Opens a blocking connection: at the start and whenever the last one makes no progress. */
  connect: () => RedisConnection
  /** Best a small pool of its own: confirmations must not wait behind requests. */
  db: Database
  log: Log
  /** Called in the order of the log, contiguous within a shard, each entry once. Positions include them already. */
  onEntries(shard: number, entries: LogEntry[]): void
  /** The numbers were moved to another log (a restore): positions are at its heads, what was before is void. */
  onEpochChange?(epoch: string): void
}

export interface TailStats {
  fromStream: number
  fromLog: number
  /** Holes before a stream's next entry, as after FLUSHALL; filled from the log. */
  gapFills: number
  /** Holes inside what a stream or the log answered: those must not exist. */
  contiguityViolations: number
}

/** The heads, and when (ms since 1970) the reading of them began. */
interface HeadsReading {
  heads: Heads
  startedAt: number
}

const confirmEveryMs = 250
/** What was committed this recently is on its way through the stream. */
const graceMs = 20
const headsDeadlineMs = 2_000
const maxBackoffMs = 500
const stepEntries = 500
/** The event loop belongs to others after this long. */
const sliceMs = 4

export class Tail implements AsyncDisposable {
  readonly stats: TailStats = { fromStream: 0, fromLog: 0, gapFills: 0, contiguityViolations: 0 }
  #epoch = ''
  #positions: number[] = []
  #confirmedAt = 0
  /** Per shard the last number seen in the stream, delivered or waiting behind a hole. */
  #seen: number[] = []
  /** Per shard the last number known to be committed, and the catching up to it that is under way. */
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
    return this.#epoch
  }

  /** Per shard the number of the last entry delivered. */
  get positions(): readonly number[] {
    return this.#positions
  }

  /** When (ms since 1970) the last look at the heads began that found everything before it delivered. */
  get confirmedAt(): number {
    return this.#confirmedAt
  }

  /** Resolves once positions are known, at the heads of that moment; waits as long as PostgreSQL is away. */
  async start(): Promise<void> {
    await this.#retrying(confirmEveryMs, async () => {
      const startedAt = Date.now()
      this.#moveToHeads(await this.#heads())
      this.#confirmedAt = startedAt
      return 'done'
    })
    this.#running = Promise.all([this.#followStreams(), this.#followLog()])
  }

  /**
   * Moves to an epoch that somebody just read in the log, which this process may not have noticed yet. After it,
   * another epoch here means a newer one.
   * @throws AppError `unavailable`.
   */
  async awaitEpoch(epoch: string): Promise<void> {
    // A look that is under way may have begun before the epoch did; the next one has not.
    for (let looks = 0; looks < 2 && epoch !== this.#epoch; looks += 1) await this.#readHeadsShared()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#reader[Symbol.asyncDispose]()
    await this.#running
  }

  /** Runs `step` until it is done or the tail stops, `everyMs` apart and less often while it fails. */
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
            'following the log is disturbed',
          )
      }
      const waitMs = failures > 0 ? backOffMs(failures, 50, maxBackoffMs) : everyMs
      if (waitMs > 0) await pause(waitMs, this.#stop.signal)
    }
  }

  #followStreams(): Promise<void> {
    return this.#retrying(0, async () => {
      const epoch = this.#epoch
      const batches = await this.#reader.read(epoch, this.#seen).catch((error: unknown) => {
        if (epoch !== this.#epoch) return [] // interrupted for the new one
        throw error
      })
      let sliceEndsAt = performance.now() + sliceMs
      for (const { shard, entries } of batches) {
        if (performance.now() > sliceEndsAt) {
          await setImmediate()
          sliceEndsAt = performance.now() + sliceMs
        }
        if (epoch !== this.#epoch) break
        this.#admitStreamed(shard, entries)
      }
      return 'again'
    })
  }

  #admitStreamed(shard: number, entries: LogEntry[]): void {
    const last = entries.at(-1)!.seq
    if (!isContiguous(entries, entries[0]!.seq - 1)) this.#violation(shard, 'stream', entries)
    this.#seen[shard] = Math.max(this.#seen[shard]!, last)
    this.#admit(shard, entries, 'fromStream')
    if (this.#positions[shard]! >= last) return
    if (!this.#fills[shard]) this.stats.gapFills += 1
    this.#catchUp(shard, last).catch(() => {}) // the next look at the heads finds it again
  }

  #followLog(): Promise<void> {
    return this.#retrying(confirmEveryMs, async () => {
      const { heads, startedAt } = await this.#readHeadsShared()
      const late = () => heads.seqs.flatMap((seq, shard) => (this.#positions[shard]! < seq ? [shard] : []))
      if (late().length > 0) await pause(graceMs, this.#stop.signal)
      await Promise.all(late().map((shard) => this.#catchUp(shard, heads.seqs[shard]!)))
      if (late().length === 0) this.#confirmedAt = startedAt
      return 'again'
    })
  }

  /** Reads the heads and moves to a new epoch with them. One at a time, whoever asks. */
  #readHeadsShared(): Promise<HeadsReading> {
    return (this.#headsReading ??= this.#readHeads().finally(() => (this.#headsReading = undefined)))
  }

  async #readHeads(): Promise<HeadsReading> {
    const startedAt = Date.now()
    const heads = await this.#heads()
    if (heads.epoch !== this.#epoch) {
      this.options.log.warn({ epoch: heads.epoch }, 'the log has a new epoch')
      this.#moveToHeads(heads)
      this.#reader.interrupt()
      this.options.onEpochChange?.(heads.epoch)
    }
    return { heads, startedAt }
  }

  #heads(): Promise<Heads> {
    return this.options.db.read(readHeads, { deadlineMs: headsDeadlineMs })
  }

  #moveToHeads({ epoch, seqs }: Heads): void {
    this.#epoch = epoch
    this.#positions = [...seqs]
    this.#seen = [...seqs]
    this.#targets = [...seqs]
    this.#fills = seqs.map(() => undefined)
  }

  /** Delivers from the log until the shard is at `upTo` or beyond. One run a shard, whoever asks. */
  #catchUp(shard: number, upTo: number): Promise<void> {
    this.#targets[shard] = Math.max(this.#targets[shard]!, upTo)
    return (this.#fills[shard] ??= this.#fill(shard, this.#fills))
  }

  async #fill(shard: number, fills: (Promise<void> | undefined)[]): Promise<void> {
    const epoch = this.#epoch
    try {
      while (this.#positions[shard]! < this.#targets[shard]! && !this.#stop.signal.aborted) {
        const [after, upTo] = [this.#positions[shard]!, this.#targets[shard]!]
        const entries = await this.options.db.read((sql) => readShard(sql, shard, after, upTo, stepEntries))
        if (epoch !== this.#epoch) return
        if (entries.length === 0) return // known to exist but not there: the sweeper raises the alarm
        if (!isContiguous(entries, after)) {
          this.#violation(shard, 'log', entries)
          this.#positions[shard] = Math.max(this.#positions[shard]!, entries[0]!.seq - 1) // past retention
        }
        this.#admit(shard, entries, 'fromLog')
      }
    } finally {
      fills[shard] = undefined // in the same step as the last look at the target
    }
  }

  /** Lets through what continues the shard and leaves the rest: repeats before it, and all after a hole. */
  #admit(shard: number, entries: LogEntry[], source: 'fromStream' | 'fromLog'): void {
    const position = this.#positions[shard]!
    let from = 0
    while (from < entries.length && entries[from]!.seq <= position) from += 1
    let to = from
    while (to < entries.length && entries[to]!.seq === position + 1 + to - from) to += 1
    if (to === from) return
    const next = from === 0 && to === entries.length ? entries : entries.slice(from, to)
    this.#positions[shard] = position + next.length
    this.#seen[shard] = Math.max(this.#seen[shard]!, position + next.length)
    this.stats[source] += next.length
    try {
      this.options.onEntries(shard, next)
    } catch (error) {
      this.options.log.error({ err: error, shard }, 'what follows the log failed')
    }
  }

  #violation(shard: number, source: string, entries: LogEntry[]): void {
    this.stats.contiguityViolations += 1
    const seqs = { first: entries[0]!.seq, last: entries.at(-1)!.seq, count: entries.length }
    this.options.log.error({ shard, source, position: this.#positions[shard], ...seqs }, 'a hole in the log')
  }
}
