// The short form of `bun run chaos worker`: one seed, two faults of a few seconds, and a control that must be detected.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { Arena } from './arena.ts'
import { controls, countVariant } from './controls.ts'
import { poisonEntry } from './faults/poison-entry.ts'
import { workerKilled } from './faults/worker-killed.ts'

const seed = 20_261_127
const seconds = 3

let arena: Arena

beforeAll(async () => {
  arena = await Arena.open({
    seed,
    servers: 1,
    workers: 2,
    projects: 1,
    followers: 2,
    sockets: 0,
    timeoutMs: 20_000,
    sendsMails: true,
    acts: { lanes: 3, everyMs: 60 },
    report: () => {},
  })
}, 120_000)

afterAll(() => arena[Symbol.asyncDispose]())

for (const fault of [workerKilled, poisonEntry]) {
  test(`${fault.title}: each notification, mail and count is there once`, async () => {
    // The recovery time is checked by the long run: this one shares its machine with other tests.
    const { counts, violations } = await arena.run(
      { ...fault, recoveryMs: { writers: 20_000, sockets: 20_000, worker: 20_000 } },
      seconds,
    )
    expect(violations).toEqual([])
    expect(counts.injected).toBeGreaterThan(0)
    expect(counts.notified).toBeGreaterThan(0)
    expect(counts.mails).toBeGreaterThan(0)
  }, 120_000)
}

test('the same run on the variant notified-twice is detected as wrong', async () => {
  const control = controls['worker']!.find(({ variant }) => variant === 'notified-twice')!
  expect(await countVariant(control, seed, seconds)).toBeGreaterThan(0)
}, 120_000)
