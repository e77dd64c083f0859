// A run without data is no proof: each amount that is missing is a violation.
import { expect, test } from 'bun:test'
import { emptinessOf } from './emptiness.ts'

const counts = { injected: 1, writes: 1, notified: 1, exact: 1, effects: 1, mails: 1 }
const row = { property: 'convergence' as const, checked: 1, violations: 0 }
const workers = { sendsMails: true }

test('a run with everything is no violation', () => {
  expect(emptinessOf({}, counts, { rows: [row] }, workers)).toEqual([])
})

for (const name of ['injected', 'writes', 'notified', 'exact', 'effects', 'mails'] as const)
  test(`a run with 0 ${name} is a violation`, () => {
    expect(emptinessOf({}, { ...counts, [name]: 0 }, { rows: [row] }, workers)).toHaveLength(1)
  })

test('a property that compared nothing is a violation', () => {
  expect(emptinessOf({}, counts, { rows: [row, { ...row, checked: 0 }] }, workers)).toEqual([
    'convergence: nothing was compared',
  ])
})

test('a run without faults injects none, and one without mails sends none', () => {
  const quiet = { ...counts, injected: 0, mails: 0 }
  expect(emptinessOf({ injectsNothing: true }, quiet, { rows: [row] }, { sendsMails: false })).toEqual([])
})
