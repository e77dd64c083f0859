// What runs of faults and controls leave: a row for each, merged over seeds, with the date and commit it belongs to.
import { loadavg } from 'node:os'
import { machineFacts, type Facts } from '../../bench/machine.ts'
import type { Comparison } from './comparison.ts'
import { titleOf, type Fault, type Outcome, type Recovery } from './fault.ts'
import { limitsOf } from './recovery.ts'

export interface FaultRow {
  suite: string
  name: string
  title: string
  /** Each has run once. */
  seeds: number[]
  /** Of each run, unless the fault takes what it needs. */
  seconds: number
  isLong: boolean
  /** Sums over the seeds. */
  counts: Record<string, number>
  /** Comparisons made for each property of consistency, sums over the seeds; absent where the suite records no history. */
  properties?: Record<string, number>
  /** Longest of the seeds, milliseconds; empty where the suite measures none. */
  recoveryMs: Partial<Recovery>
  limitsMs: Partial<Recovery>
  verdict: 'ok' | 'violated' | 'not run'
  violations: string[]
  notes: string[]
  date: string
  commit: string
  /** Load of the machine in the last minute of the run; the highest of the seeds. Absent in older rows. */
  load?: number
}

export interface ControlRow {
  suite: string
  variant: string
  title: string
  /** The count that shows the defect. */
  detectedBy: string
  count: number
  /** The same count in the same run of the product, which must be 0; absent where that was not run. */
  baseline?: number
  isDetected: boolean
  /** Why the run ended without a count. */
  error?: string
  seed: number
  date: string
  commit: string
  load?: number
}

export interface ChaosReport {
  machine: Facts['machine']
  rows: FaultRow[]
  controls: ControlRow[]
}

export interface RunFacts {
  suite: string
  seed: number
  seconds: number
  isLong: boolean
}

const { commit } = machineFacts()
/** What a row of now belongs to. */
export const stamp = () => ({
  date: new Date().toISOString().slice(0, 16),
  commit,
  load: Math.round(loadavg()[0]! * 10) / 10,
})
const maxLines = 6

export const faultRow = (
  { suite, seed, seconds, isLong }: RunFacts,
  { fault, counts, recoveryMs, violations, notes, consistency }: Outcome,
): FaultRow => ({
  suite,
  name: fault.name,
  title: titleOf(fault, isLong),
  seeds: [seed],
  seconds,
  isLong,
  counts: { ...counts, checked: consistency.rows.reduce((sum, { checked }) => sum + checked, 0) },
  properties: Object.fromEntries(consistency.rows.map(({ property, checked }) => [property, checked])),
  recoveryMs: {
    writers: Math.round(recoveryMs.writers),
    sockets: Math.round(recoveryMs.sockets),
    worker: Math.round(recoveryMs.worker),
  },
  limitsMs: limitsOf(fault),
  verdict: violations.length === 0 ? 'ok' : 'violated',
  violations: violations.map((line) => `seed ${seed}: ${line}`).slice(0, maxLines),
  notes: notes.filter(Boolean).slice(0, maxLines),
  ...stamp(),
})

/** A fault that was not injected, or whose run ended with an error. */
export const emptyRow = (
  { suite, seed, seconds, isLong }: RunFacts,
  fault: Pick<Fault, 'name' | 'title' | 'longTitle'>,
  { notRun, error }: { notRun?: string; error?: unknown },
): FaultRow => ({
  suite,
  name: fault.name,
  title: titleOf(fault, isLong),
  seeds: [seed],
  seconds,
  isLong,
  counts: {},
  recoveryMs: {},
  limitsMs: {},
  verdict: notRun === undefined ? 'violated' : 'not run',
  violations: notRun === undefined ? [`seed ${seed}: the run ended: ${String(error).slice(0, 300)}`] : [],
  notes: notRun === undefined ? [] : [notRun],
  ...stamp(),
})

