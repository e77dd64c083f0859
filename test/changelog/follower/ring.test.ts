// The last entries of each shard in memory: contiguous, bounded in entries and bytes; a slice never has a gap.
import { expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { Ring } from '../../../src/changelog/follower/ring.ts'
import type { LogEntry } from '../../../src/model/event.ts'
import { seed } from '../seed.ts'
import { scopeOf } from '../world.ts'

const entryAt = (seq: number, frameBytes = 0): LogEntry => ({
  shard: 3,
  seq,
  at: '2026-11-20T10:00:00.000Z',
  scope: scopeOf(1),
  type: 'task.updated',
  entityId: null,
  version: seq,
  actorId: null,
  op: null,
  control: null,
  changes: null,
  quiet: false,
  override: false,
  frame: 'f'.repeat(frameBytes),
})

const entries = (from: number, to: number, frameBytes = 0): LogEntry[] =>
  Array.from({ length: to - from + 1 }, (_, n) => entryAt(from + n, frameBytes))

const seqs = (slice: LogEntry[] | null): number[] | null => slice && slice.map(({ seq }) => seq)

test('a slice begins with the very next number or is null', () => {
  const ring = new Ring()
  expect(ring.slice(3, 0)).toBeNull()
  ring.append(3, entries(10, 14))
  expect(seqs(ring.slice(3, 9))).toEqual([10, 11, 12, 13, 14])
  expect(seqs(ring.slice(3, 12))).toEqual([13, 14])
  expect(seqs(ring.slice(3, 9, 2))).toEqual([10, 11])
  expect(ring.slice(3, 8)).toBeNull() // 9 is not held
  expect(ring.slice(3, 14)).toBeNull() // nothing after it yet
  expect(ring.slice(3, 20)).toBeNull()
  expect(ring.slice(4, 9)).toBeNull()
  ring.clear()
  expect(ring.slice(3, 9)).toBeNull()
})

test('entries that do not continue a shard replace what the ring holds of it', () => {
  const ring = new Ring()
  ring.append(3, entries(1, 5))
  ring.append(3, entries(8, 9))
  expect(ring.slice(3, 4)).toBeNull()
  expect(seqs(ring.slice(3, 7))).toEqual([8, 9])
})

test('the oldest entries are dropped beyond the bound of entries or bytes; the newest stays whatever its size', () => {
  const ring = new Ring({ maxEntries: 100, maxBytes: 50_000 })
  ring.append(3, entries(1, 250))
  expect(ring.slice(3, 149)).toBeNull()
  expect(ring.slice(3, 150)).toHaveLength(100)
  ring.append(3, entries(251, 300, 5_000))
  const held = seqs(ring.slice(3, 292))
  expect(held).toHaveLength(8)
  expect(ring.slice(3, 290)).toBeNull()
  ring.append(3, [entryAt(301, 60_000)])
  expect(ring.slice(3, 300)).toHaveLength(1)
  expect(ring.slice(3, 299)).toBeNull()
})

test('slices equal those of a model that keeps all entries', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({ count: fc.integer({ min: 1, max: 30 }), skip: fc.nat(20).map((n) => (n === 0 ? 3 : 0)) }),
      ),
      fc.array(fc.nat(400)),
      (batches, places) => {
        const ring = new Ring({ maxEntries: 50, maxBytes: 1e9 })
        let all: number[] = []
        let next = 1
        for (const { count, skip } of batches) {
          next += skip
          if (skip > 0) all = []
          const batch = entries(next, next + count - 1)
          ring.append(3, batch)
          all = [...all, ...batch.map(({ seq }) => seq)].slice(-50)
          next += count
        }
        for (const after of places) {
          const due = all.includes(after + 1) ? all.filter((seq) => seq > after) : null
          expect(seqs(ring.slice(3, after))).toEqual(due)
        }
      },
    ),
    { seed },
  )
})
