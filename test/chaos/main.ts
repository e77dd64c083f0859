// Faults against the real processes, judged by what the client was promised. Any violation is an exit code.
//   bun run chaos realtime [--seed N] [--seconds N] [--only FAULT]
import { parseArgs } from 'node:util'
import { Arena } from './arena.ts'
import { controls, judgeControl, type Verdict } from './controls.ts'
import type { Fault, Outcome } from './fault.ts'
import { suites } from './suites.ts'
import { printControls, printOutcomes } from './table.ts'

const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  allowPositionals: true,
  options: {
    seed: { type: 'string' },
    seconds: { type: 'string', default: '20' },
    only: { type: 'string' },
  },
})
const suiteName = positionals[0] ?? ''
const suite = suites[suiteName]
if (!suite) {
  console.error(
    `usage: bun run chaos ${Object.keys(suites).join('|')} [--seed N] [--seconds N] [--only FAULT or CONTROL]`,
  )
  process.exit(2)
}
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e9))
const startedAt = performance.now()
const report = (line: string): void => {
  console.error(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${line}`)
}

const seconds = Number(values.seconds)
const sizes = { servers: 3, workers: 2, projects: 6, followers: 24 }
const maxControlSeconds = 6
const isWanted = (name: string): boolean => values.only === undefined || name === values.only

/** Runs the faults on one cluster, in order. */
const runFaults = async (faults: Fault[]): Promise<Outcome[]> => {
  if (faults.length === 0) return []
  await using arena = await Arena.open({ ...sizes, sockets: 3_000, seed, report })
  const outcomes: Outcome[] = []
  for (const fault of faults) {
    report(fault.title)
    outcomes.push(await arena.run(fault, seconds))
  }
  return outcomes
}

const run = async (): Promise<boolean> => {
  report(`seed ${seed}, ${seconds} s a fault`)
  const outcomes = await runFaults(suite.filter(({ name }) => isWanted(name)))
  const verdicts: Verdict[] = []
  for (const control of controls[suiteName]!.filter(({ variant }) => isWanted(variant))) {
    report(`control ${control.variant}: ${control.fault.title}`)
    verdicts.push(await judgeControl(control, seed, Math.min(seconds, maxControlSeconds)))
  }
  printOutcomes(outcomes)
  printControls(verdicts)
  return (
    outcomes.every(({ violations }) => violations.length === 0) && verdicts.every(({ isCaught }) => isCaught)
  )
}

process.exit((await run()) ? 0 : 1)
