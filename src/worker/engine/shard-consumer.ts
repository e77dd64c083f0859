// One consumer on one shard: reads the log in order and commits the effects of the entries together with the new
// position. Invariants: every effect happens exactly once, also after crashes and beside another worker that believes
// to hold the shard; no entry is skipped except into `dead_letter`, in the transaction that moves the position past it.
import type { CallOptions, Database, Tx } from '../../db/client.ts'
import { PositionMoved, selectPosition, updatePosition } from '../../db/log/consumers.ts'
import { insertDeadLetter } from '../../db/log/dead-letters.ts'
import type { Publisher } from '../../changelog/publisher.ts'
import { systemWrite, write } from '../../domain/write.ts'
import { messageOf } from '../../errors.ts'
import { pause } from '../../async/pause.ts'
import type { Log } from '../../log.ts'
import type { Entry, LogEntry } from '../../model/event.ts'
import { SpanKind, withSpanOf, type Attributes } from '../../tracing/spans.ts'
import { BatchSize } from './batch-size.ts'
import { concernsOrFails, type Consumer, type ConsumerStats } from './consumer.ts'
import { explainTimeout, Failures, isInterruption, maxAttempts } from './failures.ts'
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
/**
 * For the next tries of an entry that failed alone: above the timeout of a statement (10 s), so that PostgreSQL ends one
 * that takes too long, and an entry that needs more than the 4 s of other calls gets it.
 */
const defaultRetryDeadlineMs = 12_000
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
 * After an error the batch is tried again (failures.ts): after an interruption by half as many entries, without limit;
 * after a failure one entry a transaction, which isolates the failing one, and batches double again with each commit. An
 * entry that failed alone `maxAttempts` times goes to `dead_letter`, and the entries after it continue.
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
  readonly #failures = new Failures()

  constructor(
    private readonly deps: ShardConsumerDeps,
    readonly consumer: Consumer,
    readonly shard: number,
    private readonly stats: ConsumerStats,
    private readonly retryDeadlineMs = defaultRetryDeadlineMs,
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
        this.#failures.interruptions = 0
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
    const [from, to] = [this.#position + 1, entries[0]!.seq - 1]
    if (to >= from) {
      const missing = { consumer: this.consumer.name, shard: this.shard, from, to }
      this.deps.log.error(missing, 'the log no longer keeps these entries, their effects are missing')
    }
    const collectMs = this.#collectsUntil - performance.now()
    // A consumer that is behind has nothing to wait for.
    if (
      collectMs > 0 &&
      entries.length <= fewEntries &&
      entries.some((one) => concernsOrFails(this.consumer, one))
    )
      return pause(collectMs, signal)
    await this.#handleAll(entries, signal)
  }

  /** Handles the entries that concern the consumer, at most `#batch` in a transaction. */
  async #handleAll(entries: LogEntry[], signal: AbortSignal): Promise<void> {
    const concerned = entries.filter((entry) => concernsOrFails(this.consumer, entry))
    while (concerned.length > 0) {
      if (signal.aborted) return
      const batch = concerned.splice(0, this.#batch.value)
      await this.#handle(batch)
      this.#batch.committed()
    }
    this.#position = entries.at(-1)!.seq
    if (this.#isStoreDue()) await this.#store()
  }

  async #handle(batch: LogEntry[]): Promise<void> {
    let isHandling = false
    const handle = async (tx: Tx): Promise<Entry[]> => {
      isHandling = true
      const entries = await this.consumer.handle(tx, batch)
      isHandling = false
      return entries
    }
    const options = this.#failures.isRetry(batch) ? { deadlineMs: this.retryDeadlineMs } : {}
    const commit = async (): Promise<void> => {
      await this.#commit(batch.at(-1)!.seq, handle, options)
    }
    try {
      await withSpanOf(
        batch.map(({ trace = null }) => trace),
        `consume ${this.consumer.name}`,
        { kind: SpanKind.CONSUMER, attributes: this.#attributesOf(batch) },
        commit,
      )
      this.stats.handled += batch.length
      this.#collectsUntil = performance.now() + (this.consumer.collectMs ?? 0)
    } catch (thrown) {
      const error = isHandling ? await explainTimeout(thrown, batch, this.deps.db) : thrown
      if (isInterruption(error)) {
        if (!(error instanceof PositionMoved)) this.#batch.interrupted(batch.length)
        throw error
      }
      this.#noteFailure(error, batch)
      if (this.#failures.attempts < maxAttempts) throw error
      await this.#deadLetter(error, batch[0]!)
    }
  }

  #attributesOf(batch: LogEntry[]): Attributes {
    return {
      'messaging.operation.type': 'process',
      'messaging.consumer.group.name': this.consumer.name,
      'tasktide.shard': this.shard,
      'messaging.batch.message_count': batch.length,
    }
  }

  #noteFailure(error: unknown, batch: LogEntry[]): void {
    this.stats.failures += 1
    this.stats.lastError = messageOf(error).slice(0, 500)
    this.#batch.isolate()
    this.#failures.note(batch)
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
  async #commit(to: number, work: (tx: Tx) => Promise<Entry[]>, options: CallOptions = {}): Promise<void> {
    const from = this.#stored!
    const run = async (tx: Tx) => {
      const entries = await work(tx)
      const move = { consumer: this.consumer.name, epoch: this.#epoch, shard: this.shard, from, to }
      await updatePosition(tx, move)
      return { value: null, entries }
    }
    await write(this.deps, systemWrite, run, options)
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
    const [from, to] = [this.#stored, this.#position]
    const move = { consumer: this.consumer.name, epoch: this.#epoch, shard: this.shard, from, to }
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
    const before = this.#failures.interruptions
    const backoffMs = this.#failures.backoffMs(error)
    if (before === 1 && this.#failures.interruptions === 2) {
      const consumer = this.consumer.name
      const fields = { consumer, shard: this.shard, cause: messageOf(error) }
      this.deps.log.warn(
        { ...fields, oncePerMinute: `consumer ${consumer}` },
        'consumer interrupted, retrying',
      )
    }
    return backoffMs
  }
}
