// One consumer on one shard: reads the log in order and commits the effects of the entries together with the new
// position. Invariants: every effect happens exactly once, also after crashes and beside another worker that believes
// to hold the shard; no entry is skipped except into `dead_letter`, in the transaction that moves the position past it.
import type { Database, Tx } from '../../db/client.ts'
import { insertDeadLetter, PositionMoved, selectPosition, updatePosition } from '../../db/log/consumers.ts'
import type { Publisher } from '../../changelog/publisher.ts'
import { systemWrite, write } from '../../domain/write.ts'
import { AppError, messageOf } from '../../errors.ts'
import { backOffMs } from '../../async/back-off.ts'
import { pause } from '../../async/pause.ts'
import type { Log } from '../../log.ts'
import type { Entry, LogEntry } from '../../model/event.ts'
import { BatchSize } from './batch-size.ts'
import type { Consumer, ConsumerStats } from './consumer.ts'
import type { LogSource } from './log-source.ts'
import type { PositionStore } from './position-store.ts'

export interface ShardConsumerDeps {
  db: Database
  publisher: Publisher
  source: LogSource
  positions: PositionStore
  log: Log
}

const readEntries = 500
/** A consumer that has more before it is behind, and waits for its turn to read them. */
const fewEntries = 100
/** Entries handled in one transaction: each makes at most two entries for one scope, of which sockets receive 200. */
const maxHandled = 100
const maxAttempts = 5
/** Before the next try after another worker moved the position. */
const movedDelayMs = 20
/** How often a position that moved past entries without effect is stored: at the same time for all, in one transaction. */
const storeEveryMs = 1_000
const storePeriod = (): number => Math.floor(performance.now() / storeEveryMs)

/*
 * The problem: each entry must have its effect exactly once, in log order, although workers crash, leases pass to
 * another worker while the old one still runs, and PostgreSQL fails over. The naive way, moving the position before or
 * after the effects, misses or repeats them (three consumers racing on 500 entries repeat some in every run of the
 * control in test/worker). A lease alone does not help: its holder may be paused in the middle of a transaction.
 * The way chosen: effects, appended entries and `update consumer_cursor … where seq = <from>` are one transaction, so
 * that of two racing workers one commits and the other rolls back.
 *
 * The mode follows from `#stored` and `#position`:
 *   unknown  `#stored` null. At the start, after any error (a failed commit may have committed) and in a new epoch (the
 *            position may be among the lost commits). The next step loads the position from the database → stored.
 *   stored   `#stored` equals `#position`. Entries with an effect are handled: commit → stored, error → unknown.
 *   ahead    `#position` above `#stored`: entries without effect were passed in memory. Stored with the next effect,
 *            after `storeEveryMs`, or at the end → stored. A crash here only repeats the reading.
 *
 * An error counts as a failure of the entries or as an interruption:
 *   interruption  The position moved, PostgreSQL is away, a lock is taken: unrelated to the entry. Tried again
 *                 with back-off, without limit and without counting, by half as many entries.
 *   failure       Anything else. A batch of several is tried again one entry a transaction, which isolates the failing
 *                 one; batches double again with each commit. A single entry is tried `maxAttempts` times with
 *                 back-off, then goes to `dead_letter` and the entries after it continue.
 */

export class ShardConsumer {
  /** The epoch that the fields below belong to. */
  #epoch = ''
  /** The position in the database; null while unknown. */
  #stored: number | null = null
  /** The period of `storeEveryMs` in which the position was stored or loaded. */
  #storedIn = 0
  /** Every entry up to here is handled or without effect. */
  #position = 0
  /** Entries that a transaction may handle, and the next one. */
  readonly #batch: BatchSize
  /** Until when entries collect, `performance.now()`. */
  #collectsUntil = 0
  /** The entry that failed alone, and its failures in a row. */
  #failing = { seq: 0, attempts: 0 }
  /** Interruptions in a row. */
  #interruptions = 0

  constructor(
    private readonly deps: ShardConsumerDeps,
    readonly consumer: Consumer,
    readonly shard: number,
    private readonly stats: ConsumerStats,
  ) {
    this.#batch = new BatchSize(consumer.maxBatch ?? maxHandled)
  }

  /** Entries of the shard not read yet; 0 while the position is unknown. */
  get lag(): number {
    return this.#stored === null ? 0 : Math.max(0, this.deps.source.head(this.shard) - this.#position)
  }

