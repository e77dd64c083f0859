// Reads of one thing, for many callers by few statements. Invariants: a read sees every write that was answered before it
// was called, because it joins only statements that were not sent yet; a caller receives rows of its own keys alone.
import { AppError, isUnavailable, unavailable } from '../errors.ts'
import { activeTrace, runOutsideSpans } from '../tracing/spans.ts'
import type { DatabaseCalls, Queryable } from './client.ts'
import { recordShared } from './traced.ts'

export interface CoalescedReadOptions<Key, Row> {
  db: Pick<DatabaseCalls, 'read'>
  /** One statement for many keys. @returns the row of each key, in the order of the keys. */
  select: (sql: Queryable, keys: Key[]) => Promise<Row[]>
  /** Keys of one statement (64). */
  maxBatch?: number
  /** Keys of one caller in a statement while other callers wait (16). */
  maxPerCaller?: number
  /** Statements in flight (4): a second where many keys wait, more where the one before takes long. */
  maxInFlight?: number
  /** Age of the youngest statement in flight from which another may start beside it (40 ms). */
  besideAfterMs?: number
  /** Different keys of one caller that wait (512): beyond them 429. */
  maxWaiting?: number
  /** From the call of `get` to its row (4 s): beyond it 503. */
  deadlineMs?: number
}

/** A key that waits for its row, with everyone who asked for it before its statement was sent. */
interface Pending<Key, Row> {
  readonly key: Key
  readonly expiresAt: number
  /** Of the first who asked. */
  readonly trace: string | null
  readonly promise: Promise<Row>
  resolve: (row: Row) => void
  reject: (error: unknown) => void
}

const sweepEveryMs = 50

/*
 * Problem: a read of one row costs PostgreSQL some 30 µs and this process 60 to 70 µs, most of it for the round trip:
 * queue, deadline, bind, socket, parse. The naive way, a statement for each request, spends that for every request. A
 * cache of rows would save it, but has to be invalidated by every write of every process before that write is answered.
 * The way chosen: requests that arrive in one turn of the event loop, or while earlier statements of the kind are in
 * flight, become one statement over pairs of caller and id. The answer is as fresh as before, and the cost of the round
 * trip is divided by the number of requests that arrive together, which grows with the load.
 *
 * One statement is in flight at a time, so that batches grow with the load: with two, a read of a task under 64 connections
 * cost 42 µs here and 17 µs in PostgreSQL, with one 35 and 10. Another starts beside it where half a batch waits, so that
 * this process does not idle while PostgreSQL works, and where the one in flight takes long, so that one dead connection
 * does not stop all reads. A request never joins a statement that is in flight already, not even for an equal key: it may
 * have taken its snapshot before a write that was answered in between.
 *
 * Fairness: a statement takes at most `maxPerCaller` keys of one caller while others wait, and callers take turns, so a
 * flood of one caller delays another by the statements that were sent before, whatever the length of its queue. The
 * statement itself belongs to no caller and bypasses their queues.
 *
 * A statement that fails because PostgreSQL is away fails everyone in it, as it would have failed each alone. After any
 * other failure each key is read alone, so that one key cannot fail the others.
 */
export class CoalescedRead<Key, Row> {
  /** Waiting keys by caller, then by id; the caller that was served last comes last. */
  readonly #callers = new Map<string, Map<string, Pending<Key, Row>>>()
  readonly #batches = new Set<Pending<Key, Row>[]>()
  readonly #select: (sql: Queryable, keys: Key[]) => Promise<Row[]>
  readonly #db: Pick<DatabaseCalls, 'read'>
  readonly #maxBatch: number
  readonly #maxPerCaller: number
  readonly #maxInFlight: number
  readonly #besideAfterMs: number
  readonly #maxWaiting: number
  readonly #deadlineMs: number
  #waiting = 0
  #startedAt = -Infinity
  #isScheduled = false
  #isSweeping = false

  constructor(options: CoalescedReadOptions<Key, Row>) {
    this.#db = options.db
    this.#select = options.select
    this.#maxBatch = options.maxBatch ?? 64
    this.#maxPerCaller = options.maxPerCaller ?? 16
    this.#maxInFlight = options.maxInFlight ?? 4
    this.#besideAfterMs = options.besideAfterMs ?? 40
    this.#maxWaiting = options.maxWaiting ?? 512
    this.#deadlineMs = options.deadlineMs ?? 4_000
  }

  /** Callers with waiting keys. */
  get callers(): number {
    return this.#callers.size
  }

