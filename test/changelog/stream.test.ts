// The stream against a model: after pushes in any order, repeated, late or after deletion, a stream is a contiguous
// slice of the log that ends at the number the push returned.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import {
  batchLength,
  dropStream,
  maxStreamEntries,
  pushEntries,
  readStream,
  readTop,
  streamKey,
} from '../../src/changelog/stream.ts'
import { decodeEntry, encodeEntry, plainEntry } from '../../src/changelog/stream-entry.ts'
import { openRedis, type Redis, type RedisConnection } from '../../src/redis/connection.ts'
import type { LogEntry } from '../../src/model/event.ts'
import { sharedRedisUrl, testRedis } from '../support/environment.ts'
import { eventually } from '../support/eventually.ts'
import { seed } from './seed.ts'
import { checkStreamModel, entries, entryAt, newEpoch, push, range, seqs } from './stream-model.ts'
import { log, scopeOf } from './world.ts'

let connection: RedisConnection
let redis: Redis

beforeAll(async () => {
  connection = openRedis(sharedRedisUrl(), 'request', log)
  redis = connection.client
  await eventually(() => redis.ping())
})

afterAll(() => connection[Symbol.asyncDispose]())

test('an empty stream starts anywhere; after that only the next number is taken', async () => {
  const epoch = newEpoch()
  expect(await readTop(redis, epoch, 0)).toBe(0)
  expect(await push(redis, epoch, 41, 43)).toBe(43)
  expect(await push(redis, epoch, 45, 46)).toBe(43) // a gap: nothing is done
  expect(await push(redis, epoch, 42, 45)).toBe(45) // the known part is skipped
  expect(await push(redis, epoch, 41, 42)).toBe(45) // late
  expect(await readTop(redis, epoch, 0)).toBe(45)
  expect(await seqs(redis, epoch)).toEqual(range(41, 45))
  await dropStream(redis, epoch, 0)
  expect(await push(redis, epoch, 7, 7)).toBe(7) // a new key, so lower numbers are fine
})

test('numbers beyond fourteen digits keep every digit', async () => {
  const epoch = newEpoch()
  const huge = Number.MAX_SAFE_INTEGER - 1_000
  expect(await push(redis, epoch, huge, huge + 2)).toBe(huge + 2)
  expect(await push(redis, epoch, huge + 3, huge + 3)).toBe(huge + 3)
  expect(await seqs(redis, epoch)).toEqual(range(huge, huge + 3))
})

test('interleaved, repeated, stale and concurrent pushes, deletion and trimming leave a contiguous slice of the log', async () => {
  const { refused, trimmed } = await checkStreamModel(redis, seed, 60)
  expect(refused).toBeGreaterThan(0)
  expect(trimmed).toBeGreaterThan(0)
}, 30_000)

test('a stream is trimmed to 20,000 entries', async () => {
  const epoch = newEpoch()
  for (let from = 1; from <= 22_000; from += 500) await push(redis, epoch, from, from + 499)
  const held = await seqs(redis, epoch)
  expect(held).toEqual(range(held[0]!, 22_000))
  expect(held.length).toBeGreaterThanOrEqual(maxStreamEntries)
  expect(held.length).toBeLessThan(maxStreamEntries + 200)
  await dropStream(redis, epoch, 0)
}, 20_000)

test('a stream is trimmed to its bytes, also when small entries are followed by large ones', async () => {
  const epoch = newEpoch()
  const bounds = { maxEntries: 20_000, maxBytes: 4 * 1024 * 1024 }
  const largest = 16 * 1024
  for (let from = 1; from <= 4_096; from += 256) {
    await pushEntries(redis, epoch, 0, entries(from, from + 255, from < 2_048 ? 10 : largest), bounds)
    const used = Number(await redis.memory('USAGE', streamKey(epoch, 0), 'SAMPLES', 0))
    expect(used).toBeLessThanOrEqual(bounds.maxBytes)
    const held = await seqs(redis, epoch)
    expect(held).toEqual(range(held[0]!, from + 255))
  }
  // The memory is measured every 256 entries at most.
  for (let seq = 4_097; seq <= 4_600; seq += 1)
    await pushEntries(redis, epoch, 0, [entryAt(seq, largest)], bounds)
  const used = Number(await redis.memory('USAGE', streamKey(epoch, 0), 'SAMPLES', 0))
  expect(used).toBeLessThan(bounds.maxBytes + 256 * (largest + 5_000))
  expect((await seqs(redis, epoch)).length).toBeGreaterThan(100)
  await dropStream(redis, epoch, 0)
}, 20_000)

