// Rows over seeds, and when a report is good.
import { expect, test } from 'bun:test'
import { limitsOf, waitsOf } from './recovery.ts'
import { isGood, overSeeds, type ControlRow, type FaultRow } from './results.ts'

const row = (seed: number, over: Partial<FaultRow> = {}): FaultRow => ({
  suite: 'realtime',
  name: 'server-killed',
  title: 'a title',
  seeds: [seed],
  seconds: 6,
  isLong: false,
  counts: { injected: 3, writes: 10 },
  properties: { convergence: 5 },
  recoveryMs: { writers: 1_000 * seed },
  limitsMs: { writers: 2_000 },
  verdict: 'ok',
  violations: [],
  notes: [`${seed} points`],
  date: '2026-01-01T00:00',
  commit: 'abc',
  load: seed,
  ...over,
})

const control: ControlRow = {
  suite: 'realtime',
  variant: 'lock-off',
  title: 'a title',
  detectedBy: 'lost',
  count: 4,
  baseline: 0,
  isDetected: true,
  seed: 1,
  date: '2026-01-01T00:00',
  commit: 'abc',
}

test('the notes of every seed stay, each with its seed; properties are summed, the highest load counts', () => {
  const [joined] = overSeeds([row(1), row(2), row(3)])
  expect(joined).toMatchObject({
    seeds: [1, 2, 3],
    counts: { injected: 9, writes: 30 },
    properties: { convergence: 15 },
    recoveryMs: { writers: 3_000 },
    notes: ['seed 1: 1 points', 'seed 2: 2 points', 'seed 3: 3 points'],
    load: 3,
  })
})

test('older rows, without properties and load, are joined too', () => {
  const { properties: _properties, load: _load, ...older } = row(1)
  expect(overSeeds([older, { ...older, seeds: [2] }])[0]).not.toHaveProperty('properties')
})

test('a report is good with rows that are all ok and controls that were all detected', () => {
  expect(isGood({ rows: [row(1)], controls: [control] })).toBe(true)
})

test('a fault that was not run, a control that was not detected and an empty report are not good', () => {
  expect(isGood({ rows: [row(1), row(2, { verdict: 'not run' })], controls: [] })).toBe(false)
  expect(isGood({ rows: [row(1)], controls: [{ ...control, isDetected: false }] })).toBe(false)
  expect(isGood({ rows: [], controls: [] })).toBe(false)
})

test('a run waits beyond the limits that it judges, also where it gives up early on everything else', () => {
  const limits = limitsOf({ recoveryMs: { sockets: 20_000 } })
  for (const [who, ms] of Object.entries(waitsOf(limits, 2_000)))
    expect(ms).toBeGreaterThan(limits[who as keyof typeof limits])
  expect(waitsOf(limits, 60_000)).toEqual({ writers: 60_000, sockets: 60_000, worker: 60_000 })
})
