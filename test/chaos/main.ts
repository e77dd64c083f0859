// Runs faults against the real processes and checks the guarantees to clients. The exit code is 1 after any violation, and
// where a fault could not be injected or a control was not detected.
//   bun run chaos [realtime|worker|files …] [--only A,B] [--seed N] [--seeds N] [--seconds N] [--long] [--write]
//   bun run chaos consistency [--only VARIANT] [--seed N] [--seconds N]: the checker of histories on its variants
// --only: names of faults and of controls. --seeds: each fault so often, with seeds one after another.
// --long: each fault with its realistic duration and number; --seconds then bounds the duration.
// --write: keeps the rows in reliability/chaos.json, in the place of older ones, each when its runs have ended.
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { runConsistency } from '../consistency/run.ts'
import { machineFacts } from '../../bench/machine.ts'
import { Baselines, compareControl, controls } from './controls.ts'
import { runFiles } from './files/run.ts'
import { reasonOf } from './comparison.ts'
import { Keeper } from './keeper.ts'
import { canInject, runFaults } from './run-faults.ts'
import { controlRow, emptyRow, isGood, type FaultRow } from './results.ts'
import { suites } from './suites.ts'
import { textOf } from './table.ts'

const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  allowPositionals: true,
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string', default: '1' },
    seconds: { type: 'string' },
    only: { type: 'string' },
    long: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
})
const allSuites = [...Object.keys(suites), 'files']
const isConsistency = positionals[0] === 'consistency'
const chosen = positionals.length === 0 ? allSuites : positionals
if (!isConsistency && chosen.some((name) => !allSuites.includes(name))) {
  console.error(
    `usage: bun run chaos [${allSuites.join('|')} …|consistency] [--only FAULTS or CONTROLS] [--seed N] [--seeds N] [--seconds N] [--long] [--write]`,
  )
  process.exit(2)
}
const firstSeed = Number(values.seed ?? Math.floor(Math.random() * 1e9))
const seeds = Array.from({ length: Number(values.seeds) }, (_, n) => firstSeed + n)
const only = values.only?.split(',')
const isWanted = (name: string): boolean => only === undefined || only.includes(name)
const usualSeconds = 20
const maxControlSeconds = 6
const mostSeconds = values.seconds === undefined ? Infinity : Number(values.seconds)
const startedAt = performance.now()
const report = (line: string): void =>
  console.error(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${line}`)

const secondsOf = ({ longSeconds }: { longSeconds?: number }): number =>
  values.long
    ? Math.min(longSeconds ?? usualSeconds, mostSeconds)
    : values.seconds === undefined
      ? usualSeconds
      : mostSeconds

if (isConsistency) {
  const seconds = Math.min(usualSeconds, mostSeconds)
  process.exit((await runConsistency({ seed: firstSeed, seconds, only: values.only, report })) ? 0 : 1)
}

const kept = join(import.meta.dir, '..', '..', 'reliability')
const keeper = new Keeper({
  machine: machineFacts(),
  seeds: seeds.length,
  command: `bun run chaos ${process.argv.slice(2).join(' ')}`.trim(),
  folder: join(kept, 'results', new Date().toISOString().slice(0, 16).replace(':', '')),
  shown: values.write ? join(kept, 'chaos.json') : null,
})

const runControls = async (suite: string, seed: number): Promise<void> => {
  const baselines = new Baselines()
  for (const control of controls[suite]!.filter(({ variant }) => isWanted(variant))) {
    const { variant, fault } = control
    report(`control ${variant}: ${fault.title}`)
    const seconds = Math.min(mostSeconds, maxControlSeconds)
    const found = await compareControl(control, baselines, seed, seconds)
    await keeper.add({ controls: [controlRow(suite, seed, control, found)] })
    report(`control ${variant}: ${found.isDetected ? 'detected' : `NOT DETECTED${reasonOf(found)}`}`)
  }
}

/** Every suite with one seed; the controls with the first one only. */
const runSeed = async (seed: number): Promise<void> => {
  report(`seed ${seed}`)
  const isFirst = seed === firstSeed
  for (const suite of chosen) {
    const facts = { suite, seed, isLong: values.long }
    if (suite === 'files') {
      const seconds = Math.min(usualSeconds, mostSeconds)
      const keep: Keeper['add'] = (part) => keeper.add(part)
      await runFiles({ seed, seconds, isWanted, runsControls: isFirst, keep, report })
      continue
    }
    const wanted = suites[suite]!.filter(({ name }) => isWanted(name))
    for (const fault of wanted.filter((one) => !canInject(one)))
      await keeper.add({
        rows: [emptyRow({ ...facts, seconds: 0 }, fault, { notRun: fault.impossible!()! })],
      })
    const keep = (row: FaultRow): Promise<void> => keeper.add({ rows: [row] })
    await runFaults(facts, wanted.filter(canInject), { secondsOf, keep, report })
    if (isFirst) await runControls(suite, seed)
  }
}

for (const seed of seeds) await runSeed(seed)
console.log(textOf(keeper.report))
console.log(`seeds ${seeds.join(', ')}`)
process.exit(isGood(keeper.report) ? 0 : 1)
