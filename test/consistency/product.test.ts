// The short form of `bun run chaos consistency`: the history of contending clients on the product, and on four variants
// that the checker must name. The unit level is `check.test.ts`.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { consistencyControls } from './controls.ts'
import { propertyNames } from './properties.ts'
import { explain } from './report.ts'
import { Rig } from './rig.ts'
import { runVariant } from './run.ts'
import { variants } from '../chaos/variants.ts'

const seed = 20_261_127

let rig: Rig

beforeAll(async () => {
  rig = await Rig.open()
}, 60_000)

afterAll(() => rig[Symbol.asyncDispose](), 20_000)

test('the history of contending clients on two servers is consistent', async () => {
  const { rows, violations } = await rig.run({
    seed,
    calls: 1_200,
    maxSeconds: 30,
    variant: null,
    settleMs: 30_000,
  })
  expect(violations.flatMap(explain)).toEqual([])
  expect(rows.filter(({ checked }) => checked === 0)).toEqual([])
}, 90_000)

for (const name of ['if-match-ignored', 'heads-ignored', 'cursor-ignored', 'last-entry-unsent']) {
  const control = consistencyControls.find(({ variant }) => variant === name)!
  test(`${control.title}: caught by ${control.caughtBy}`, async () => {
    const { caughtBy } = await runVariant(rig, control, seed)
    expect(caughtBy).toContain(control.caughtBy)
  }, 90_000)
}

test('every control is a variant of the product, and each property has to name one', () => {
  expect(consistencyControls.filter(({ variant }) => !(variant in variants))).toEqual([])
  const named = new Set(consistencyControls.map(({ caughtBy }) => caughtBy))
  expect(propertyNames.filter((property) => !named.has(property))).toEqual([])
})
