// A consumer reads one shard of the log in order and commits what it makes of the entries together with its new
// position: every effect happens exactly once, whatever crashes and whoever else believes to hold the shard.
// Invariant: nothing is skipped but what went to `dead_letter` in the transaction that moved the position past it.
import type { Database, Tx } from '../../db/client.ts'
import { insertDeadLetter, PositionMoved, selectPosition, updatePosition } from '../../db/log/consumers.ts'
import { writeAsSystem } from '../../domain/write.ts'
import { AppError, messageOf } from '../../errors.ts'
import { backoffMs, pause } from '../../async/pause.ts'
import type { Log } from '../../log.ts'
import type { Entry, LogEntry } from '../../model/event.ts'
import type { Publisher } from '../../changelog/publisher.ts'

export interface Consumer {
  readonly name: string
  /** Whether the entry can have an effect; the others only move the position. Cheap, and never throws. */
  concerns(entry: LogEntry): boolean
  /** The effects of entries of one shard, in their order; returns what the log is to say of them. May run again. */
  handle(tx: Tx, entries: LogEntry[]): Promise<Entry[]>
}

/** The log as a consumer sees it: up to where it is known, and any stretch of it. */
export interface LogSource {
  /** Of the numbers: another one means that some were lost. */
  readonly epoch: string
  /** The last number known of the shard. */
  head(shard: number): number
  /** Entries (after, head], ascending, at most `limit`. */
  read(shard: number, after: number, limit: number): Promise<LogEntry[]>
  /** Resolves when the shard has more than `after`, after `ms`, or when `signal` aborts. */
  wait(shard: number, after: number, ms: number, signal: AbortSignal): Promise<void>
}

/** Called at named points, for tests that crash there; never set in production. */
export type Failpoint = (point: 'before-effect' | 'before-commit' | 'after-commit') => Promise<void>

export interface ConsumerDeps {
  db: Database
  publisher: Publisher
  source: LogSource
  log: Log
  failpoint?: Failpoint | undefined
}

/** Counted since the start, over all shards of a consumer. */
export interface ConsumerStats {
  /** Entries passed, with and without effect. */
  entries: number
  /** Entries that were handled. */
  handled: number
  transactions: number
  failures: number
  deadLetters: number
  lastError: string | null
}

export const newStats = (): ConsumerStats => ({
  entries: 0,
  handled: 0,
  transactions: 0,
  failures: 0,
  deadLetters: 0,
  lastError: null,
})

const readEntries = 500
/** Handled in one transaction: each makes at most two entries for one person, and loops keep to 200 a scope. */
const maxHandled = 100
const maxAttempts = 5
const waitMs = 1_000
/** So that a steady trickle is handled in small batches instead of a transaction an entry. */
const batchDelayMs = 20
/** Positions that moved past nothing of interest are stored this often. */
const storeEveryMs = 1_000

/** One consumer on one shard, from its stored position on, until `signal` aborts. Never rejects. */
export class ShardConsumer {
  /** In which what follows is true. */
  #epoch = ''
  /** What the database has; null when that is not known. */
  #stored: number | null = null
  #storedAt = 0
  /** Everything up to here is handled or of no interest. */
  #position = 0
  /** How many entries the next transaction may handle: one after a failure, to find out which it was. */
  #batch = maxHandled
  /** The entry that failed alone, and how often in a row. */
  #failing = { seq: 0, attempts: 0 }
  /** Failures in a row that are nobody's fault: PostgreSQL away, a lock not to be had. */
  #interruptions = 0

  constructor(
    private readonly deps: ConsumerDeps,
    readonly consumer: Consumer,
    readonly shard: number,
    private readonly stats: ConsumerStats,
  ) {}

