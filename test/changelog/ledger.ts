// What a reader of the log heard, and the judgement on it. Nothing here knows how the log works: it compares what
// was heard with what was committed.
import type { LogEntry } from '../../src/model/event.ts'

export interface Heard {
  shard: number
  seq: number
  entityId: string | null
}

export interface Verdict {
  lost: number
  repeated: number
  reordered: number
  /** Heard but never committed, or with other contents than committed. */
  foreign: number
}

export const flawless: Verdict = { lost: 0, repeated: 0, reordered: 0, foreign: 0 }

export class Ledger {
  readonly heard: Heard[] = []

  readonly note = (_shard: number, entries: readonly LogEntry[]): void => {
    for (const { shard, seq, entityId } of entries) this.heard.push({ shard, seq, entityId })
  }

  /** @param committed everything that was to be heard. */
  judge(committed: readonly Heard[]): Verdict {
    return judge(this.heard, committed)
  }
}

export const judge = (heard: readonly Heard[], committed: readonly Heard[]): Verdict => {
  const keyOf = ({ shard, seq, entityId }: Heard): string => `${shard}:${seq}:${entityId}`
  const due = new Set(committed.map(keyOf))
  const seen = new Set<string>()
  const last = new Map<number, number>()
  const verdict = { ...flawless }
  for (const entry of heard) {
    const key = keyOf(entry)
    if (!due.has(key)) verdict.foreign += 1
    if (seen.has(key)) verdict.repeated += 1
    else if (entry.seq < (last.get(entry.shard) ?? 0)) verdict.reordered += 1
    seen.add(key)
    last.set(entry.shard, entry.seq)
  }
  verdict.lost = committed.filter((entry) => !seen.has(keyOf(entry))).length
  return verdict
}
