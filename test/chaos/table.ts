// Prints the counts of runs as a table.
import type { ControlResult } from './controls.ts'
import type { Outcome } from './fault.ts'

const columns: [title: string, value: (outcome: Outcome) => string | number][] = [
  ['fault', ({ fault }) => fault.name],
  ['injected', ({ counts }) => counts.injected],
  ['writes', ({ counts }) => counts.writes],
  ['lost', ({ counts }) => counts.lost],
  ['repeated', ({ counts }) => counts.repeated],
  ['reordered', ({ counts }) => counts.reordered],
  ['leaked', ({ counts }) => counts.leaked],
  ['resyncs', ({ counts }) => counts.resyncs],
  ['failures', ({ counts }) => counts.failures],
  ['writers ms', ({ recoveryMs }) => recoveryMs.writers.toFixed(0)],
  ['sockets ms', ({ recoveryMs }) => recoveryMs.sockets.toFixed(0)],
  ['', ({ violations }) => (violations.length === 0 ? 'ok' : 'VIOLATED')],
]

export const printOutcomes = (outcomes: Outcome[]): void => {
  if (outcomes.length === 0) return
  const rows = [
    columns.map(([title]) => title),
    ...outcomes.map((one) => columns.map(([, of]) => String(of(one)))),
  ]
  const widths = columns.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  for (const row of rows)
    console.log(
      row.map((cell, n) => (n === 0 ? cell.padEnd(widths[n]!) : cell.padStart(widths[n]!))).join('  '),
    )
  for (const { fault, notes, violations } of outcomes) {
    for (const line of notes) console.log(`${fault.name}: ${line}`)
    for (const line of violations) console.log(`${fault.name}: ✗ ${line}`)
  }
}

export const printControls = (results: ControlResult[]): void => {
  for (const { control, counts, isDetected } of results) {
    const { lost, repeated, reordered, leaked } = counts
    console.log(
      `control ${control.variant} (${control.fault.name}): lost ${lost}, repeated ${repeated}, reordered ${reordered}, leaked ${leaked}: ${isDetected ? 'detected' : '✗ NOT DETECTED'}`,
    )
  }
}