  /**
   * @param id equal for equal keys of a caller.
   * @throws AppError 429 `rate_limited` when too many keys of the caller wait; 503 as the database calls.
   */
  get(caller: string, id: string, key: Key): Promise<Row> {
    let waiting = this.#callers.get(caller)
    if (!waiting) this.#callers.set(caller, (waiting = new Map()))
    const held = waiting.get(id)
    if (held) return held.promise
    if (waiting.size >= this.#maxWaiting)
      throw new AppError('rate_limited', 'Too many of your requests wait for their turn', { retryAfter: 1 })
    const { promise, resolve, reject } = Promise.withResolvers<Row>()
    const expiresAt = performance.now() + this.#deadlineMs
    waiting.set(id, { key, expiresAt, trace: activeTrace(), promise, resolve, reject })
    this.#waiting += 1
    this.#schedule()
    return promise
  }

  /** Runs after the events of this turn of the loop, so that their requests are in the batch. */
  #schedule(): void {
    if (this.#isScheduled || !this.#mayStart()) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      void runOutsideSpans(() => this.#run(this.#take()))
    })
  }

  #mayStart(): boolean {
    if (this.#batches.size === 0) return true
    if (this.#batches.size >= this.#maxInFlight) return false
    if (this.#batches.size === 1 && this.#waiting >= this.#maxBatch / 2) return true
    return performance.now() - this.#startedAt > this.#besideAfterMs
  }

  #take(): Pending<Key, Row>[] {
    const batch: Pending<Key, Row>[] = []
    const share = this.#callers.size === 1 ? this.#maxBatch : this.#maxPerCaller
    const served: [string, Map<string, Pending<Key, Row>>][] = []
    for (const [caller, waiting] of this.#callers) {
      const most = Math.min(this.#maxBatch, batch.length + share)
      for (const [id, pending] of waiting) {
        if (batch.length === most) break
        waiting.delete(id)
        this.#waiting -= 1
        batch.push(pending)
      }
      served.push([caller, waiting])
      if (batch.length === this.#maxBatch) break
    }
    for (const [caller, waiting] of served) {
      this.#callers.delete(caller)
      if (waiting.size > 0) this.#callers.set(caller, waiting)
    }
    return batch
  }

  async #run(batch: Pending<Key, Row>[]): Promise<void> {
    if (batch.length === 0) return // its keys have expired
    this.#batches.add(batch)
    this.#startedAt = performance.now()
    this.#sweepLater()
    if (this.#callers.size > 0) this.#schedule()
    try {
      await this.#read(batch)
    } catch (error) {
      if (batch.length === 1 || isUnavailable(error)) for (const { reject } of batch) reject(error)
      else await this.#readEach(batch)
    } finally {
      this.#batches.delete(batch)
      if (this.#callers.size > 0) this.#schedule()
    }
  }

  async #read(batch: Pending<Key, Row>[]): Promise<void> {
    const keys = batch.map(({ key }) => key)
    // Of the last to expire; `#sweep` ends the wait of the others.
    const expiresAt = batch.reduce((latest, pending) => Math.max(latest, pending.expiresAt), 0)
    const deadlineMs = Math.max(1, expiresAt - performance.now())
    const startedAt = performance.now()
    const rows = await this.#db
      .read((sql) => this.#select(sql, keys), { deadlineMs })
      .catch((error: unknown) => {
        recordShared('read', batch, startedAt, error)
        throw error
      })
    for (let index = 0; index < batch.length; index += 1) batch[index]!.resolve(rows[index]!)
    recordShared('read', batch, startedAt)
  }

  async #readEach(batch: Pending<Key, Row>[]): Promise<void> {
    for (const pending of batch) await this.#read([pending]).catch((error: unknown) => pending.reject(error))
  }

  /** One timer for all: a timer for each request would cost as much as its share of the statement. */
  #sweepLater(): void {
    if (this.#isSweeping) return
    this.#isSweeping = true
    setTimeout(() => {
      this.#isSweeping = false
      this.#sweep()
      if (this.#callers.size > 0) this.#schedule()
      if (this.#batches.size > 0) this.#sweepLater()
    }, sweepEveryMs)
  }

  /** Rejects what has waited too long, in flight or not. */
  #sweep(): void {
    const now = performance.now()
    const late = () =>
      unavailable(new Error(`no answer from PostgreSQL within ${this.#deadlineMs} ms for a coalesced read`))
    for (const batch of this.#batches)
      for (const { expiresAt, reject } of batch) if (expiresAt <= now) reject(late())
    for (const [caller, waiting] of this.#callers) {
      for (const [id, { expiresAt, reject }] of waiting) {
        if (expiresAt > now) break // in the order of their arrival
        waiting.delete(id)
        this.#waiting -= 1
        reject(late())
      }
      if (waiting.size === 0) this.#callers.delete(caller)
    }
  }
}