  /** Entries this lane has still to read. */
  get lag(): number {
    return this.#stored === null ? 0 : Math.max(0, this.deps.source.head(this.shard) - this.#position)
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#step(signal)
        this.#interruptions = 0
      } catch (error) {
        this.#stored = null // committed or not: the database knows
        await pause(this.#backoff(error), signal)
      }
    }
    await this.#store().catch(() => {}) // else the next worker looks at a second's worth of entries again
  }

  async #step(signal: AbortSignal): Promise<void> {
    const { source } = this.deps
    if (this.#epoch !== source.epoch) this.#stored = null // the position may be among what was lost
    this.#epoch = source.epoch
    if (this.#stored === null) await this.#load()
    const entries = await source.read(this.shard, this.#position, readEntries)
    if (entries.length === 0) {
      if (this.#isStoreDue()) await this.#store()
      return source.wait(this.shard, this.#position, waitMs, signal)
    }
    if (entries[0]!.seq !== this.#position + 1) {
      const lost = {
        consumer: this.consumer.name,
        shard: this.shard,
        from: this.#position + 1,
        to: entries[0]!.seq - 1,
      }
      this.deps.log.error(lost, 'the log does not keep these entries any more: their effects are missing')
    }
    await this.#handleAll(entries, signal)
    if (entries.length < readEntries) await pause(batchDelayMs, signal)
  }

  /** Handles the entries, as many a transaction as the lane dares. */
  async #handleAll(entries: LogEntry[], signal: AbortSignal): Promise<void> {
    const concerned = entries.filter((entry) => this.consumer.concerns(entry))
    while (concerned.length > 0) {
      if (signal.aborted) return
      const batch = concerned.splice(0, this.#batch)
      await this.#handle(batch)
      this.#batch = Math.min(this.#batch * 2, maxHandled)
    }
    this.#position = entries.at(-1)!.seq
    if (this.#isStoreDue()) await this.#store()
  }

  async #handle(batch: LogEntry[]): Promise<void> {
    const { failpoint } = this.deps
    await failpoint?.('before-effect')
    try {
      await this.#commit(batch.at(-1)!.seq, async (tx) => {
        const made = await this.consumer.handle(tx, batch)
        await failpoint?.('before-commit')
        return made
      })
      this.stats.handled += batch.length
    } catch (error) {
      if (isInterruption(error)) throw error
      this.#noteFailure(error, batch)
      if (this.#failing.attempts < maxAttempts) throw error
      await this.#deadLetter(error, batch[0]!)
    }
    await failpoint?.('after-commit')
  }

  /** Of several, the next tries find out which it is. */
  #noteFailure(error: unknown, batch: LogEntry[]): void {
    this.stats.failures += 1
    this.stats.lastError = messageOf(error).slice(0, 500)
    this.#batch = 1
    const seq = batch.length === 1 ? batch[0]!.seq : 0
    this.#failing = {
      seq,
      attempts: seq === 0 ? 0 : this.#failing.seq === seq ? this.#failing.attempts + 1 : 1,
    }
  }

  /** Puts the entry aside and goes past it. */
  async #deadLetter(error: unknown, entry: LogEntry): Promise<void> {
    const letter = { consumer: this.consumer.name, entry, error: messageOf(error), attempts: maxAttempts }
    await this.#commit(entry.seq, async (tx) => {
      await insertDeadLetter(tx, letter)
      return []
    })
    this.stats.deadLetters += 1
    const { shard, seq, type } = entry
    this.deps.log.error(
      { consumer: this.consumer.name, shard, seq, type, err: error },
      'given up: see dead_letter',
    )
  }

  /** One transaction: `work`, the position, and what `work` says for the log. */
  async #commit(to: number, work: (tx: Tx) => Promise<Entry[]>): Promise<void> {
    const from = this.#stored!
    await writeAsSystem(this.deps, async (tx) => {
      const entries = await work(tx)
      const { name } = this.consumer
      await updatePosition(tx, { consumer: name, epoch: this.#epoch, shard: this.shard, from, to })
      return { value: null, entries }
    })
    this.stats.transactions += 1
    this.stats.entries += to - from
    this.#stored = this.#position = to
    this.#storedAt = performance.now()
  }

  #isStoreDue(): boolean {
    return this.#position > this.#stored! && performance.now() - this.#storedAt >= storeEveryMs
  }

  async #store(): Promise<void> {
    if (this.#stored !== null && this.#position > this.#stored)
      await this.#commit(this.#position, async () => [])
  }

  async #load(): Promise<void> {
    this.#stored = this.#position = await this.deps.db.read((sql) =>
      selectPosition(sql, this.consumer.name, this.shard),
    )
    this.#storedAt = performance.now()
  }

  /** How long to wait before the next try. */
  #backoff(error: unknown): number {
    if (error instanceof PositionMoved) return batchDelayMs
    const { attempts } = this.#failing
    if (!isInterruption(error)) return attempts === 0 ? 0 : backoffMs(attempts, 100, 5_000)
    this.#interruptions += 1
    if (this.#interruptions === 2) {
      const { name } = this.consumer
      const fields = { consumer: name, shard: this.shard, cause: messageOf(error) }
      this.deps.log.warn({ ...fields, oncePerMinute: `consumer ${name}` }, 'consuming is disturbed')
    }
    return backoffMs(this.#interruptions, 50, 1_000)
  }
}

/** What says nothing about the entry: counted against none, tried until it works. */
const isInterruption = (error: unknown): boolean =>
  error instanceof PositionMoved || (error instanceof AppError && error.code === 'unavailable')
