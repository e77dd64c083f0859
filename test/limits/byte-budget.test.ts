// Reserved and released bytes: bounded in total and for each holder, without state for holders that have none.
import { expect, test } from 'bun:test'
import { ByteBudget, type Reservation, type Shortage } from '../../src/limits/byte-budget.ts'

const granted = (taken: Reservation | Shortage): Reservation => {
  if (typeof taken === 'string') throw new Error(`refused for ${taken}`)
  return taken
}

test('a holder reserves up to its share, all holders up to the total, and released bytes are free again', () => {
  const budget = new ByteBudget({ total: 100, perHolder: 60 })
  const first = granted(budget.take('a', 60))
  expect(budget.take('a', 1)).toBe('holder')
  const second = granted(budget.take('b', 40))
  expect(budget.take('c', 1)).toBe('total')
  expect(budget.taken).toBe(100)
  first[Symbol.dispose]()
  first[Symbol.dispose]()
  expect(budget.taken).toBe(40)
  expect(granted(budget.take('c', 60)).bytes).toBe(60)
  second[Symbol.dispose]()
  expect(budget.taken).toBe(60)
})

test('a reservation grows while there is room, and releases all of it', () => {
  const budget = new ByteBudget({ total: 100, perHolder: 50 })
  const held = granted(budget.take('a', 10))
  expect([held.grow(40), held.grow(1), held.bytes]).toEqual([true, false, 50])
  held[Symbol.dispose]()
  expect(budget.taken).toBe(0)
})
