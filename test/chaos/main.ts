// Faults against the real processes, judged by what the client was promised. Any violation is an exit code.
//   bun run chaos realtime [--seed N] [--seconds N] [--only FAULT]
import { parseArgs } from 'node:util'
import { Arena } from './arena.ts'
import type { Outcome } from './fault.ts'
import { suites } from './suites.ts'
import { printOutcomes } from './table.ts'

const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  allowPositionals: true,
  options: {
    seed: { type: 'string' },
    seconds: { type: 'string', default: '20' },
    only: { type: 'string' },
  },
})
const suite = suites[positionals[0] ?? '']
if (!suite) {
  console.error(
    `usage: bun run chaos ${Object.keys(suites).join('|')} [--seed N] [--seconds N] [--only FAULT]`,
  )
  process.exit(2)
}
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e9))
const startedAt = performance.now()
const report = (line: string): void => {
  console.error(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${line}`)
}

const run = async (): Promise<boolean> => {
  report(`seed ${seed}, ${values.seconds} s a fault`)
  const outcomes: Outcome[] = []
  await using arena = await Arena.open({ seed, servers: 3, workers: 2, projects: 6, followers: 24, report })
  for (const fault of suite.filter(({ name }) => values.only === undefined || name === values.only)) {
    report(fault.title)
    outcomes.push(await arena.run(fault, Number(values.seconds)))
  }
  printOutcomes(outcomes)
  return outcomes.every(({ violations }) => violations.length === 0)
}

process.exit((await run()) ? 0 : 1)
