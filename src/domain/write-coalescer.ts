// Forms batches of writes. Invariant: each write that is taken is settled exactly once, with its own result or error, and
// within its deadline.
//
// Problem: one transaction for each write spends most of its time on BEGIN, COMMIT, locks and round trips (`write-batch`
// has the figures). The naive way to coalesce, a timer that collects for some milliseconds, delays every write when there
// is little load and bounds the batch when there is much. The way chosen: while no batch is in flight, the writes of one
// turn of the event loop start one at its end (the first alone would make the others wait for a batch of one); those
// that arrive meanwhile form the next, so that batches grow with the load and a lone client pays
// nothing. A batch that takes longer than `besideAfterMs` does not hold the others: another starts beside it, up to
// `batchConnections`. What two batches would wait for each other for is kept apart here: a task or a key that is in flight
// is not taken again, so that in one process batches never meet at a row.
//
// A member goes alone, in a transaction of its own that waits for locks as any other (`runAlone`), where it cannot be
// decided in a batch: after its batch failed, for a stored response, or when another transaction held its rows twice.
import { batchConnections, heavy, type BatchDatabase, type CallerDatabase } from '../db/client.ts'
import { RolledBack } from '../db/pipelined.ts'
import { recordShared } from '../db/traced.ts'
import { keyText } from '../db/log/idempotency.ts'
import { AppError, overloaded, unavailable } from '../errors.ts'
import { activeTrace, keepTrace, runOutsideSpans, type InTrace } from '../tracing/spans.ts'
import type { TaskPlan } from './tasks/task-plan.ts'
import { keyOf, runAlone, runBatch, type BatchMember, type MemberOutcome } from './write-batch.ts'
import { WriteQueue, type QueuedWrite } from './write-queue.ts'
import { callerOf, type WriteDeps, type WriteRequest, type WriteResult } from './write.ts'

/** Runs writes to tasks. */
export interface TaskWrites {
  /**
   * Throws what the plan decides; 429 `rate_limited` when too many writes of the caller wait, 503 after the deadline or
   * when the outcome of COMMIT is unknown.
   */
  write<T>(request: WriteRequest<T>, plan: TaskPlan<T>): Promise<WriteResult<T>>
}

const defaultBesideAfterMs = 40
/** A write alone that waits longer for its rows waits for another process: batches try these rows again. */
const aloneHoldsMs = 50
/** Writes of one caller that wait for a batch. */
const maxWaiting = 512
/** From its arrival to its answer; as other calls of the database. */
const deadlineMs = 4_000
const sweepEveryMs = 100
const closeTimeoutMs = 5_000

/** A write on its way. */
interface Pending extends QueuedWrite {
  member: BatchMember
  expiresAt: number
  inTrace: InTrace
  /** Batches that could not decide it. */
  deferrals: number
  settle: PromiseWithResolvers<WriteResult<unknown>>
}

export interface CoalescerDeps extends WriteDeps {
  db: CallerDatabase & BatchDatabase
  /** False: every write runs alone. */
  isOn: boolean
  /** Age of the youngest batch in flight from which another may start (40 ms). */
  besideAfterMs?: number
}

export class WriteCoalescer implements TaskWrites, AsyncDisposable {
  readonly #queue = new WriteQueue<Pending>()
  /** Waiting, or in a batch. */
  readonly #live = new Set<Pending>()
  /** Tasks and keys in flight. */
  readonly #held = new Map<string, number>()
  readonly #batches = new Set<Promise<void>>()
  #inFlight = 0
  #startedAt = -Infinity
  #arrivals = 0
  #isScheduled = false
  #retryTimer: Timer | null = null
  #sweepTimer: Timer | null = null

  constructor(private readonly deps: CoalescerDeps) {}

