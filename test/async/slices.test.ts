// Loops in slices: what runs in between, and where they end.
import { expect, test } from 'bun:test'
import { inSlices } from '../../src/async/slices.ts'

test('other events run between slices, and every item is worked on once and in order', async () => {
  let clock = 0
  const events: (number | string)[] = []
  const working = inSlices(
    [1, 2, 3, 4, 5],
    (item) => {
      clock += 3
      events.push(item)
      setImmediate(() => events.push(`after ${item}`))
    },
    { sliceMs: 5, now: () => clock },
  )
  await working
  expect(events.slice(0, 9)).toEqual([1, 2, 'after 1', 'after 2', 3, 4, 'after 3', 'after 4', 5])
})

test('the loop ends where the work returns false', async () => {
  const seen: number[] = []
  await inSlices([1, 2, 3], (item) => {
    seen.push(item)
    return item < 2
  })
  expect(seen).toEqual([1, 2])
})
