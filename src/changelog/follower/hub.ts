// The map from scope to subscribers of this process, and the fan-out to them. Invariants: a subscriber receives the
// entries of its scope in order, each once; the listeners of a control entry have run before any entry after it is
// published.
//
// Problem: one entry of a scope with 10,000 subscribers takes some 200 ms of sends. The naive way, a loop over all of
// them, blocks every request, ping and shard of the process for that time; a queue of entries per subscriber would
// free the event loop, but costs memory per subscriber exactly when many entries arrive. The way chosen is rounds: a
// round is one batch of entries and an iterator over the deferrable subscribers of the scope. It runs in the tick of
// the publish until its slice (4 ms) is over and continues in later turns of the event loop, round-robin over scopes.
// Entries that arrive before a round begins are not collected: the round only notes that there are more, and its
// subscribers read from the first of them on where entries are kept anyway (`onBacklog`: ring, stream, log). So a
// scope holds at most two rounds, whatever its rate is. Immediate subscribers are few and cheap, and cannot read a
// backlog: they receive every batch in the tick of its publish.
import { setImmediate } from 'node:timers/promises'
import type { Histogram } from '../../metrics/histogram.ts'
import type { LogEntry } from '../../model/event.ts'
import type { Scope } from '../../model/scope.ts'
import { recordSpans, SpanKind } from '../../tracing/spans.ts'

export interface Subscriber {
  /** Entries of the subscribed scope, ascending. Must not block; an exception counts as a failure of the hub. */
  onEntries(entries: LogEntry[]): void
  /** Numbers start again in a new epoch, and the last entries of the old one were perhaps not published. */
  onEpochChange?(): void
}

export interface DeferrableSubscriber extends Subscriber {
  /** In place of `onEntries` after a delay: all entries of the scope from this one on are to be read. Must not block. */
  onBacklog(first: LogEntry): void
}

/** In the tick of the publish, or perhaps in a later turn of the event loop. */
export type Delivery = 'immediate' | 'deferrable'

export type ControlListener = (entry: LogEntry) => void

/** Subscribers between two reads of the clock. */
const subscribersPerSlice = 64

export class Hub {
  readonly #scopes = new Map<Scope, ScopeSubscribers>()
  readonly #controls = new Set<ControlListener>()
  /** Scopes with an unfinished round, in the order in which they continue. */
  readonly #pending = new Set<ScopeSubscribers>()
  #isResuming = false
  #sliceEndsAt = 0

  /**
   * @param onFailure a subscriber or control listener threw. Pending rounds are dropped, and other listeners may have
   *   missed control entries: all subscribers have to read the log again from their positions.
   * @param sliceMs how long one publish, or one turn of pending rounds, runs.
   * @param durations seconds from a publish to the last deferrable subscriber of its scope.
   */
  constructor(
    private readonly onFailure: (error: unknown) => void,
    private readonly sliceMs = 4,
    private readonly durations?: Histogram,
  ) {}

  /** Returns the way to unsubscribe; calling it twice does nothing. `unsubscribe` does the same. */
  subscribe(scope: Scope, subscriber: Subscriber, delivery: 'immediate'): () => void
  subscribe(scope: Scope, subscriber: DeferrableSubscriber, delivery: Delivery): () => void
  subscribe(scope: Scope, subscriber: DeferrableSubscriber, delivery: Delivery): () => void {
    const audience = this.#scopes.get(scope) ?? new ScopeSubscribers(this.durations)
    this.#scopes.set(scope, audience)
    audience[delivery].add(subscriber)
    return () => this.unsubscribe(scope, subscriber, delivery)
  }

  /** For subscribers that are too many to keep a function each. */
  unsubscribe(scope: Scope, subscriber: DeferrableSubscriber, delivery: Delivery): void {
    const audience = this.#scopes.get(scope)
    if (audience?.[delivery].delete(subscriber) && audience.isEmpty) this.#scopes.delete(scope)
  }

  /** The listener receives every entry with a `control`, before the subscribers of its scope. */
  onControl(listener: ControlListener): () => void {
    this.#controls.add(listener)
    return () => this.#controls.delete(listener)
  }

  /** Publishes entries of one shard, ascending, as the tail admitted them. */
  publish(entries: LogEntry[]): void {
    this.#sliceEndsAt = performance.now() + this.sliceMs
    try {
      this.#publish(entries)
    } catch (error) {
      this.#fail(error)
    }
  }

  #publish(entries: LogEntry[]): void {
    let start = 0
    for (let index = 0; index < entries.length; index += 1) {
      if (!entries[index]!.control) continue
      this.#fanOut(entries.slice(start, index))
      for (const listener of this.#controls) listener(entries[index]!)
      this.#fanOut([entries[index]!])
      start = index + 1
    }
    this.#fanOut(start === 0 ? entries : entries.slice(start))
  }

