// Streams against a model: after pushes in any order, repeated, late or after deletion, a stream is a contiguous slice
// of the log that ends at the number the push returned.
import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import type { Redis } from '../../src/redis/connection.ts'
import {
  dropStream,
  pushEntries,
  readStream,
  readTop,
  streamKey,
  type StreamBounds,
} from '../../src/changelog/stream.ts'
import type { LogEntry } from '../../src/model/event.ts'

export const newEpoch = (): string => `t${Bun.randomUUIDv7().replaceAll('-', '').slice(-20)}`

export const entryAt = (seq: number, frameBytes = 0, epoch = ''): LogEntry => ({
  shard: 0,
  seq,
  at: '2026-11-20T10:00:00.000Z',
  scope: 'project:00000000-0000-4000-8000-000000000001',
  type: 'task.updated',
  entityId: `entity-${seq}`,
  version: seq,
  actorId: null,
  op: null,
  control: null,
  changes: null,
  quiet: false,
  override: false,
  frame: `${epoch}${'f'.repeat(frameBytes)}`,
})

export const entries = (from: number, to: number, frameBytes = 0): LogEntry[] =>
  Array.from({ length: Math.max(0, to - from + 1) }, (_, n) => entryAt(from + n, frameBytes))

export const push = (
  redis: Redis,
  epoch: string,
  from: number,
  to: number,
  bounds?: StreamBounds,
): Promise<number> => pushEntries(redis, epoch, 0, entries(from, to), bounds)

export const seqs = async (redis: Redis, epoch: string): Promise<number[]> =>
  (await readStream(redis, epoch, 0, 0, Number.MAX_SAFE_INTEGER, 100_000)).map(({ seq }) => seq)

export const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, n) => from + n)

/** Operations on a stream: pushers write what they committed, or read the log and repair. */
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('commit' as const),
      count: fc.integer({ min: 1, max: 20 }),
      isPushed: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('push' as const),
      back: fc.nat(40),
      count: fc.integer({ min: 1, max: 30 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('race' as const),
      backs: fc.array(fc.nat(25), { minLength: 2, maxLength: 5 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('repair' as const), limit: fc.integer({ min: 1, max: 20 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('wipe' as const), how: fc.constantFrom('flush', 'drop') }),
  },
)

/**
 * Runs `runs` random histories.
 * @returns how many pushes were refused for a gap, and how many streams were trimmed
 * @throws the steps of the first history that failed, shrunk
 */
export const checkStreamModel = async (
  redis: Redis,
  seed: number,
  runs: number,
): Promise<{ refused: number; trimmed: number }> => {
  const bounds = { maxEntries: 20, maxBytes: 1e9 }
  let refused = 0
  let trimmed = 0
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 60 }), async (steps) => {
      const epoch = newEpoch()
      let head = 0
      let top = 0
      let start = Infinity
      /** The model of one push. */
      const expected = (from: number, to: number): number => {
        if (top !== 0 && from > top + 1) refused += 1
        return top === 0 || from <= top + 1 ? Math.max(top, to) : top
      }
      const pushChecked = async (from: number, to: number): Promise<void> => {
        const answer = expected(from, to)
        if (top === 0) start = from
        assert.equal(await push(redis, epoch, from, to, bounds), answer)
        top = answer
      }
      for (const event of steps) {
        if (event.kind === 'commit') {
          head += event.count
          if (event.isPushed) await pushChecked(head - event.count + 1, head)
        } else if (event.kind === 'push' && head > 0) {
          const from = Math.max(1, head - event.back)
          await pushChecked(from, Math.min(head, from + event.count - 1))
        } else if (event.kind === 'race' && head > 0) {
          // In any order of arrival the top never decreases and never exceeds the head.
          const answers = await Promise.all(
            event.backs.map((back) => push(redis, epoch, Math.max(1, head - back), head, bounds)),
          )
          for (const answer of answers) assert.ok(answer >= top)
          top = await readTop(redis, epoch, 0)
          assert.equal(top, Math.max(...answers))
        } else if (event.kind === 'repair' && top < head) {
          await pushChecked(top + 1, Math.min(head, top + event.limit))
        } else if (event.kind === 'wipe') {
          if (event.how === 'drop') await dropStream(redis, epoch, 0)
          else await redis.del(streamKey(epoch, 0))
          top = 0
          start = Infinity
        }
        const held = await seqs(redis, epoch)
        assert.equal(await readTop(redis, epoch, 0), top)
        assert.equal(held.at(-1) ?? 0, top)
        assert.ok(top <= head)
        if (held.length > 0) assert.deepEqual(held, range(held[0]!, top))
        assert.ok(held.length <= bounds.maxEntries + 100) // ~ cuts whole nodes of up to 100
        if (held.length > 0 && held[0]! > start) trimmed += 1
      }
      await dropStream(redis, epoch, 0)
    }),
    { seed, numRuns: runs },
  )
  return { refused, trimmed }
}
