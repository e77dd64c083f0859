// The last entries of each shard in memory, so that most clients that resume need neither Redis nor PostgreSQL.
// Invariant: the entries of a shard are contiguous and end with the last entry appended.
import { shardCount } from '../../model/scope.ts'
import type { LogEntry } from '../../model/event.ts'
import { bytesOf } from '../stream-entry.ts'

interface Slots {
  entries: LogEntry[]
  /** Entries before this index are dropped; they are removed from the array in larger pieces. */
  start: number
  bytes: number
}

/** Of each shard; bytes are approximate. */
export interface RingBounds {
  maxEntries: number
  maxBytes: number
}

const serverBounds: RingBounds = { maxEntries: 2_000, maxBytes: 4 * 1024 * 1024 }

const empty = (): Slots => ({ entries: [], start: 0, bytes: 0 })

export class Ring {
  #shards = Array.from({ length: shardCount }, empty)

  readonly #maxEntries: number
  readonly #maxBytes: number

  constructor({ maxEntries, maxBytes }: RingBounds = serverBounds) {
    this.#maxEntries = maxEntries
    this.#maxBytes = maxBytes
  }

  /** Appends entries in the order of the log; an entry that does not continue its shard empties it first. */
  append(shard: number, entries: readonly LogEntry[]): void {
    for (const entry of entries) {
      let slots = this.#shards[shard]!
      const last = slots.entries.at(-1)
      if (last && last.seq + 1 !== entry.seq) slots = this.#shards[shard] = empty()
      slots.entries.push(entry)
      slots.bytes += bytesOf(entry)
      this.#shrink(slots)
    }
  }

  #shrink(slots: Slots): void {
    while (
      slots.entries.length - slots.start > this.#maxEntries ||
      (slots.bytes > this.#maxBytes && slots.entries.length - slots.start > 1)
    ) {
      slots.bytes -= bytesOf(slots.entries[slots.start]!)
      slots.start += 1
    }
    if (slots.start <= this.#maxEntries / 4) return
    slots.entries.splice(0, slots.start)
    slots.start = 0
  }

  /** The entries from number `after + 1` on, or null when the ring does not hold that one: never an empty list. */
  slice(shard: number, after: number, limit = Infinity): LogEntry[] | null {
    const { entries, start } = this.#shards[shard]!
    const first = entries[start]?.seq
    if (first === undefined || after + 1 < first || after >= entries.at(-1)!.seq) return null
    const from = start + after + 1 - first
    return entries.slice(from, from + limit)
  }

  /** For a new epoch. */
  clear(): void {
    this.#shards = this.#shards.map(empty)
  }
}
