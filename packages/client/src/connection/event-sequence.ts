// Which events of a scope have arrived. Invariant: the confirmed cursor moves only to a place up to which every event is
// known to have arrived.
//
// The last event's cursor would be the obvious place to resume from, but it proves nothing about a frame that was lost
// before it (a proxy, a bug, a slow socket): resuming there makes the hole permanent. So events are counted from each
// `sub`, and a cursor is confirmed when the count agrees with the server's (`sub.replay`, `position.count`). After a
// reconnect events between the confirmed and the latest cursor arrive again and are recognised by their cursors.
import { isSameShard, seqOf } from './frames.ts'

export class EventSequence {
  #cursor: string | null = null
  #latest: string | null = null
  /** Events at or below this number are duplicates. */
  #floor = 0
  /** Confirmed events of the current subscription. */
  #confirmedCount = 0
  #replay = 0
  readonly #unconfirmed = new Set<string>()

  /** The last confirmed cursor; null before `restart` or `confirm`. */
  get cursor(): string | null {
    return this.#cursor
  }

  /** The furthest cursor received, confirmed or not. */
  get latest(): string | null {
    return this.#latest
  }

  /** Events received since the server answered `sub`. */
  get count(): number {
    return this.#confirmedCount + this.#unconfirmed.size
  }

  get unconfirmedCount(): number {
    return this.#unconfirmed.size
  }

  /** Whether the events that the answer to `sub` promised have arrived. */
  get isReplayComplete(): boolean {
    return this.count >= this.#replay
  }

  /** Begins at a snapshot's cursor. */
  restart(cursor: string): void {
    this.#cursor = cursor
    this.#latest = cursor
    this.#floor = seqOf(cursor)
    this.#unconfirmed.clear()
  }

  /** The server answered `sub`: counting begins at zero, `replay` events follow at once. */
  subscribed(replay: number): void {
    this.#confirmedCount = 0
    this.#replay = replay
    this.#unconfirmed.clear()
  }

  /** Counts an event. False for a duplicate. */
  receive(cursor: string): boolean {
    if (seqOf(cursor) <= this.#floor || this.#unconfirmed.has(cursor)) return false
    this.#unconfirmed.add(cursor)
    this.#advanceLatest(cursor)
    return true
  }

  /** Every event up to `cursor` has arrived. */
  confirm(cursor: string): void {
    this.#confirmedCount += this.#unconfirmed.size
    this.#unconfirmed.clear()
    this.#floor = Math.max(this.#floor, seqOf(cursor))
    this.#cursor = cursor
    this.#advanceLatest(cursor)
  }

  isBeforeLatest(cursor: string): boolean {
    return this.#latest !== null && isBefore(cursor, this.#latest)
  }

  #advanceLatest(cursor: string): void {
    if (this.#latest === null || isBefore(this.#latest, cursor)) this.#latest = cursor
  }
}

/** Cursors of different shards or epochs are not ordered. */
const isBefore = (a: string, b: string): boolean => isSameShard(a, b) && seqOf(a) < seqOf(b)
