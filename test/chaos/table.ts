// Rows of faults and controls as tables: padded for a terminal, and as Markdown.
import type { Facts } from '../../bench/machine.ts'
import { reasonOf } from './comparison.ts'
import type { Recovery } from './fault.ts'
import type { ChaosReport, ControlRow, FaultRow } from './results.ts'
import { suites } from './suites.ts'

/** Counts that are no violation, in the order of the table. */
const amounts = [
  'injected',
  'writes',
  'uploads',
  'verified',
  'overwrites',
  'deletions',
  'objects',
  'notified',
  'effects',
  'exact',
  'skipped',
  'mails',
  'checked',
]
/** Whether every client must read its snapshot again. */
const isResyncing = ({ suite, name }: FaultRow): boolean =>
  suites[suite]?.some((fault) => fault.name === name && fault.resyncs) ?? false

const amountsOf = (row: FaultRow): readonly string[] => (isResyncing(row) ? [...amounts, 'resyncs'] : amounts)

/** Counts that must be 0. */
const faultCounts = (row: FaultRow): [string, number][] =>
  Object.entries(row.counts).filter(([name]) => !amountsOf(row).includes(name))

const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`

export const markdownTable = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')

const padded = (rows: readonly (readonly string[])[]): string => {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows.map((row) => row.map((cell, n) => cell.padEnd(widths[n]!)).join('  ')).join('\n')
}

const secondsText = (ms: number | null): string => (ms === null ? 'never' : `${(ms / 1_000).toFixed(1)} s`)

const recoveryText = ({ recoveryMs, limitsMs }: FaultRow): string =>
  (Object.entries(recoveryMs) as [keyof Recovery, number | null][])
    .map(([who, ms]) => `${who} ${secondsText(ms)} of ${secondsText(limitsMs[who] ?? null)}`)
    .join(', ') || '-'

const amountsText = (row: FaultRow): string =>
  amountsOf(row)
    .filter((name) => row.counts[name])
    .map((name) => `${row.counts[name]} ${name}`)
    .join(', ') || '-'

/** What was found; `0` where nothing was. */
const foundText = (row: FaultRow): string =>
  faultCounts(row)
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${count} ${name}`)
    .join(', ') || (Object.keys(row.counts).length === 0 ? '-' : '0')

const head = ['Suite', 'Fault', 'Runs', 'Amounts', 'Violations counted', 'Time to recovery', 'Verdict']

const cells = (row: FaultRow): string[] => [
  row.suite,
  `${row.name}: ${row.title}`,
  String(row.seeds.length),
  amountsText(row),
  foundText(row),
  recoveryText(row),
  row.verdict === 'not run' ? `not run: ${row.notes.join('; ')}` : row.verdict,
]

const controlHead = ['Suite', 'Variant', 'Fault', 'Detected by', 'Count', 'Verdict']
const controlCells = (row: ControlRow): string[] => [
  row.suite,
  row.variant,
  row.title,
  row.detectedBy,
  `${row.count}${row.baseline === undefined ? '' : `, of the product ${row.baseline}`}`,
  row.isDetected ? 'detected' : 'NOT DETECTED',
]

export const textOf = ({ rows, controls }: Pick<ChaosReport, 'rows' | 'controls'>): string =>
  [
    ...(rows.length > 0 ? [padded([head, ...rows.map(cells)])] : []),
    ...rows.flatMap((row) => row.notes.map((note) => `${row.name}: ${note}`)),
    ...(controls.length > 0 ? [padded([controlHead, ...controls.map(controlCells)])] : []),
    ...rows.flatMap((row) => row.violations.map((violation) => `${row.name}: ✗ ${violation}`)),
    ...controls
      .filter(({ isDetected }) => !isDetected)
      .map((row) => `✗ ${row.variant} is not detected${reasonOf(row)}`),
  ].join('\n')

export const machineText = ({ cpu, cores, memoryGiB, system, bun }: Facts['machine']): string =>
  `${cpu}, ${cores} cores shared by everything, ${memoryGiB} GiB; ${system}; Bun ${bun}`

const stampText = ({ date, commit, load }: FaultRow | ControlRow): string =>
  `${date}, ${commit}${load === undefined ? '' : `, ${load}`}`

export const faultTable = (rows: readonly FaultRow[]): string =>
  markdownTable(
    [...head, 'Date, commit, load'],
    rows.map((row) => [...cells(row), stampText(row)]),
  )

export const controlTable = (rows: readonly ControlRow[]): string =>
  markdownTable(
    [...controlHead, 'Date, commit, load'],
    rows.map((row) => [...controlCells(row), stampText(row)]),
  )

/** The report of one command. */
export const markdownOf = ({ rows, controls, machine }: ChaosReport, command: string): string =>
  [
    `# Faults of ${new Date().toISOString().slice(0, 10)}\n`,
    `\`${command}\`, commit ${machine.commit}, load of the machine at the start ${machine.loadAverage}. ${machineText(machine)}. Seeds ${[...new Set(rows.flatMap(({ seeds }) => seeds))].join(', ')}.\n`,
    faultTable(rows),
    ...(controls.length > 0 ? ['\n## Controls\n', controlTable(controls)] : []),
    ...rows.flatMap(({ name, violations }) => violations.map((text) => `\n- ${name}: ${text}`)),
    '',
  ].join('\n')
