// docs/reliability.md, rendered from the results in reliability/*.json. Invariant: nothing in the document is written by
// hand but the sentences here, and the same results give the same text.
import { join } from 'node:path'
import type { Facts } from '../../bench/machine.ts'
import type { ChaosReport, FaultRow } from '../chaos/results.ts'
import { controlTable, faultTable, machineText, markdownTable } from '../chaos/table.ts'
import type { SoakReport } from '../soak/report.ts'
import type { StormResults } from '../worker/storm-run.ts'
import { faultLines, type FaultLine } from './lines.ts'
import { soakSection } from './soak-section.ts'
import { stormsSection } from './storms-section.ts'

const root = join(import.meta.dir, '..', '..')

/** Written by `bun run chaos consistency`. */
export interface ConsistencyResult {
  date: string
  seed: number
  commit: string
  machine: Facts['machine']
  rows: { property: string; checked: number; violations: number; variantsCaught: string[] }[]
  variants: { name: string; caughtBy: string | string[] }[]
}

/** Written by `bun run fuzz`. Figures by name. */
export type FuzzResult = Record<string, unknown>

export interface Results {
  chaos: ChaosReport | null
  consistency: ConsistencyResult | null
  soak: SoakReport | null
  storms: StormResults | null
  fuzz: FuzzResult | null
}

export const readResults = async (): Promise<Results> => {
  const read = async (name: string): Promise<unknown> => {
    const file = Bun.file(join(root, 'reliability', `${name}.json`))
    return (await file.exists()) ? file.json() : null
  }
  const [chaos, consistency, soak, storms, fuzz] = await Promise.all(
    ['chaos', 'consistency', 'soak', 'storms', 'fuzz'].map(read),
  )
  return { chaos, consistency, soak, storms, fuzz } as Results
}

const verdicts = (rows: readonly FaultRow[], name: string): string => {
  const own = rows.filter((row) => `${row.suite} ${row.name}` === name)
  if (own.length === 0) return 'no result'
  return own
    .map(
      ({ verdict, isLong, seeds }) =>
        `${verdict}${isLong ? ' (long)' : seeds.length > 1 ? ` (${seeds.length} seeds)` : ''}`,
    )
    .join(', ')
}

const lineCells = ({ fault, rows, tests = [] }: FaultLine, results: readonly FaultRow[]): string[] => [
  fault,
  [
    ...rows.map((name) => `${name}: ${verdicts(results, name)}`),
    ...tests.map(({ file, title }) => `\`${file}\`: ${title}`),
  ].join('<br>'),
  [
    ...rows.map((name) => `\`bun run chaos ${name.replace(' ', ' --only ')}\``),
    ...tests.map(({ file }) => `\`npm test -- ${file}\``),
  ].join('<br>'),
]

/** What the faults say of themselves: how often, where, with which figures. */
const notesOf = (rows: readonly FaultRow[]): string[] => {
  const lines = rows
    .filter(({ notes }) => notes.length > 0)
    .map(({ suite, name, notes }) => `- ${suite} ${name}: ${notes.join('; ')}`)
  return lines.length === 0 ? [] : [`\nNotes:\n\n${lines.join('\n')}`]
}

const chaosSection = ({ rows, controls, machine }: ChaosReport): string => {
  const once = rows.filter(({ seeds, isLong }) => seeds.length === 1 && !isLong)
  const repeated = rows.filter(({ seeds, isLong }) => seeds.length > 1 && !isLong)
  const long = rows.filter(({ isLong }) => isLong)
  const part = (title: string, own: readonly FaultRow[]): string[] =>
    own.length === 0
      ? []
      : [
          `\n### ${title}\n`,
          faultTable(own),
          ...notesOf(own),
          `\nSeeds: ${[...new Set(own.flatMap(({ seeds }) => seeds))].join(', ')}.`,
        ]
  return [
    `${machineText(machine)}. Load of the machine when the last run began: ${machine.loadAverage}.\n`,
    markdownTable(
      ['Fault', 'Rows and verdicts', 'Rerun'],
      faultLines.map((line) => lineCells(line, rows)),
    ),
    ...part('Each fault once', once),
    ...part('Important faults with several seeds', repeated),
    ...part('Realistic durations and numbers', long),
    '\n### Controls\n',
    'The same runs on variants of the product without one mechanism. A variant that is not detected would mean that the counts above show nothing, and so would a count that the product has in the same run.\n',
    controlTable(controls),
  ].join('\n')
}

