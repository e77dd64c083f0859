// Waiters: a limit for each caller; past it the longest waiting is released.
import { expect, test } from 'bun:test'
import { Waiters } from '../../src/limits/waiters.ts'

test('one more than the limit releases the longest waiting of that caller, and no other', () => {
  const waiters = new Waiters(2)
  const released: string[] = []
  const enter = (caller: string, name: string) => waiters.enter(caller, () => released.push(name))
  const places = [enter('a', 'a1'), enter('b', 'b1'), enter('a', 'a2')]
  expect(released).toEqual([])
  places.push(enter('a', 'a3'), enter('a', 'a4'))
  expect(released).toEqual(['a1', 'a2'])
  expect([waiters.waitingOf('a'), waiters.waitingOf('b')]).toEqual([2, 1])
  for (const place of places) place[Symbol.dispose]()
  expect([waiters.waitingOf('a'), waiters.waitingOf('b')]).toEqual([0, 0])
  enter('a', 'a5')
  expect(waiters.waitingOf('a')).toBe(1)
})