  notifyEpochChange(): void {
    for (const audience of this.#scopes.values()) audience.onEpochChange()
  }

  /** Whether a deferrable subscriber of the scope has not received everything that was published. */
  hasPendingRound(scope: Scope): boolean {
    return this.#scopes.get(scope)?.hasPendingRound ?? false
  }

  #fanOut(entries: LogEntry[]): void {
    if (entries.length === 1) return this.#publishToScope(entries[0]!.scope, entries)
    for (const [scope, ofScope] of Map.groupBy(entries, (entry) => entry.scope))
      this.#publishToScope(scope, ofScope)
  }

  #publishToScope(scope: Scope, entries: LogEntry[]): void {
    const audience = this.#scopes.get(scope)
    if (!audience) return
    audience.enqueue(entries)
    if (this.#pending.has(audience)) return
    if (performance.now() < this.#sliceEndsAt && audience.continueRound(this.#sliceEndsAt)) return
    this.#pending.add(audience)
    if (!this.#isResuming) void this.#resume()
  }

  async #resume(): Promise<void> {
    this.#isResuming = true
    try {
      await this.#runPendingRounds()
    } catch (error) {
      this.#fail(error)
    }
    this.#isResuming = false
  }

  async #runPendingRounds(): Promise<void> {
    let endsAt = 0
    for (const audience of this.#pending) {
      do {
        if (performance.now() >= endsAt) {
          await setImmediate()
          endsAt = performance.now() + this.sliceMs
        }
      } while (!audience.continueRound(endsAt))
      // Deleted and added again, the scope continues after the others.
      this.#pending.delete(audience)
      if (audience.hasPendingRound) this.#pending.add(audience)
    }
  }

  #fail(error: unknown): void {
    for (const audience of this.#scopes.values()) audience.dropRounds()
    this.#pending.clear()
    this.onFailure(error)
  }

  get scopeCount(): number {
    return this.#scopes.size
  }
}

interface Round {
  entries: LogEntry[]
  /** `performance.now()` of the publish. */
  startedAt: number
  /** More entries were published before the round began: subscribers read the backlog from the first entry on. */
  isMore: boolean
  /**
   * The subscribers left. A set may change while it is iterated: one that unsubscribes is not visited, and one that
   * subscribes meanwhile is visited although it has caught up already: it skips what it has.
   */
  rest: Iterator<DeferrableSubscriber>
}

/** The subscribers of one scope, and its current and next round. A round can stop after any subscriber and continue. */
class ScopeSubscribers {
  readonly immediate = new Set<Subscriber>()
  readonly deferrable = new Set<DeferrableSubscriber>()
  #round: Round | null = null
  #next: Round | null = null

  constructor(private readonly durations: Histogram | undefined) {}

  get isEmpty(): boolean {
    return this.immediate.size === 0 && this.deferrable.size === 0
  }

  get hasPendingRound(): boolean {
    return this.#round !== null
  }

  dropRounds(): void {
    this.#round = null
    this.#next = null
  }

  /** Pending entries belong to the old epoch: drops them and notifies the subscribers. */
  onEpochChange(): void {
    this.dropRounds()
    for (const subscribers of [this.immediate, this.deferrable])
      for (const subscriber of subscribers) subscriber.onEpochChange?.()
  }

  /** Publishes to immediate subscribers now, and to the others in the round that begins next. */
  enqueue(entries: LogEntry[]): void {
    for (const subscriber of this.immediate) subscriber.onEntries(entries)
    if (this.#next) this.#next.isMore = true
    else {
      const startedAt = performance.now()
      const round = { entries, startedAt, isMore: false, rest: this.deferrable.values() }
      if (this.#round) this.#next = round
      else this.#round = round
    }
  }

  /** Continues the round until the time is over, for at least `subscribersPerSlice`. Returns whether it is done. */
  continueRound(endsAt: number): boolean {
    if (!this.#round) return true
    const { entries, isMore, rest, startedAt } = this.#round
    for (let count = 1; ; count += 1) {
      const { value, done } = rest.next()
      if (done) break
      if (isMore) value.onBacklog(entries[0]!)
      else value.onEntries(entries)
      if (count % subscribersPerSlice === 0 && performance.now() >= endsAt) return false
    }
    if (this.deferrable.size > 0) {
      this.durations?.record((performance.now() - startedAt) / 1000)
      recordFanOut(entries, this.deferrable.size, startedAt)
    }
    this.#round = this.#next
    this.#next = null
    return true
  }
}

/** The fan-out is a span of each write with entries in the round. @param startedAt `performance.now()` of the publish. */
const recordFanOut = (entries: LogEntry[], subscribers: number, startedAt: number): void =>
  recordSpans(
    entries.map(({ trace = null }) => trace),
    'fan-out',
    {
      kind: SpanKind.CONSUMER,
      startedAt,
      attributes: { 'tasktide.scope': entries[0]!.scope, 'tasktide.subscribers': subscribers },
    },
  )
