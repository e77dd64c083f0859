// What a soak reports: growth beyond the limit is a violation, and what it cannot decide does not count as shown.
import { expect, test } from 'bun:test'
import { createRandom, type Random } from '../oracle/random.ts'
import { leastDetected, soakReport, verdictOf, type SoakReport } from './report.ts'
import type { Sample } from './samples.ts'

const seed = 20_261_127
const mebibyte = 2 ** 20
const everySeconds = 10

/** Heap that grows by `perHour` MiB with waves of `noise` MiB, and resident memory that stays; 30 minutes. */
const samplesOf = (random: Random, { perHour, noise }: { perHour: number; noise: number }): Sample[] =>
  Array.from({ length: 180 }, (_, n) => {
    const seconds = (n + 1) * everySeconds
    const compiledFunctions = 4_000 + random.between(-60, 60)
    const wave = noise * (random.next() + random.next() - 1)
    const heapBytes =
      mebibyte * (16 + (perHour * seconds) / 3_600 + wave) + 2_600 * (compiledFunctions - 4_000)
    const types = { Map: 10 + n, Set: 10, string: 5_000 - n }
    const process = {
      heapBytes,
      residentBytes: 90 * mebibyte,
      compiledFunctions,
      objects: 1,
      types,
      handles: 40,
    }
    return {
      seconds,
      processes: { 'server A': { ...process, codeBytes: 0, fileBytes: 0 } },
      postgresConnections: 10,
      redisConnections: 5,
    }
  })

const reportOf = (samples: Sample[]): SoakReport =>
  soakReport({
    machine: { cpu: 'c', cores: 2, memoryGiB: 4, system: 's', bun: '1', commit: 'abc', loadAverage: 1 },
    seed,
    minutes: 30,
    seconds: 1_800,
    requests: 1_800,
    cpu: { machine: 0.5, own: 0.4 },
    baseline: samples[0]!,
    samples,
    rest: samples.at(-1)!,
    checks: { counts: {}, violations: [] },
  })

const heapOf = ({ processes }: SoakReport) => processes['server A']!.heap

test('a heap that grows by 5 MiB an hour is a violation', () => {
  for (let n = 0; n < 10; n += 1) {
    const report = reportOf(samplesOf(createRandom(seed + n), { perHour: 5, noise: 0.2 }))
    expect(heapOf(report).verdict).toBe('violated')
    expect(report.violations).toHaveLength(1)
    expect(report.violations[0]).toContain('server A: heap grows by')
    expect(report.undecided).toEqual([])
  }
})

test('a heap that stays is shown to stay', () => {
  const report = reportOf(samplesOf(createRandom(seed), { perHour: 0, noise: 0.2 }))
  expect(heapOf(report).verdict).toBe('shown')
  expect(report.violations).toEqual([])
  expect(report.undecided).toEqual([])
})

test('growth that is hidden by waves is undecided: it does not count as shown', () => {
  const report = reportOf(samplesOf(createRandom(seed), { perHour: 2, noise: 12 }))
  expect(heapOf(report).verdict).toBe('undecided')
  expect(report.violations).toEqual([])
  expect(report.undecided).toHaveLength(1)
  expect(leastDetected(heapOf(report).slopeMiBPerHour)).toBeGreaterThan(2)
})

test('the limit decides by the interval, not by the estimate', () => {
  const samples = 88
  expect(verdictOf({ estimate: 20, low: -5, high: 45, samples })).toBe('undecided')
  expect(verdictOf({ estimate: 0.9, low: 0.6, high: 1.2, samples })).toBe('undecided')
  expect(verdictOf({ estimate: 0.9, low: 0.6, high: 1, samples })).toBe('shown')
  expect(verdictOf({ estimate: 1.2, low: 1.1, high: 1.3, samples })).toBe('violated')
  expect(verdictOf({ estimate: -5, low: -5, high: -5, samples: 3 })).toBe('undecided')
})

test('the types whose objects grow are named', () => {
  const { processes } = reportOf(samplesOf(createRandom(seed), { perHour: 5, noise: 0.2 }))
  expect(processes['server A']!.grown).toEqual({ Map: 84 })
})
