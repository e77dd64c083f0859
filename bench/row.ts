// A row of the report: what is measured, what it has to reach, and what a run found. A target names a figure of the row;
// a row without targets is a limit or a fact that other rows are compared with.
import type { PartTimes } from './installation.ts'
import type { Percentiles } from './statistics.ts'

export interface Target {
  figure: string
  atMost?: number
  atLeast?: number
}

export interface Row {
  id: string
  /** As the table says it. */
  title: string
  targets: readonly Target[]
}

export interface RowResult {
  row: string
  /** By name, in the unit that the name ends in; a ratio has none. */
  figures: Record<string, number>
  /** What the figures were compared with, in the same rounds. */
  against?: string
  latency?: Percentiles
  /** Answers of each second, of the median round. */
  series?: number[]
  /** CPU time of each process per request or entry, microseconds. */
  cpuUs?: PartTimes
  /** CPU time of the load's own process, as a share of one core. */
  generatorCpu?: number
  failed: number
  /** What a reader has to know: sizes, a missing tool, a second generator. */
  notes: string[]
}

export type Verdict = 'met' | 'missed' | 'not measured' | '-'

/** Whether every target holds; a figure that is missing or NaN was not measured. */
export const verdictOf = (row: Row, result: RowResult | undefined): Verdict => {
  if (!result) return 'not measured'
  if (row.targets.length === 0) return '-'
  const values = row.targets.map(({ figure }) => result.figures[figure] ?? Number.NaN)
  if (values.some(Number.isNaN)) return 'not measured'
  const isMet = row.targets.every(
    ({ atMost = Infinity, atLeast = -Infinity }, index) =>
      values[index]! <= atMost && values[index]! >= atLeast,
  )
  return isMet && result.failed === 0 ? 'met' : 'missed'
}

const units: [RegExp, (value: string) => string][] = [
  [/Us$/, (value) => `${value} µs`],
  [/Ms$/, (value) => `${value} ms`],
  [/Seconds$/, (value) => `${value} s`],
  [/Kb$/, (value) => `${value} KB`],
  [/Mb$/, (value) => `${value} MB`],
  [/MbPerSecond$/, (value) => `${value} MB/s`],
  [/PerSecond$/, (value) => `${value}/s`],
  [/Percent$/, (value) => `${value} %`],
  [/[rR]atio$/, (value) => `${value} x`],
]

/** A figure with the unit of its name. */
export const withUnit = (name: string, value: number): string => {
  const text = Number.isNaN(value) ? '-' : String(value)
  // The longest ending first: MbPerSecond also ends in PerSecond.
  const [, format] =
    units.toSorted(([a], [b]) => b.source.length - a.source.length).find(([ending]) => ending.test(name)) ??
    []
  return format ? format(text) : text
}

/** `p99Ms at most 20`, as the table writes it. */
export const targetText = ({ targets }: Row): string =>
  targets
    .map(({ figure, atMost, atLeast }) =>
      atMost === undefined
        ? `${labelOf(figure)} at least ${withUnit(figure, atLeast!)}`
        : `${labelOf(figure)} at most ${withUnit(figure, atMost)}`,
    )
    .join(', ')

/** `firstByteMs` → `first byte`, `serverCpuUs` → `server CPU`, `perSecond` → `rate`. */
export const labelOf = (figure: string): string =>
  figure
    .replace(/(?:Mb[pP]erSecond|[pP]erSecond|Us|Ms|Seconds|Kb|Mb|Percent)$/, '')
    .replaceAll(/([A-Z])/g, (letter) => ` ${letter.toLowerCase()}`)
    .replace(/\bcpu\b/, 'CPU')
    .trim() || 'rate'
