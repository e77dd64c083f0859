// Runs faults against the real processes and checks the guarantees to clients. The exit code is 1 after any violation.
//   bun run chaos [realtime|worker|files …] [--only A,B] [--seed N] [--seeds N] [--seconds N] [--long] [--write]
//   bun run chaos consistency [--only VARIANT] [--seed N] [--seconds N]: the checker of histories on its variants
// --only: names of faults and of controls. --seeds: each fault so often, with seeds one after another.
// --long: each fault with its realistic duration and number; --seconds then bounds the duration.
// --write: keeps the rows in reliability/chaos.json, in the place of older ones.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { runConsistency } from '../consistency/run.ts'
import { machineFacts } from '../../bench/machine.ts'
import { controls, runControl } from './controls.ts'
import { runFiles } from './files/run.ts'
import { canInject, runFaults } from './run-faults.ts'
import { controlRow, emptyRow, merged, overSeeds, type ChaosReport } from './results.ts'
import { suites } from './suites.ts'
import { markdownOf, textOf } from './table.ts'

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

const kept = join(import.meta.dir, '..', '..', 'reliability', 'chaos.json')
const resultsFolder = join(import.meta.dir, '..', '..', 'reliability', 'results')

const secondsOf = ({ longSeconds }: { longSeconds?: number }): number =>
  values.long
    ? Math.min(longSeconds ?? usualSeconds, mostSeconds)
    : values.seconds === undefined
      ? usualSeconds
      : mostSeconds

/** Every suite with one seed. */
const runSeed = async (seed: number): Promise<Pick<ChaosReport, 'rows' | 'controls'>> => {
  report(`seed ${seed}`)
  const result: Pick<ChaosReport, 'rows' | 'controls'> = { rows: [], controls: [] }
  const isFirst = seed === firstSeed
  for (const suite of chosen) {
    const facts = { suite, seed, isLong: values.long }
    if (suite === 'files') {
      const seconds = Math.min(usualSeconds, mostSeconds)
      const files = await runFiles({ seed, seconds, isWanted, runsControls: isFirst, report })
      result.rows.push(...files.rows)
      result.controls.push(...files.controls)
      continue
    }
    const wanted = suites[suite]!.filter(({ name }) => isWanted(name))
    for (const fault of wanted.filter((one) => !canInject(one)))
      result.rows.push(emptyRow({ ...facts, seconds: 0 }, fault, { notRun: fault.impossible!()! }))
    result.rows.push(...(await runFaults(facts, wanted.filter(canInject), { secondsOf, report })))
    for (const control of isFirst ? controls[suite]!.filter(({ variant }) => isWanted(variant)) : []) {
      report(`control ${control.variant}: ${control.fault.title}`)
      const found = await runControl(control, seed, Math.min(mostSeconds, maxControlSeconds))
      result.controls.push(controlRow(suite, seed, found))
      report(`control ${control.variant}: ${found.isDetected ? 'detected' : 'NOT DETECTED'}`)
    }
  }
  return result
}

/** Always as files of its own; with --write also in the place of the rows that docs/reliability.md shows. */
const keep = async (result: ChaosReport): Promise<void> => {
  const folder = join(resultsFolder, new Date().toISOString().slice(0, 16).replace(':', ''))
  await mkdir(folder, { recursive: true })
  const json = (one: ChaosReport): string => `${JSON.stringify(one, null, 2)}\n`
  await Bun.write(join(folder, 'chaos.json'), json(result))
  const command = `bun run chaos ${process.argv.slice(2).join(' ')}`.trim()
  await Bun.write(join(folder, 'chaos.md'), markdownOf(result, command))
  report(`report in ${folder}`)
  if (!values.write) return
  const file = Bun.file(kept)
  await Bun.write(kept, json(merged((await file.exists()) ? await file.json() : null, result)))
}

if (isConsistency) {
  const seconds = Math.min(usualSeconds, mostSeconds)
  process.exit((await runConsistency({ seed: firstSeed, seconds, only: values.only, report })) ? 0 : 1)
}
const machine = machineFacts()
const runs: Awaited<ReturnType<typeof runSeed>>[] = []
for (const seed of seeds) runs.push(await runSeed(seed))
const result: ChaosReport = {
  machine,
  rows: overSeeds(runs.flatMap(({ rows }) => rows)),
  controls: runs.flatMap(({ controls }) => controls),
}
console.log(textOf(result))
console.log(`seeds ${seeds.join(', ')}`)
await keep(result)
const isGood =
  result.rows.every(({ verdict }) => verdict !== 'violated') &&
  result.controls.every(({ isDetected }) => isDetected)
process.exit(isGood ? 0 : 1)