export const controlRow = (
  suite: string,
  seed: number,
  { variant, fault, detectedBy }: { variant: string; fault: { title: string }; detectedBy: string },
  { count, baseline, isDetected, error }: Comparison,
): ControlRow => ({
  suite,
  variant,
  title: fault.title,
  detectedBy,
  count,
  ...(baseline !== null && { baseline }),
  isDetected,
  ...(error !== undefined && { error }),
  seed,
  ...stamp(),
})

const worst = { ok: 0, 'not run': 1, violated: 2 }

const summed = (one: Record<string, number>, other: Record<string, number>): Record<string, number> => {
  const names = [...new Set([...Object.keys(one), ...Object.keys(other)])]
  return Object.fromEntries(names.map((name) => [name, (one[name] ?? 0) + (other[name] ?? 0)]))
}

/** Each with its seed. */
const labelled = ({ seeds, notes }: FaultRow): string[] =>
  seeds.length > 1 ? notes : notes.map((note) => `seed ${seeds[0]}: ${note}`)

/** One row of the same fault with several seeds. */
const joined = (one: FaultRow, other: FaultRow): FaultRow => ({
  ...other,
  seeds: [...one.seeds, ...other.seeds],
  counts: summed(one.counts, other.counts),
  ...((one.properties ?? other.properties) && {
    properties: summed(one.properties ?? {}, other.properties ?? {}),
  }),
  recoveryMs: Object.fromEntries(
    Object.entries({ ...one.recoveryMs, ...other.recoveryMs }).map(([who]) => {
      const key = who as keyof Recovery
      return [key, Math.max(one.recoveryMs[key] ?? 0, other.recoveryMs[key] ?? 0)]
    }),
  ),
  limitsMs: { ...one.limitsMs, ...other.limitsMs },
  verdict: worst[one.verdict] > worst[other.verdict] ? one.verdict : other.verdict,
  violations: [...one.violations, ...other.violations].slice(0, maxLines),
  notes: [...labelled(one), ...labelled(other)],
  load: Math.max(one.load ?? 0, other.load ?? 0),
})

const nameOf = ({ suite, name }: Pick<FaultRow, 'suite' | 'name'>): string => `${suite} ${name}`

/** Rows of one command, one for each fault. */
export const overSeeds = (rows: readonly FaultRow[]): FaultRow[] =>
  [...Map.groupBy(rows, nameOf).values()].map((same) => same.reduce(joined))

/** Without a run, with a fault that was not injected, or with a control that was not detected, nothing is shown. */
export const isGood = ({ rows, controls }: Pick<ChaosReport, 'rows' | 'controls'>): boolean =>
  rows.length + controls.length > 0 &&
  rows.every(({ verdict }) => verdict === 'ok') &&
  controls.every(({ isDetected }) => isDetected)

const kindOf = (row: FaultRow): string =>
  `${nameOf(row)} ${row.isLong ? 'long' : row.seeds.length > 1 ? 'seeds' : 'once'}`

/** The rows of a new run in the place of those of the same kind; the others stay. */
export const merged = (kept: ChaosReport | null, added: ChaosReport): ChaosReport => {
  const place = <T>(before: readonly T[], after: readonly T[], keyOf: (one: T) => string): T[] => {
    const rows = new Map(before.map((one) => [keyOf(one), one]))
    for (const one of after) rows.set(keyOf(one), one)
    return [...rows.values()]
  }
  // A variant may have several faults: all its rows are replaced.
  const variantOf = ({ suite, variant }: ControlRow): string => `${suite} ${variant}`
  const variants = new Set(added.controls.map(variantOf))
  const isAdded = (row: ControlRow): boolean => variants.has(variantOf(row))
  return {
    machine: added.machine,
    rows: place(kept?.rows ?? [], added.rows, kindOf),
    controls: [...(kept?.controls ?? []).filter((one) => !isAdded(one)), ...added.controls],
  }
}
