// Properties of ranks: a key between any two, byte order, and bounded length for any sequence of inserts.
import { expect, test } from 'bun:test'
import { array, assert, boolean, integer, nat, property } from 'fast-check'
import { makeRoom, maxFollowers, rankBetween, ranksBetween } from '../../src/domain/tasks/rank.ts'

/** The order of PostgreSQL's collation "C". */
const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))

const isAscending = (ranks: string[]): boolean =>
  ranks.every((rank, index) => index === 0 || byBytes(ranks[index - 1]!, rank) < 0)

test('inserting anywhere, again and again, keeps a list in byte order', () => {
  assert(
    property(array(nat(1_000_000), { minLength: 1, maxLength: 300 }), (places) => {
      const ranks: string[] = []
      for (const place of places) {
        const at = place % (ranks.length + 1)
        ranks.splice(at, 0, rankBetween(ranks[at - 1] ?? null, ranks[at] ?? null))
      }
      return isAscending(ranks) && ranks.every((rank) => /^[0-9A-Za-z]+$/.test(rank) && !rank.endsWith('0'))
    }),
  )
})

test('a hundred thousand tasks appended or put first keep short ranks', () => {
  let [last, first] = [rankBetween(null, null), rankBetween(null, null)]
  for (let count = 0; count < 100_000; count += 1) {
    const [next, before] = [rankBetween(last, null), rankBetween(null, first)]
    if (byBytes(next, last) <= 0 || byBytes(before, first) >= 0) throw new Error(`${last} ${next} ${before}`)
    ;[last, first] = [next, before]
  }
  expect(last.length).toBeLessThan(9)
  expect(first.length).toBeLessThan(9)
})

test('two people who insert at the same place at once get different ranks', () => {
  const made = Array.from({ length: 200 }, () => rankBetween('a0V', 'a1V'))
  expect(new Set(made).size).toBeGreaterThan(195)
})

test('many ranks between two ascend and stay short', () => {
  assert(
    property(integer({ min: 1, max: 200 }), boolean(), boolean(), (count, fromStart, toEnd) => {
      const [low, high] = [fromStart ? null : 'a0V', toEnd ? null : 'a0W']
      const ranks = ranksBetween(low, high, count)
      return (
        ranks.length === count &&
        isAscending([...(low ? [low] : []), ...ranks, ...(high ? [high] : [])]) &&
        ranks.every((rank) => rank.length < 30)
      )
    }),
  )
})

test('equal ranks make room by moving as few followers as they must', () => {
  const room = makeRoom('a1V', ['a1V', 'a1V', 'a2V', 'a3V'], true)!
  expect(room.pushed.length).toBe(2)
  expect(isAscending(['a1V', room.rank, ...room.pushed, 'a2V'])).toBe(true)
})

test('a crowded place spreads its followers before ranks grow long', () => {
  const ranks = ['a0V', 'a1V']
  for (let count = 0; count < 5_000; count += 1) {
    const room = makeRoom(ranks[0]!, ranks.slice(1, maxFollowers + 1), ranks.length <= maxFollowers + 1)!
    ranks.splice(1, room.pushed.length, room.rank, ...room.pushed)
  }
  expect(isAscending(ranks)).toBe(true)
  expect(Math.max(...ranks.map((rank) => rank.length))).toBeLessThan(70)
})

test('there is no room where all that can be seen is equal', () => {
  expect(makeRoom('a1V', ['a1V', 'a1V'], false)).toBeNull()
  expect(makeRoom('a1V', ['a1V', 'a1V'], true)!.pushed.length).toBe(2)
  expect(() => rankBetween('a1V', 'a1V')).toThrow(RangeError)
})
