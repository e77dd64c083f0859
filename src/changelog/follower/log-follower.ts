// How a process follows the log, in one class for servers and workers: the tail admits entries in order, the ring keeps
// the last of them, the hub publishes them to subscribers, and the history reads what a subscriber has missed.
// Invariant: when a listener or subscriber receives an entry, the positions and the ring include it already.
import type { Scope } from '../../model/scope.ts'
import type { CallerDatabase, Database, DatabaseCalls } from '../../db/client.ts'
import type { Appended } from '../../db/log/append.ts'
import type { Log } from '../../log.ts'
import type { FeedStages } from '../../metrics/feed-stages.ts'
import type { LogEntry } from '../../model/event.ts'
import type { Redis, RedisConnection } from '../../redis/connection.ts'
import { newReplayCounts, type LiveStats } from '../live-stats.ts'
import { History } from './history.ts'
import { Hub, type ControlListener, type DeferrableSubscriber, type Subscriber } from './hub.ts'
import { readLog } from './read-log.ts'
import { Ring, type RingBounds } from './ring.ts'
import { Tail, type TailStats } from './tail.ts'

export interface LogFollowerOptions {
  /** Opens a connection for blocking reads: at the start, and again whenever the last one makes no progress. */
  connect: () => RedisConnection
  /** For reading missed entries from streams. */
  redis: Redis
  /** For reading missed entries from the log. */
  db: CallerDatabase & DatabaseCalls
  /** A small pool of its own: confirmations of positions must not wait behind requests. */
  tailDb: Database
  log: Log
  /** Counts where missed entries were found. */
  stats?: Pick<LiveStats, 'replays'>
  ring?: RingBounds
  /** Counts how long entries take. */
  stages?: FeedStages
  /** How long the hub publishes in one turn of the event loop. */
  fanOutSliceMs?: number | undefined
  /** Between a read of the streams that had entries and the next one, milliseconds (0): see `Tail`. */
  paceMs?: number | undefined
}

export class LogFollower implements AsyncDisposable {
  /** Missed entries of one scope as frames, for subscriptions that catch up. */
  readonly history: History
  readonly #ring: Ring
  readonly #tail: Tail
  readonly #replays: LiveStats['replays']
  readonly #advanceListeners = new Set<(shard: number) => void>()
  readonly #epochListeners = new Set<() => void>()
  readonly #failureListeners = new Set<() => void>()
  #offered: Appended[] = []
  /** TypeScript-private: tests publish entries that the log would not hold. */
  private readonly hub: Hub

  constructor(private readonly options: LogFollowerOptions) {
    const { connect, tailDb, redis, db, log, stats = { replays: newReplayCounts() } } = options
    this.#replays = stats.replays
    this.#ring = new Ring(options.ring)
    this.history = new History({ ring: this.#ring, redis, db }, stats)
    this.hub = new Hub(
      (error) => this.#onHubFailure(error),
      options.fanOutSliceMs,
      options.stages?.hubToSocket,
    )
    this.#tail = new Tail({
      connect,
      db: tailDb,
      log,
      paceMs: options.paceMs,
      stages: options.stages,
      onEntries: (shard, entries) => this.#onEntries(shard, entries),
      onEpochChange: () => this.#onEpochChange(),
    })
  }

  /** Resolves once positions are known, at the heads of that moment; waits for as long as PostgreSQL is away. */
  start(): Promise<void> {
    return this.#tail.start()
  }

  get epoch(): string {
    return this.#tail.epoch
  }

  /** Per shard the number of the last entry admitted. */
  get positions(): readonly number[] {
    return this.#tail.positions
  }

  /** Milliseconds since 1970 at which the last read of the heads began that found everything before it admitted. */
  get confirmedAt(): number {
    return this.#tail.confirmedAt
  }

  /** Per shard how many entries the last read of the heads was ahead of the position. */
  get lags(): number[] {
    return this.#tail.lags
  }

  get stats(): TailStats {
    return this.#tail.stats
  }

