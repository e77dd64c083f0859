// What runs of faults and controls leave: a row for each, merged over seeds, with the date and commit it belongs to.
import { machineFacts, type Facts } from '../../bench/machine.ts'
import type { ControlResult } from './controls.ts'
import { recoveryLimitsMs, titleOf, type Fault, type Outcome, type Recovery } from './fault.ts'

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
  /** Longest of the seeds, milliseconds; empty where the suite measures none. */
  recoveryMs: Partial<Recovery>
  limitsMs: Partial<Recovery>
  verdict: 'ok' | 'violated' | 'not run'
  violations: string[]
  notes: string[]
  date: string
  commit: string
}

export interface ControlRow {
  suite: string
  variant: string
  title: string
  /** The count that shows the defect. */
  detectedBy: string
  count: number
  isDetected: boolean
  seed: number
  date: string
  commit: string
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
export const stamp = () => ({ date: new Date().toISOString().slice(0, 16), commit })
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
  recoveryMs: {
    writers: Math.round(recoveryMs.writers),
    sockets: Math.round(recoveryMs.sockets),
    worker: Math.round(recoveryMs.worker),
  },
  limitsMs: { ...recoveryLimitsMs, ...fault.recoveryMs },
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
  { control, counts, isDetected }: ControlResult,
): ControlRow => ({
  suite,
  variant: control.variant,
  title: control.fault.title,
  detectedBy: control.detectedBy,
  count: counts[control.detectedBy],
  isDetected,
  seed,
  ...stamp(),
})

const worst = { ok: 0, 'not run': 1, violated: 2 }

/** One row of the same fault with several seeds. */
const joined = (one: FaultRow, other: FaultRow): FaultRow => ({
  ...other,
  seeds: [...one.seeds, ...other.seeds],
  counts: Object.fromEntries(
    [...new Set([...Object.keys(one.counts), ...Object.keys(other.counts)])].map((name) => [
      name,
      (one.counts[name] ?? 0) + (other.counts[name] ?? 0),
    ]),
  ),
  recoveryMs: Object.fromEntries(
    Object.entries({ ...one.recoveryMs, ...other.recoveryMs }).map(([who]) => {
      const key = who as keyof Recovery
      return [key, Math.max(one.recoveryMs[key] ?? 0, other.recoveryMs[key] ?? 0)]
    }),
  ),
  limitsMs: { ...one.limitsMs, ...other.limitsMs },
  verdict: worst[one.verdict] > worst[other.verdict] ? one.verdict : other.verdict,
  violations: [...one.violations, ...other.violations].slice(0, maxLines),
  notes: other.notes,
})

const nameOf = ({ suite, name }: Pick<FaultRow, 'suite' | 'name'>): string => `${suite} ${name}`

/** Rows of one command, one for each fault. */
export const overSeeds = (rows: readonly FaultRow[]): FaultRow[] =>
  [...Map.groupBy(rows, nameOf).values()].map((same) => same.reduce(joined))

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
