// The command line of the bench, and the numbers and charts it makes of measurements.
import { describe, expect, test } from 'bun:test'
import { helpText, readOptions, UsageError } from '../../bench/options.ts'
import { planOf } from '../../bench/plan.ts'
import { plotsOf } from '../../bench/report/plots.ts'
import { linear, logarithmic } from '../../bench/report/svg.ts'
import { targetText, verdictOf, withUnit } from '../../bench/row.ts'
import { allRows, knownNames, sections } from '../../bench/sections/all.ts'
import { uniform, zipf } from '../../bench/sections/writes.ts'
import { percentilesOf } from '../../bench/statistics.ts'

const read = (...args: string[]) => readOptions(args, knownNames)

describe('the command line', () => {
  test('takes rows, sections and the names of the first version', () => {
    expect(read('--only', 'create, list')).toMatchObject({ only: ['create', 'list'], command: 'measure' })
    expect(read('sockets', '--quick')).toMatchObject({ only: ['sockets'], isQuick: true })
    expect(read('fairness', 'writers')).toMatchObject({ only: ['fairness', 'writers'] })
    expect(read('claims', '--write')).toMatchObject({ command: 'claims', writes: true, only: [] })
    expect(read('--quick', '--out', 'there')).toMatchObject({ out: 'there' })
    expect(read('--help')).toBe('help')
  })

  test('refuses what it does not know, with the reason', () => {
    const refused = [
      ['--only', 'nothing'],
      ['--rounds', '0'],
      ['--against', 'x', '--token', 't'],
      ['--fast'],
      ['--writes'],
    ]
    for (const args of refused) expect(() => read(...args)).toThrow(UsageError)
    expect(() => read('--against', 'http://127.0.0.1:3000')).toThrow('--against and --token belong together')
  })

  test('writes to another installation only where it is asked to', () => {
    const against = ['--against', 'http://127.0.0.1:3000/api', '--token', 't']
    expect(read(...against)).toMatchObject({ against: { url: 'http://127.0.0.1:3000', mayWrite: false } })
    expect(read(...against, '--writes')).toMatchObject({ against: { mayWrite: true } })
  })

  test('names every row in its help', () => {
    const text = helpText(sections)
    expect(allRows.filter(({ id }) => !text.includes(id))).toEqual([])
  })
})

test('Row names are unique, and every target names its bound', () => {
  expect(new Set(knownNames).size).toBe(knownNames.length)
  const open = allRows
    .flatMap(({ targets }) => targets)
    .filter((one) => one.atMost === undefined && one.atLeast === undefined)
  expect(open).toEqual([])
})

test('A plan of fewer rounds keeps its sizes', () => {
  expect(planOf(true, 1)).toEqual({ ...planOf(true, null), rounds: 1 })
})

describe('a verdict', () => {
  const row = {
    id: 'a',
    title: 'a',
    targets: [
      { figure: 'p99Ms', atMost: 20 },
      { figure: 'ratio', atLeast: 0.5 },
    ],
  }
  const result = (figures: Record<string, number>, failed = 0) => ({ row: 'a', figures, failed, notes: [] })

  test('is met when every target holds and nothing failed', () => {
    expect(verdictOf(row, result({ p99Ms: 20, ratio: 0.5 }))).toBe('met')
    expect(verdictOf(row, result({ p99Ms: 20.1, ratio: 0.5 }))).toBe('missed')
    expect(verdictOf(row, result({ p99Ms: 20, ratio: 0.49 }))).toBe('missed')
    expect(verdictOf(row, result({ p99Ms: 20, ratio: 0.5 }, 1))).toBe('missed')
  })

  test('is not measured where a figure is missing', () => {
    expect(verdictOf(row, result({ p99Ms: 1 }))).toBe('not measured')
    expect(verdictOf(row, undefined)).toBe('not measured')
  })

  test('states figures with their units', () => {
    expect(withUnit('serverCpuUs', 12)).toBe('12 µs')
    expect(withUnit('jsonMbPerSecond', 40)).toBe('40 MB/s')
    expect(targetText(row)).toBe('p99 at most 20 ms, ratio at least 0.5 x')
  })
})

test('Zipf 1.5 chooses the first of 1,000 tasks for 39 % of the changes, uniform for none more than others', () => {
  const shares = (pick: (random: number) => number): number[] => {
    const counts = Array.from({ length: 1_000 }, () => 0)
    for (let n = 0; n < 100_000; n += 1) counts[pick((n + 0.5) / 100_000)]! += 1
    return counts.map((count) => count / 100_000)
  }
  const skewed = shares(zipf(1_000))
  expect(skewed[0]).toBeCloseTo(0.393, 2)
  expect(skewed[1]! / skewed[0]!).toBeCloseTo(2 ** -1.5, 2)
  expect(Math.max(...shares(uniform(1_000)))).toBeCloseTo(0.001, 5)
})

test('Percentiles are of the nearest rank', () => {
  const values = Array.from({ length: 1_000 }, (_, index) => index + 1)
  expect(percentilesOf(values)).toEqual({ p50: 501, p90: 901, p99: 991, p999: 1000, max: 1000 })
})

describe('charts', () => {
  test('scales have round ticks that include all values', () => {
    expect(linear(23, 0, 100).ticks).toEqual([0, 5, 10, 15, 20, 25])
    expect(logarithmic(0.3, 40, 0, 100).ticks).toEqual([0.1, 1, 10, 100])
    expect(logarithmic(2, 90, 0, 100)(10)).toBeCloseTo(50)
  })

  test('every plot is well-formed, has its axes, and follows the background of the reader', () => {
    const latency = { p50: 1, p90: 2, p99: 5, p999: 9, max: 10 }
    const cpuUs = { server: 100, worker: 20, postgresql: 200, redis: 5 }
    const row = (id: string) => ({
      row: id,
      figures: {},
      latency,
      cpuUs,
      series: [10, 20, 30],
      failed: 0,
      notes: [],
    })
    const plotNames = ['fan-out', 'knee', 'growth-tasks', 'growth-listeners', 'growth-backlog']
    const plots = plotsOf({
      rows: [row('create'), row('list')],
      curves: plotNames.map((plot) => ({
        plot,
        name: 'a <b> & "c"',
        points: [
          [100, 0],
          [1_000, 30],
        ],
      })),
    })
    expect(Object.keys(plots).toSorted()).toEqual([...plotNames, 'latency', 'cpu', 'throughput'].toSorted())
    for (const [name, svg] of Object.entries(plots)) {
      expect(svg, name).not.toMatch(/NaN|undefined|Infinity/)
      expect(svg, name).toContain('prefers-color-scheme: dark')
      const tags = (pattern: RegExp) => Map.groupBy(svg.matchAll(pattern), ([, tag]) => tag)
      const closed = tags(/<\/([a-z]+)>/g)
      for (const [tag, opened] of tags(/<([a-z]+)\b[^>]*[^/]>/g))
        expect(closed.get(tag)?.length, `${name}: ${tag}`).toBe(opened.length)
    }
  })
})
