// The entries a reader of the log received, compared with the committed ones. Independent of the log's implementation:
// it compares keys only.
import type { LogEntry } from '../../src/model/event.ts'

export interface EntryKey {
  shard: number
  seq: number
  entityId: string | null
}

export interface DeliveryErrors {
  lost: number
  repeated: number
  reordered: number
  /** Received but never committed, or with other contents than committed. */
  foreign: number
}

export const noErrors: DeliveryErrors = { lost: 0, repeated: 0, reordered: 0, foreign: 0 }

export class ReceivedEntries {
  readonly entries: EntryKey[] = []

  readonly add = (_shard: number, entries: readonly LogEntry[]): void => {
    for (const { shard, seq, entityId } of entries) this.entries.push({ shard, seq, entityId })
  }

  /** @param committed everything that had to be received. */
  compareWith(committed: readonly EntryKey[]): DeliveryErrors {
    return findErrors(this.entries, committed)
  }
}

export const findErrors = (received: readonly EntryKey[], committed: readonly EntryKey[]): DeliveryErrors => {
  const keyOf = ({ shard, seq, entityId }: EntryKey): string => `${shard}:${seq}:${entityId}`
  const expected = new Set(committed.map(keyOf))
  const seen = new Set<string>()
  const last = new Map<number, number>()
  const errors = { ...noErrors }
  for (const entry of received) {
    const key = keyOf(entry)
    if (!expected.has(key)) errors.foreign += 1
    if (seen.has(key)) errors.repeated += 1
    else if (entry.seq < (last.get(entry.shard) ?? 0)) errors.reordered += 1
    seen.add(key)
    last.set(entry.shard, entry.seq)
  }
  errors.lost = committed.filter((entry) => !seen.has(keyOf(entry))).length
  return errors
}
