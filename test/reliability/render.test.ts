// docs/reliability.md against the results it is made from, and the list of faults against what is injected.
import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { consistencyControls } from '../consistency/controls.ts'
import { propertyNames } from '../consistency/properties.ts'
import { controls } from '../chaos/controls.ts'
import { filesControls } from '../chaos/files/controls.ts'
import { filesFaults } from '../chaos/files/faults.ts'
import { suites } from '../chaos/suites.ts'
import { faultTable } from '../chaos/table.ts'
import { maxDueSeconds, maxLateSeconds } from '../worker/storm-run.ts'
import { faultLines } from './lines.ts'
import { readResults, renderReliability, type Results } from './render.ts'

const root = join(import.meta.dir, '..', '..')
const results: Results = await readResults()

test('the document is what the command writes', async () => {
  expect(await Bun.file(join(root, 'docs', 'reliability.md')).text()).toBe(renderReliability(results))
})

const injected = new Set([
  ...Object.entries(suites).flatMap(([suite, faults]) => faults.map(({ name }) => `${suite} ${name}`)),
  ...filesFaults.map(({ name }) => `files ${name}`),
  'files project-deleted',
])

test('every row that a line names is injected, and every injected fault has a line', () => {
  const named = faultLines.flatMap(({ rows }) => rows)
  expect(named.filter((name) => !injected.has(name))).toEqual([])
  expect([...injected].filter((name) => !named.includes(name as never))).toEqual([])
})

test('every injected fault and every control has a kept result', () => {
  const { rows, controls: found } = results.chaos!
  const names = new Set(rows.map(({ suite, name }) => `${suite} ${name}`))
  expect([...injected].filter((name) => !names.has(name))).toEqual([])
  const declared = [
    ...Object.entries(controls).flatMap(([suite, own]) => own.map((control) => ({ suite, ...control }))),
    ...filesControls.map((control) => ({ suite: 'files', ...control })),
  ]
  const wanted = declared.map(({ suite, variant, fault, detectedBy }) =>
    [suite, variant, fault.title, detectedBy].join(' | '),
  )
  const kept = found.map(({ suite, variant, title, detectedBy }) =>
    [suite, variant, title, detectedBy].join(' | '),
  )
  expect(kept.toSorted()).toEqual(wanted.toSorted())
  expect(found.filter(({ baseline }) => baseline !== 0)).toEqual([])
})

test('every property and every variant of consistency has a kept result', () => {
  const { rows, variants } = results.consistency!
  expect(rows.map(({ property }) => property).toSorted()).toEqual(propertyNames.toSorted())
  expect(rows.filter(({ checked }) => checked === 0)).toEqual([])
  const named = consistencyControls.map(({ variant }) => variant)
  expect(variants.map(({ name }) => name).toSorted()).toEqual(named.toSorted())
  expect(variants.filter(({ caughtBy }) => caughtBy.length === 0)).toEqual([])
})

test('a soak, the loads for workers and a fuzzing are kept', () => {
  const { soak, storms, fuzz } = results
  expect(soak).not.toBeNull()
  expect(fuzz).not.toBeNull()
  for (const load of ['due', 'steady', 'away'] as const) expect(storms?.[load]).toBeDefined()
})

test('every test that a line names exists', async () => {
  for (const { file, title } of faultLines.flatMap(({ tests = [] }) => tests))
    expect(await Bun.file(join(root, file)).text()).toContain(`test('${title}'`)
})

test('no kept result is a violation, and every control was detected', () => {
  const { chaos, consistency, soak, storms } = results
  expect((chaos?.rows ?? []).filter(({ verdict }) => verdict === 'violated').map(({ name }) => name)).toEqual(
    [],
  )
  expect((chaos?.controls ?? []).filter(({ isDetected }) => !isDetected)).toEqual([])
  expect((consistency?.rows ?? []).filter(({ violations }) => violations > 0)).toEqual([])
  expect(soak?.violations ?? []).toEqual([])
  expect(storms?.due?.allSeconds ?? 0).toBeLessThanOrEqual(maxDueSeconds)
  expect(storms?.steady?.lateSeconds.p99 ?? 0).toBeLessThanOrEqual(maxLateSeconds)
})

test('a violation shows in the document', () => {
  const row = {
    suite: 'realtime',
    name: 'server-killed',
    title: 'a title',
    seeds: [1, 2],
    seconds: 6,
    isLong: false,
    counts: { injected: 3, writes: 10, lost: 2 },
    recoveryMs: { writers: 2_500, sockets: Number.POSITIVE_INFINITY },
    limitsMs: { writers: 2_000, sockets: 10_000 },
    verdict: 'violated' as const,
    violations: ['seed 1: lost: 2'],
    notes: ['killed at a point'],
    date: '2026-01-01T00:00',
    commit: 'abc',
  }
  const machine = { cpu: 'c', cores: 2, memoryGiB: 4, system: 's', bun: '1', commit: 'abc', loadAverage: 1 }
  const chaos = JSON.parse(JSON.stringify({ machine, rows: [row], controls: [] }))
  const text = renderReliability({ chaos, consistency: null, soak: null, storms: null, fuzz: null })
  expect(text).toContain(
    '| 3 injected, 10 writes | 2 lost | writers 2.5 s of 2.0 s, sockets never of 10.0 s | violated |',
  )
  expect(text).toContain('realtime server-killed: violated (2 seeds)')
  expect(text).toContain('- realtime server-killed: killed at a point')
  expect(text).toContain('Seeds: 1, 2.')
})

test('resyncs are an amount where a fault requires them, and a violation elsewhere', () => {
  const row = (name: string) => ({
    suite: 'realtime',
    name,
    title: 't',
    seeds: [1],
    seconds: 6,
    isLong: false,
    counts: { injected: 3, resyncs: 5 },
    recoveryMs: {},
    limitsMs: {},
    verdict: 'ok' as const,
    violations: [],
    notes: [],
    date: '2026-01-01T00:00',
    commit: 'abc',
  })
  const text = faultTable([row('epoch-renewed'), row('server-killed')])
  expect(text).toContain('| 3 injected, 5 resyncs | 0 |')
  expect(text).toContain('| 3 injected | 5 resyncs |')
})