  async write<T>(request: WriteRequest<T>, plan: TaskPlan<T>): Promise<WriteResult<T>> {
    const member: BatchMember<T> = { request, plan, trace: activeTrace() }
    if (!this.deps.isOn || plan.extent !== 'one') return this.#runAlone(member, deadlineMs)
    const caller = request.actor.userId
    if (this.#queue.waitingOf(caller) >= maxWaiting)
      throw new AppError('rate_limited', 'Too many of your requests wait for their turn', { retryAfter: 1 })
    const settle = Promise.withResolvers<WriteResult<unknown>>()
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what a plan decides is what its claim renders
    const general = member as BatchMember
    const key = keyOf(general)
    const pending: Pending = {
      member: general,
      caller,
      order: (this.#arrivals += 1),
      key: key && keyText(key),
      holds: holdsOf(general),
      bytes: plan.bytes,
      expiresAt: performance.now() + deadlineMs,
      inTrace: keepTrace(),
      deferrals: 0,
      settle,
    }
    this.#queue.add(pending)
    this.#live.add(pending)
    this.#sweepTimer ??= setInterval(() => this.#sweep(), sweepEveryMs)
    this.#pumpSoon()
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- as above
    return settle.promise as Promise<WriteResult<T>>
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const endsAt = performance.now() + closeTimeoutMs
    while (this.#batches.size > 0 && performance.now() < endsAt) await Promise.all(this.#batches)
    if (this.#retryTimer) clearTimeout(this.#retryTimer)
    if (this.#sweepTimer) clearInterval(this.#sweepTimer)
    for (const pending of this.#live) this.#finish(pending)?.reject(unavailable())
  }

  /** After the events of this turn of the loop, so that their writes are in the batch. */
  #pumpSoon(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#pump()
    })
  }

  /** Starts a batch where one may start and something waits. */
  #pump(): void {
    if (this.#queue.isEmpty || this.#inFlight >= batchConnections) return
    const { besideAfterMs = defaultBesideAfterMs } = this.deps
    const leftMs = this.#inFlight === 0 ? 0 : this.#startedAt + besideAfterMs - performance.now()
    if (leftMs > 0) {
      this.#retryTimer ??= setTimeout(() => {
        this.#retryTimer = null
        this.#pump()
      }, leftMs)
      return
    }
    const batch = this.#queue.take((held) => this.#held.has(held))
    if (batch.length === 0) return
    this.#startedAt = performance.now()
    this.#inFlight += 1
    const running = runOutsideSpans(() => this.#runBatch(batch))
    this.#batches.add(running)
    void running.then(() => this.#batches.delete(running))
  }

  /** Never rejects. */
  async #runBatch(batch: Pending[]): Promise<void> {
    const release = this.#hold(batch.flatMap(({ holds }) => holds))
    const startedAt = performance.now()
    const end = (): void => {
      this.#inFlight -= 1
      release() // starts the next batch, before the answers: PostgreSQL works while they are made
    }
    const members = batch.map(({ member }) => member)
    try {
      const { outcomes, appended } = await this.deps.db.batch((tx) => runBatch(tx, members))
      const deferred = this.#defer(batch, outcomes)
      end()
      if (appended) this.deps.publisher.publish(appended)
      for (const [index, pending] of batch.entries())
        if (!deferred.has(pending)) this.#settle(pending, outcomes[index]!)
      recordShared('batch', members, startedAt)
    } catch (error) {
      end()
      recordShared('batch', members, startedAt, error)
      for (const pending of batch) {
        if (error instanceof RolledBack) this.#goAlone(pending)
        else this.#finish(pending)?.reject(error)
      }
    }
  }

  /** Puts members that could not be decided at the head of their queues, once each, and returns them. */
  #defer(batch: Pending[], outcomes: MemberOutcome[]): Set<Pending> {
    const deferred = batch.filter(
      (pending, index) =>
        outcomes[index]!.kind === 'deferred' && pending.deferrals === 0 && this.#live.has(pending),
    )
    for (const pending of deferred.toReversed()) {
      pending.deferrals += 1
      this.#queue.putBack(pending)
    }
    return new Set(deferred)
  }

  #settle(pending: Pending, outcome: MemberOutcome): void {
    if (outcome.kind === 'done') this.#finish(pending)?.resolve(outcome.result)
    else if (outcome.kind === 'failed') this.#finish(pending)?.reject(outcome.error)
    else this.#goAlone(pending)
    // Equal requests are replays from now on: each on its own, not one a batch.
    if (outcome.kind === 'done' || outcome.kind === 'unbatched')
      for (const equal of this.#queue.removeEqual(pending)) this.#goAlone(equal)
  }

  /** Ends the part of the coalescer in a write; undefined where it has ended, at its deadline. */
  #finish(pending: Pending): Pending['settle'] | undefined {
    return this.#live.delete(pending) ? pending.settle : undefined
  }

  #goAlone(pending: Pending): void {
    const settle = this.#finish(pending)
    if (!settle) return
    const leftMs = pending.expiresAt - performance.now()
    pending
      .inTrace(() => this.#runAlone(pending.member, Math.max(1, leftMs)))
      .then(settle.resolve, settle.reject)
  }

  async #runAlone<T>(member: BatchMember<T>, leftMs: number): Promise<WriteResult<T>> {
    const { db, publisher } = this.deps
    const { actor } = member.request
    let release = (): void => {}
    try {
      const { result, appended } = await db.of(callerOf(actor)).transact(
        (tx) => {
          release()
          release = this.#hold(holdsOf(member), aloneHoldsMs)
          return runAlone(tx, member)
        },
        { deadlineMs: leftMs, ...(member.plan.extent === 'many' && heavy) },
      )
      if (appended) publisher.publish(appended)
      return result
    } finally {
      release()
    }
  }

  /** Keeps tasks and keys from other batches until the returned function is called, or for `longestMs`. */
  #hold(holds: string[], longestMs?: number): () => void {
    for (const held of holds) this.#held.set(held, (this.#held.get(held) ?? 0) + 1)
    let isHeld = true
    const release = (): void => {
      if (!isHeld) return
      isHeld = false
      clearTimeout(timer)
      for (const held of holds) {
        const count = this.#held.get(held)! - 1
        if (count > 0) this.#held.set(held, count)
        else this.#held.delete(held)
      }
      this.#pump()
    }
    const timer = longestMs === undefined ? undefined : setTimeout(release, longestMs)
    return release
  }

  /** Answers the writes whose deadline has passed; those in a batch may still commit, as at any lost answer. */
  #sweep(): void {
    const now = performance.now()
    for (const pending of this.#live) {
      if (pending.expiresAt > now) continue
      this.#queue.remove(pending)
      this.#finish(pending)?.reject(overloaded('The write did not get its turn in time'))
    }
    if (this.#live.size > 0) return
    clearInterval(this.#sweepTimer!)
    this.#sweepTimer = null
  }
}

const holdsOf = <T>(member: BatchMember<T>): string[] => {
  const key = keyOf(member)
  return key ? [...member.plan.needs.tasks, keyText(key)] : member.plan.needs.tasks
}
