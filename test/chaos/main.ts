// Runs faults against the real processes and checks the guarantees to clients. The exit code is 1 after any violation.
//   bun run chaos realtime|files|consistency [--seed N] [--seconds N] [--only FAULT] [--long]
// --long: each fault with its realistic duration and number; --seconds then bounds the duration.
import { parseArgs } from 'node:util'
import { Arena } from './arena.ts'
import { controls, runControl, type ControlResult } from './controls.ts'
import type { Fault, Outcome } from './fault.ts'
import { runConsistency } from '../consistency/run.ts'
import { printReport, sumOf } from '../consistency/report.ts'
import { runFiles } from './files/run.ts'
import { suites } from './suites.ts'
import { printControls, printOutcomes } from './table.ts'

const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  allowPositionals: true,
  options: {
    seed: { type: 'string' },
    seconds: { type: 'string' },
    only: { type: 'string' },
    long: { type: 'boolean', default: false },
  },
})
const suiteName = positionals[0] ?? ''
const suite = suites[suiteName]
const others = { files: runFiles, consistency: runConsistency }
const other = others[suiteName as keyof typeof others]
if (!suite && !other) {
  console.error(
    `usage: bun run chaos ${[...Object.keys(suites), ...Object.keys(others)].join('|')} [--seed N] [--seconds N] [--only FAULT or CONTROL] [--long]`,
  )
  process.exit(2)
}
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e9))
const startedAt = performance.now()
const report = (line: string): void => {
  console.error(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${line}`)
}

const sizes = { servers: 3, workers: 2, projects: 6, followers: 24, sockets: 3_000 }
const usualSeconds = 20
const maxControlSeconds = 6
const isLong = values.long
const mostSeconds = values.seconds === undefined ? Infinity : Number(values.seconds)
const isWanted = (name: string): boolean => values.only === undefined || name === values.only

const secondsOf = ({ longSeconds }: Fault): number =>
  isLong
    ? Math.min(longSeconds ?? usualSeconds, mostSeconds)
    : values.seconds === undefined
      ? usualSeconds
      : mostSeconds

/** Runs the faults in order: those without their own settings share one cluster. */
const runFaults = async (faults: Fault[]): Promise<Outcome[]> => {
  const outcomes: Outcome[] = []
  const usual = faults.filter(({ environment }) => !environment)
  for (const group of [usual, ...faults.filter(({ environment }) => environment).map((fault) => [fault])]) {
    if (group.length === 0) continue
    const [{ environment } = {}] = group
    await using arena = await Arena.open({
      ...sizes,
      isLong,
      seed,
      report,
      ...(environment && { environment }),
    })
    for (const fault of group) {
      report(fault.title)
      const outcome = await arena.run(fault, secondsOf(fault))
      outcomes.push(outcome)
      // At once: a fault that throws ends the run before the table.
      report(`${fault.name}: ${outcome.violations.length === 0 ? 'ok' : outcome.violations.join('; ')}`)
    }
  }
  return outcomes
}

const run = async (): Promise<boolean> => {
  report(`seed ${seed}`)
  if (!suite) {
    const seconds = Math.min(usualSeconds, mostSeconds)
    return await other({ seed, seconds, only: values.only, report })
  }
  const outcomes = await runFaults(suite.filter(({ name }) => isWanted(name)))
  const results: ControlResult[] = []
  for (const control of controls[suiteName]!.filter(({ variant }) => isWanted(variant))) {
    report(`control ${control.variant}: ${control.fault.title}`)
    results.push(await runControl(control, seed, Math.min(mostSeconds, maxControlSeconds)))
  }
  printOutcomes(outcomes)
  printControls(results)
  if (outcomes.length > 0) printReport(sumOf(outcomes.map(({ consistency }) => consistency)))
  return (
    outcomes.every(({ violations }) => violations.length === 0) &&
    results.every(({ isDetected }) => isDetected)
  )
}

process.exit((await run()) ? 0 : 1)