  /** Continues from the stored position until `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.deps.source.wake(this.shard), { once: true })
    while (!signal.aborted) {
      try {
        await this.#step(signal)
        this.#interruptions = 0
      } catch (error) {
        this.#stored = null // only the database knows whether the transaction committed
        await pause(this.#backoff(error), signal)
      }
    }
    await this.#store().catch(() => {}) // on failure the next worker reads up to a second of entries again
  }

  async #step(signal: AbortSignal): Promise<void> {
    const { source } = this.deps
    if (this.#epoch !== source.epoch) this.#stored = null
    this.#epoch = source.epoch
    if (this.#stored === null) await this.#load()
    if (source.head(this.shard) - this.#position <= fewEntries) return this.#readPage(signal)
    await source.inTurn(this.consumer.name, signal, () => this.#readPage(signal))
  }

  async #readPage(signal: AbortSignal): Promise<void> {
    const { source } = this.deps
    const entries = await source.read(this.shard, this.#position, readEntries)
    if (entries.length === 0) {
      if (this.#isStoreDue()) await this.#store()
      return signal.aborted ? undefined : source.wait(this.shard, this.#position)
    }
    if (entries[0]!.seq !== this.#position + 1) {
      const missing = {
        consumer: this.consumer.name,
        shard: this.shard,
        from: this.#position + 1,
        to: entries[0]!.seq - 1,
      }
      this.deps.log.error(missing, 'the log no longer keeps these entries, their effects are missing')
    }
    const collectMs = this.#collectsUntil - performance.now()
    // A consumer that is behind has nothing to wait for.
    if (collectMs > 0 && entries.length <= fewEntries && entries.some((one) => this.#concerns(one)))
      return pause(collectMs, signal)
    await this.#handleAll(entries, signal)
  }

  /** Handles the entries that concern the consumer, at most `#batch` in a transaction. */
  async #handleAll(entries: LogEntry[], signal: AbortSignal): Promise<void> {
    const concerned = entries.filter((entry) => this.#concerns(entry))
    while (concerned.length > 0) {
      if (signal.aborted) return
      const batch = concerned.splice(0, this.#batch.value)
      await this.#handle(batch)
      this.#batch.committed()
    }
    this.#position = entries.at(-1)!.seq
    if (this.#isStoreDue()) await this.#store()
  }

  /** An entry that cannot be judged is handled: that fails too, is counted, and ends in `dead_letter`. */
  #concerns(entry: LogEntry): boolean {
    try {
      return this.consumer.concerns(entry)
    } catch {
      return true
    }
  }

  async #handle(batch: LogEntry[]): Promise<void> {
    try {
      await this.#commit(batch.at(-1)!.seq, (tx) => this.consumer.handle(tx, batch))
      this.stats.handled += batch.length
      this.#collectsUntil = performance.now() + (this.consumer.collectMs ?? 0)
    } catch (error) {
      if (isInterruption(error)) {
        if (!(error instanceof PositionMoved)) this.#batch.interrupted(batch.length)
        throw error
      }
      this.#noteFailure(error, batch)
      if (this.#failing.attempts < maxAttempts) throw error
      await this.#deadLetter(error, batch[0]!)
    }
  }

  /** A failed batch of several counts for none of its entries: the next tries isolate the failing one. */
  #noteFailure(error: unknown, batch: LogEntry[]): void {
    this.stats.failures += 1
    this.stats.lastError = messageOf(error).slice(0, 500)
    this.#batch.isolate()
    const seq = batch.length === 1 ? batch[0]!.seq : 0
    this.#failing = {
      seq,
      attempts: seq === 0 ? 0 : this.#failing.seq === seq ? this.#failing.attempts + 1 : 1,
    }
  }

  /** Moves the entry to `dead_letter` and the position past it. */
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
      'entry moved to dead_letter',
    )
  }

  /** One transaction: `work`, the entries it returns, and the position. */
  async #commit(to: number, work: (tx: Tx) => Promise<Entry[]>): Promise<void> {
    const from = this.#stored!
    await write(this.deps, systemWrite, async (tx) => {
      const entries = await work(tx)
      const { name } = this.consumer
      await updatePosition(tx, { consumer: name, epoch: this.#epoch, shard: this.shard, from, to })
      return { value: null, entries }
    })
    this.stats.transactions += 1
    this.stats.entries += to - from
    this.#stored = this.#position = to
    this.#storedIn = storePeriod()
  }

  #isStoreDue(): boolean {
    return this.#position > this.#stored! && storePeriod() > this.#storedIn
  }

  async #store(): Promise<void> {
    if (this.#stored === null || this.#position === this.#stored) return
    const { shard } = this
    const move = {
      consumer: this.consumer.name,
      epoch: this.#epoch,
      shard,
      from: this.#stored,
      to: this.#position,
    }
    await this.deps.positions.move(move)
    this.stats.entries += move.to - move.from
    this.#stored = move.to
    this.#storedIn = storePeriod()
  }

  async #load(): Promise<void> {
    this.#stored = this.#position = await this.deps.db.read((sql) =>
      selectPosition(sql, this.consumer.name, this.shard),
    )
    this.#storedIn = storePeriod()
  }

  /** Milliseconds to wait before the next try. */
  #backoff(error: unknown): number {
    if (error instanceof PositionMoved) return movedDelayMs
    const { attempts } = this.#failing
    if (!isInterruption(error)) return attempts === 0 ? 0 : backOffMs(attempts, 100, 5_000)
    this.#interruptions += 1
    if (this.#interruptions === 2) {
      const { name } = this.consumer
      const fields = { consumer: name, shard: this.shard, cause: messageOf(error) }
      this.deps.log.warn({ ...fields, oncePerMinute: `consumer ${name}` }, 'consumer interrupted, retrying')
    }
    return backOffMs(this.#interruptions, 50, 1_000)
  }
}

const isInterruption = (error: unknown): boolean =>
  error instanceof PositionMoved || (error instanceof AppError && error.code === 'unavailable')