const consistencySection = ({ date, seed, commit, machine, rows, variants }: ConsistencyResult): string =>
  [
    `${date.slice(0, 16)}, commit ${commit.slice(0, 10)}, seed ${seed}. ${machineText(machine)}. Load of the machine when the run began: ${machine.loadAverage}. Histories of clients (every call with its start, end, answer and position, every applied frame) are checked after runs without and with faults, and on broken variants.\n`,
    markdownTable(
      ['Property', 'Checked', 'Violations', 'Variants it names'],
      rows.map(({ property, checked, violations, variantsCaught }) => [
        property,
        String(checked),
        String(violations),
        String(variantsCaught.length),
      ]),
    ),
    `\n${variants.length} broken variants:\n`,
    markdownTable(
      ['Variant', 'Named by'],
      variants.map(({ name, caughtBy }) => [name, [caughtBy].flat().join(', ') || 'NOT CAUGHT']),
    ),
  ].join('\n')

const fuzzSection = (fuzz: FuzzResult): string =>
  markdownTable(
    ['Figure', 'Value'],
    Object.entries(fuzz).map(([name, value]) => [
      name,
      typeof value === 'string' ? value : JSON.stringify(value),
    ]),
  )

const section = <T>(
  title: string,
  command: string,
  result: T | null,
  render: (result: T) => string,
): string =>
  `\n## ${title}\n\nRerun: ${command}\n\n${result === null ? 'No result is kept yet.' : render(result)}\n`

export const renderReliability = ({ chaos, consistency, soak, storms, fuzz }: Results): string =>
  [
    '# Reliability\n',
    'What was injected into the real processes, what was counted, and how long recovery took. `bun run reliability` writes this page from `reliability/*.json`; the commands below write those files. Dates and commits are those of the measured runs.\n',
    'Every run of a fault of the suites realtime and worker has writers with a ledger of what was acknowledged, sockets that follow, drop and resume, and people whose acts notify. It counts: acknowledged writes that are missing, unacknowledged ones with effects, entries missing, repeated, out of order or leaked at sockets, notifications, rows of activity and announcements of changed profiles missing or twice, streams that differ from the log, statistics that differ from the rows at any snapshot, mails missing or repeated. Limits of recovery: 2 s for writers, 10 s until every socket has everything, 15 s for workers.\n',
    'Every run of a fault of the suite files has a user who uploads through the server and past it, stores to signed URLs again, and deletes attachments, tasks and projects. It counts: objects without a row, rows without an object or with another one than was verified, acknowledged attachments that are gone, deliveries that were done twice or do not end, what sweeps leave, touch or flag wrongly. It measures no recovery: it waits until everything has ended.\n',
    'Both count requests without an answer for 10 s, 5xx that name internals, exits and unhandled rejections. All these counts must be 0.',
    section(
      'Faults',
      '`bun run chaos -- --seconds 6 --write`; `--only A,B` for some, `--seeds 10` with ten seeds, `--long` at realistic durations',
      chaos,
      chaosSection,
    ),
    section('Consistency', '`bun run chaos consistency`', consistency, consistencySection),
    section('Soak', `\`bun run soak -- --minutes ${soak?.minutes ?? 30} --write\``, soak, soakSection),
    section('Loads for workers', '`bun run storms -- --write`', storms, stormsSection),
    section('Fuzzing', '`bun run fuzz`', fuzz, fuzzSection),
  ].join('\n')
