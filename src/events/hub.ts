// From the tail to whoever listens in this process. Invariants: a subscriber gets the entries of its scope in
// order, each once; a control entry has taken effect here before any entry after it is delivered. A fan-out to
// thousands does not keep the process from everything else: past its slice those left are held and resumed in turn.
import { setImmediate } from 'node:timers/promises'
import type { LogEntry, Scope } from '../model/event.ts'

export interface Subscriber {
  /** Entries of the subscribed scope, ascending. Must not throw and must not wait. */
  deliver(entries: LogEntry[]): void
  /** In place of `deliver`, where the fan-out takes long: whether it will take them from the log on `resume`. */
  hold?(entries: LogEntry[]): boolean
  resume?(): void
}

export type ControlListener = (entry: LogEntry) => void

/** Subscribers between two looks at the clock, and between two turns of the event loop. */
const atOnce = 64

export class Hub {
  readonly #scopes = new Map<Scope, Set<Subscriber>>()
  readonly #controls = new Set<ControlListener>()
  #held: Subscriber[] = []
  #isResuming = false
  #sliceEndsAt = 0

  constructor(private readonly sliceMs = 4) {}

  /** Returns the way out; calling it twice does nothing. */
  subscribe(scope: Scope, subscriber: Subscriber): () => void {
    const subscribers = this.#scopes.get(scope) ?? new Set()
    this.#scopes.set(scope, subscribers.add(subscriber))
    return () => {
      subscribers.delete(subscriber)
      if (subscribers.size === 0 && this.#scopes.get(scope) === subscribers) this.#scopes.delete(scope)
    }
  }

  /** Hears every entry with a `control`, on every process, before its subscribers do. */
  onControl(listener: ControlListener): () => void {
    this.#controls.add(listener)
    return () => this.#controls.delete(listener)
  }

  /** Takes what the tail read of one shard. */
  deliver(entries: LogEntry[]): void {
    this.#sliceEndsAt = performance.now() + this.sliceMs
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

  #fanOut(entries: LogEntry[]): void {
    if (entries.length === 1) return this.#send(entries[0]!.scope, entries)
    for (const [scope, ofScope] of Map.groupBy(entries, (entry) => entry.scope)) this.#send(scope, ofScope)
  }

  #send(scope: Scope, entries: LogEntry[]): void {
    let count = 0
    let isLate = false
    // A set may change while it is walked: who leaves is not met any more, who joins has caught up already.
    for (const subscriber of this.#scopes.get(scope) ?? []) {
      if (count % atOnce === 0) isLate ||= performance.now() >= this.#sliceEndsAt
      count += 1
      if (!isLate || !subscriber.hold) subscriber.deliver(entries)
      else if (subscriber.hold(entries)) this.#held.push(subscriber)
    }
    if (this.#held.length > 0 && !this.#isResuming) void this.#resume()
  }

  /** Each takes all that gathered meanwhile: the busier it is, the larger the pieces. */
  async #resume(): Promise<void> {
    this.#isResuming = true
    let endsAt = 0
    while (this.#held.length > 0) {
      const turn = this.#held
      this.#held = []
      for (let index = 0; index < turn.length; index += 1) {
        if (index % atOnce === 0 && performance.now() >= endsAt) {
          await setImmediate()
          endsAt = performance.now() + this.sliceMs
        }
        turn[index]!.resume?.()
      }
    }
    this.#isResuming = false
  }

  get scopeCount(): number {
    return this.#scopes.size
  }
}