test('streams have at most half of the memory that Redis may use, and a full Redis has their newest entries', async () => {
  await using small = await testRedis()
  await using connection = openRedis(small.url, 'request', log)
  const { client } = connection
  await eventually(() => client.ping())
  const epoch = newEpoch()
  const maxMemory = 48 * 1024 * 1024
  await client.config('SET', 'maxmemory', maxMemory, 'maxmemory-policy', 'noeviction')
  const batch = 64
  const pushAll = async (from: number): Promise<void> => {
    for (let shard = 0; shard < 16; shard += 1)
      expect(await pushEntries(client, epoch, shard, entries(from, from + batch - 1, 4_000))).toBe(
        from + batch - 1,
      )
  }
  // 100 MB of entries, with the bounds of the product.
  for (let from = 1; from <= 24 * batch; from += batch) await pushAll(from)
  let used = 0
  for (let shard = 0; shard < 16; shard += 1)
    used += Number(await client.memory('USAGE', streamKey(epoch, shard), 'SAMPLES', 0))
  expect(used).toBeLessThan(maxMemory / 2 + 16 * 256 * 6_000) // measured at each 256 numbers
  await client.set('others', 'x'.repeat(1_000)) // and there is room for what else it keeps

  // Others fill it: from here on each push makes its own room.
  await client.config('SET', 'maxmemory', '1')
  expect(await client.set('others', 'y').catch(String)).toContain('OOM')
  const held = await client.xlen(streamKey(epoch, 0))
  await pushAll(24 * batch + 1)
  expect(await client.xlen(streamKey(epoch, 0))).toBeLessThan(held)
  const numbers = await seqs(client, epoch)
  expect(numbers).toEqual(range(numbers[0]!, 25 * batch))
}, 30_000)

test('a stream that has nothing to give is not extended in a full Redis, and the push fails', async () => {
  await using full = await testRedis()
  await using connection = openRedis(full.url, 'request', log)
  const { client } = connection
  await eventually(() => client.ping())
  const epoch = newEpoch()
  await client.config('SET', 'maxmemory', '1', 'maxmemory-policy', 'noeviction')
  expect(await push(client, epoch, 1, 5).catch(String)).toContain('OOM')
  expect(await client.exists(streamKey(epoch, 0))).toBe(0)
  await client.config('SET', 'maxmemory', '0')
  expect(await push(client, epoch, 1, 5)).toBe(5)
})

test('a stream without pushes expires after a day', async () => {
  const epoch = newEpoch()
  await push(redis, epoch, 1, 2)
  expect(await redis.ttl(streamKey(epoch, 0))).toBeWithin(86_300, 86_401)
})

const control = fc.constantFrom<LogEntry['control']>(
  null,
  { kind: 'delete' },
  { kind: 'revoke', userId: 'u' },
  { kind: 'sessions', except: null },
)

const anyEntry = fc.record<LogEntry>({
  shard: fc.constant(0),
  seq: fc.integer({ min: 1 }),
  at: fc.constant('2026-11-20T10:00:00.000Z'),
  scope: fc.nat(99).map(scopeOf),
  type: fc.constantFrom('task.created', 'control', 'scope.refetch'),
  entityId: fc.option(fc.uuid()),
  version: fc.nat(),
  actorId: fc.option(fc.uuid()),
  op: fc.option(fc.string({ unit: 'grapheme' })),
  control,
  changes: fc.option(
    fc.dictionary(fc.string(), fc.record({ from: fc.jsonValue(), to: fc.string({ unit: 'grapheme' }) })),
  ),
  quiet: fc.boolean(),
  override: fc.boolean(),
  frame: fc.option(fc.string({ minLength: 1 })),
})

test('an entry is read from the stream as it was pushed', async () => {
  await fc.assert(
    fc.asyncProperty(anyEntry, async (entry) => {
      const epoch = newEpoch()
      await pushEntries(redis, epoch, 0, [entry])
      const [read] = await readStream(redis, epoch, 0, entry.seq - 1, entry.seq, 1)
      // `__proto__` and -0 do not survive JSON, here as in PostgreSQL.
      const plain = JSON.parse(JSON.stringify(entry)) as LogEntry
      expect(plainEntry(read!)).toEqual(plain)
      expect(JSON.parse(JSON.stringify(read))).toEqual(plain)
      await dropStream(redis, epoch, 0)
    }),
    { seed, numRuns: 100 },
  )
})

test('fields of an entry are parsed when they are read', () => {
  const [scope, frame, control] = encodeEntry(entryAt(5))
  const entry = decodeEntry(0, ['5-0', ['s', scope, 'f', frame, 'c', control, 'e', 'not JSON']])
  expect([entry.seq, entry.scope, entry.frame, entry.control]).toEqual([5, scope, null, null])
  expect(() => entry.type).toThrow()
})

test('one push takes successive numbers, bounded in count and bytes', () => {
  expect(batchLength([])).toBe(0)
  expect(batchLength([...entries(1, 5), ...entries(7, 9)])).toBe(5)
  expect(batchLength(entries(1, 1_000))).toBe(256)
  expect(batchLength(entries(1, 100, 100_000))).toBe(10)
  expect(batchLength(entries(1, 2, 2_000_000))).toBe(1) // one alone always goes
})