  /**
   * Entries that this process has committed: admitted in the next turn of the event loop, where they continue their shards,
   * without waiting for their way through Redis. Those of one turn are one batch, so that a socket receives them in one
   * write. Never throws.
   */
  offer({ epoch, entries }: Appended): void {
    if (this.#offered.length === 0) setImmediate(() => this.#admitOffered())
    this.#offered.push({ epoch, entries })
  }

  #admitOffered(): void {
    const offered = this.#offered
    this.#offered = []
    for (const [epoch, ofEpoch] of Map.groupBy(offered, (one) => one.epoch)) {
      const entries = ofEpoch.flatMap((one) => one.entries)
      for (const [shard, own] of Map.groupBy(entries, (entry) => entry.shard)) {
        // Transactions of one shard commit in order, but their results may be read out of order.
        own.sort((a, b) => a.seq - b.seq)
        this.#tail.offer(epoch, shard, own)
      }
    }
  }

  /** Scopes with at least one subscriber. */
  get scopeCount(): number {
    return this.hub.scopeCount
  }

  /** Moves to an epoch that the caller has just read in the log. @throws AppError `unavailable`. */
  awaitEpoch(epoch: string): Promise<void> {
    return this.#tail.awaitEpoch(epoch)
  }

  /**
   * Publishes the entries of a scope to the subscriber from the next admitted one on. An `immediate` subscriber receives
   * them in the turn in which they are admitted, a `deferrable` one perhaps in a later turn, see `Hub`.
   * @returns the way to unsubscribe; calling it twice does nothing.
   */
  subscribe(scope: Scope, subscriber: Subscriber, delivery: 'immediate'): () => void
  subscribe(scope: Scope, subscriber: DeferrableSubscriber, delivery: 'deferrable'): () => void
  subscribe(
    scope: Scope,
    subscriber: DeferrableSubscriber,
    delivery: 'immediate' | 'deferrable',
  ): () => void {
    return this.hub.subscribe(scope, subscriber, delivery)
  }

  /** As the result of `subscribe` does, for subscribers that are too many to keep a function each. */
  unsubscribe(scope: Scope, subscriber: DeferrableSubscriber): void {
    this.hub.unsubscribe(scope, subscriber, 'deferrable')
  }

  /** Whether entries of the scope are admitted that a deferrable subscriber has not received. */
  hasPendingRound(scope: Scope): boolean {
    return this.hub.hasPendingRound(scope)
  }

  /** The listener receives every entry with a `control`, before the subscribers of its scope. */
  onControl(listener: ControlListener): () => void {
    return this.hub.onControl(listener)
  }

  /** After a new epoch, in order of registration and before subscribers: positions are at its heads, the ring is empty. */
  onEpochChange(listener: () => void): () => void {
    return added(this.#epochListeners, listener)
  }

  /**
   * After a subscriber or control listener threw, in order of registration. Other subscribers and control listeners
   * may have missed entries: each has to read the log from its own position, or to drop what it derived from it.
   */
  onDeliveryFailure(listener: () => void): () => void {
    return added(this.#failureListeners, listener)
  }

  /** When a shard has new entries. */
  onAdvance(listener: (shard: number) => void): () => void {
    return added(this.#advanceListeners, listener)
  }

  /**
   * Whole entries of a shard from `after + 1` to its position, at most `limit`, from the ring, the stream or the log. An
   * answer that begins later means that the log no longer keeps what is before.
   * @throws AppError `unavailable` when only PostgreSQL has them and it is away.
   */
  async read(shard: number, after: number, limit: number): Promise<LogEntry[]> {
    const upTo = this.positions[shard] ?? 0
    if (upTo <= after) return []
    const { redis, db } = this.options
    const { source, entries } = await readLog(
      { ring: this.#ring, redis, db },
      this.epoch,
      shard,
      after,
      upTo,
      limit,
    )
    this.#replays[source] += 1
    return entries
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#tail[Symbol.asyncDispose]()
  }

  #onEntries(shard: number, entries: LogEntry[]): void {
    this.#ring.append(shard, entries)
    this.hub.publish(entries)
    for (const listener of this.#advanceListeners) listener(shard)
  }

  #onEpochChange(): void {
    this.#ring.clear()
    for (const listener of this.#epochListeners) listener()
    this.hub.notifyEpochChange()
  }

  #onHubFailure(error: unknown): void {
    this.options.log.error(
      { err: error },
      'delivery of log entries failed: subscribers resume from their positions',
    )
    for (const listener of this.#failureListeners) listener()
  }
}

const added = <T>(listeners: Set<T>, listener: T): (() => void) => {
  listeners.add(listener)
  return () => listeners.delete(listener)
}
