// From the tail to whoever listens in this process. Invariants: a subscriber gets the entries of its scope in
// order, each once; a control entry has taken effect here before any entry after it is delivered. A fan-out to
// thousands does not keep the process from everything else: past its slice the rest are told in later turns.
import { setImmediate } from 'node:timers/promises'
import type { LogEntry, Scope } from '../../model/event.ts'

export interface Subscriber {
  /** Entries of the subscribed scope, ascending. Must not wait; what it throws is a failure of the hub. */
  onEntries(entries: LogEntry[]): void
  /** Who has this may be told late, and then in place of `deliver` to read all that came from this entry on. */
  onBacklog?(first: LogEntry): void
  /** The log's numbers began anew, and what was said just before was perhaps not delivered. */
  onEpochChange?(): void
}

export type ControlListener = (entry: LogEntry) => void

/** Subscribers between two looks at the clock. */
const subscribersPerSlice = 64

export class Hub {
  readonly #scopes = new Map<Scope, ScopeSubscribers>()
  readonly #controls = new Set<ControlListener>()
  /** Where a round is not over, in the order in which they go on. */
  readonly #pending = new Set<ScopeSubscribers>()
  #isResuming = false
  #sliceEndsAt = 0

  /**
   * @param onFailure somebody threw. Whoever had not been told yet may never be, of controls too: all who subscribed
   *   are to read the log anew from where they are.
   */
  constructor(
    private readonly onFailure: (error: unknown) => void,
    private readonly sliceMs = 4,
  ) {}

  /** Returns the way out; calling it twice does nothing. */
  subscribe(scope: Scope, subscriber: Subscriber): () => void {
    const audience = this.#scopes.get(scope) ?? new ScopeSubscribers()
    this.#scopes.set(scope, audience)
    audience.add(subscriber)
    return () => {
      audience.delete(subscriber)
      if (audience.isEmpty && this.#scopes.get(scope) === audience) this.#scopes.delete(scope)
    }
  }

  /** Hears every entry with a `control`, on every process, before its subscribers do. */
  onControl(listener: ControlListener): () => void {
    this.#controls.add(listener)
    return () => this.#controls.delete(listener)
  }

  /** Takes what the tail read of one shard. */
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

  /** Whether somebody who follows the scope is still to be told what was delivered. */
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
      // Deleted and added again, it has its next turn after the others.
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
  /** More came before the round began. It is not kept here: everybody reads it where it is, from the first on. */
  isMore: boolean
  /** Who was not told. A set may change while it is walked: who leaves is not met, who joins has caught up already. */
  rest: Iterator<Subscriber>
}

/** Who follows one scope: some are told at once, the others in rounds, which can stop at anybody and go on. */
class ScopeSubscribers {
  readonly #immediate = new Set<Subscriber>()
  readonly #deferrable = new Set<Subscriber>()
  #round: Round | null = null
  #next: Round | null = null

  get isEmpty(): boolean {
    return this.#immediate.size === 0 && this.#deferrable.size === 0
  }

  get hasPendingRound(): boolean {
    return this.#round !== null
  }

  add(subscriber: Subscriber): void {
    const subscribers = subscriber.onBacklog ? this.#deferrable : this.#immediate
    subscribers.add(subscriber)
  }

  delete(subscriber: Subscriber): void {
    this.#immediate.delete(subscriber)
    this.#deferrable.delete(subscriber)
  }

  /** Nobody is told any more of what was delivered. */
  dropRounds(): void {
    this.#round = null
    this.#next = null
  }

  /** What is still to be told has numbers that mean nothing to whoever joins from now on. */
  onEpochChange(): void {
    this.dropRounds()
    for (const subscribers of [this.#immediate, this.#deferrable])
      for (const subscriber of subscribers) subscriber.onEpochChange?.()
  }

  /** For the prompt now, for the others in the round that begins next. */
  enqueue(entries: LogEntry[]): void {
    for (const subscriber of this.#immediate) subscriber.onEntries(entries)
    if (this.#next) this.#next.isMore = true
    else {
      const round = { entries, isMore: false, rest: this.#deferrable.values() }
      if (this.#round) this.#next = round
      else this.#round = round
    }
  }

  /** Goes on with the round for at least some of them, until the time is over. Returns whether it is done. */
  continueRound(endsAt: number): boolean {
    if (!this.#round) return true
    const { entries, isMore, rest } = this.#round
    for (let count = 1; ; count += 1) {
      const { value, done } = rest.next()
      if (done) break
      if (isMore) value.onBacklog!(entries[0]!)
      else value.onEntries(entries)
      if (count % subscribersPerSlice === 0 && performance.now() >= endsAt) return false
    }
    this.#round = this.#next
    this.#next = null
    return true
  }
}
