// How far this process has followed each shard. Invariant: a position moves by the next numbers of its shard only, except
// to the heads of a new epoch and past entries that retention has dropped.
import type { Heads } from '../../db/log/feed.ts'
import type { LogEntry } from '../../model/event.ts'

export class Admission {
  #epoch = ''
  #positions: number[] = []
  /** Per shard the last number read from the stream, admitted or after a gap. */
  #seen: number[] = []

  get epoch(): string {
    return this.#epoch
  }

  /** Per shard the number of the last entry admitted. */
  get positions(): readonly number[] {
    return this.#positions
  }

  /** Per shard the number after which the stream is read. */
  get seen(): readonly number[] {
    return this.#seen
  }

  /** At the start and at a new epoch: former numbers are void. */
  moveToHeads({ epoch, seqs }: Heads): void {
    this.#epoch = epoch
    this.#positions = [...seqs]
    this.#seen = [...seqs]
  }

  /** The stream has given entries up to `seq`. */
  noteSeen(shard: number, seq: number): void {
    this.#seen[shard] = Math.max(this.#seen[shard]!, seq)
  }

  /** Entries up to `seq` are past retention. */
  skipTo(shard: number, seq: number): void {
    this.#positions[shard] = Math.max(this.#positions[shard]!, seq)
  }

  /** The entries that continue the shard, without those at or below its position and those after a gap. */
  admit(shard: number, entries: LogEntry[]): LogEntry[] {
    const position = this.#positions[shard]!
    let from = 0
    while (from < entries.length && entries[from]!.seq <= position) from += 1
    let to = from
    while (to < entries.length && entries[to]!.seq === position + 1 + to - from) to += 1
    if (to === from) return []
    const next = from === 0 && to === entries.length ? entries : entries.slice(from, to)
    this.#positions[shard] = position + next.length
    this.noteSeen(shard, position + next.length)
    return next
  }
}
