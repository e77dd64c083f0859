// The one LRU map: both bounds hold after every call, and each entry that leaves is reported once.
import { heapStats } from 'bun:jsc'
import { expect, test } from 'bun:test'
import { BoundedCache } from '../../src/async/bounded-cache.ts'
import { until } from '../../src/async/timeout.ts'

const keysOf = (cache: BoundedCache<string, number>): string[] =>
  ['a', 'b', 'c', 'd'].filter((key) => cache.peek(key) !== undefined)

test('the least recently used entry is dropped first, and looking without using does not count', () => {
  const dropped: string[] = []
  const cache = new BoundedCache<string, number>({ maxEntries: 2, onDrop: (key) => dropped.push(key) })
  cache.set('a', 1)
  cache.set('b', 2)
  cache.get('a')
  cache.peek('b')
  cache.set('c', 3)
  expect(keysOf(cache)).toEqual(['a', 'c'])
  expect(cache.getOrCreate('a', () => 9)).toBe(1)
  expect(cache.getOrCreate('d', () => 9)).toBe(9)
  expect(dropped).toEqual(['b', 'c'])
})

test('the weight of all entries is bounded, also where it becomes known later', () => {
  const cache = new BoundedCache<string, number>({ maxEntries: 10, maxWeight: 100 })
  cache.set('a', 1, 60)
  cache.set('b', 2)
  expect(cache.weight).toBe(60)
  cache.reweigh('b', 2, 60)
  expect([keysOf(cache), cache.weight]).toEqual([['b'], 60])
  cache.reweigh('b', 7, 1) // another value took its place
  cache.set('b', 3, 10)
  expect([cache.size, cache.weight]).toEqual([1, 10])
  cache.set('c', 4, 101)
  expect([cache.size, cache.weight]).toEqual([0, 0])
})

test('an entry is deleted only while it holds the expected value', () => {
  const dropped: number[] = []
  const cache = new BoundedCache<string, number>({ maxEntries: 2, onDrop: (_, value) => dropped.push(value) })
  cache.set('a', 1)
  cache.set('a', 2)
  cache.delete('a', 1)
  expect([cache.peek('a'), dropped]).toEqual([2, [1]])
  cache.delete('a')
  cache.set('b', 3)
  cache.clear()
  expect([cache.size, dropped]).toEqual([0, [1, 2]])
})

test('an entry is dropped when its time is over', async () => {
  const cache = new BoundedCache<string, number>({ maxEntries: 2, ttlMs: 5 })
  cache.set('a', 1)
  expect(cache.get('a')).toBe(1)
  expect(await until(5_000, 'the end of an entry', () => (cache.size === 0 ? true : undefined))).toBe(true)
})

test('entries that were dropped or cleared are not held by their age limit', () => {
  const timers = (): number => {
    Bun.gc(true)
    return heapStats().objectTypeCounts['Timeout'] ?? 0
  }
  const before = timers()
  const cache = new BoundedCache<string, number>({ maxEntries: 10, ttlMs: 600_000 })
  for (let n = 0; n < 5_000; n += 1) cache.set(String(n), n)
  for (let n = 0; n < 5_000; n += 1) cache.set('same', n)
  expect(timers() - before).toBeLessThan(500)
  cache.clear()
  expect(cache.size).toBe(0)
  expect(timers() - before).toBeLessThan(500)
})
