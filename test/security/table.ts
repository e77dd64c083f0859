// The table of docs/security.md and its last section, which `bun run security` writes: what became of the tests that each
// row names.
import { machineText, markdownTable } from '../chaos/table.ts'
import type { Facts } from '../../bench/machine.ts'
import { attackCells, attackHead, attackText, isRowHarmless, type AttackFigures } from './attacks.ts'
import { isEqual, signInText, type SignInTimes } from './sign-ins.ts'

export interface SecurityRow {
  id: string
  /** The cell that names them. */
  tests: string
}

export interface SecurityResult {
  date: string
  commit: string
  machine: Facts['machine']
  /** Tests by file. */
  files: Record<string, { passed: number; failed: number }>
  /** Of the row A7, beside its tests. */
  signIns: { date: string; machine: Facts['machine']; times: SignInTimes }
  /** Of the rows D2 and D3, beside their tests; absent until they are measured. */
  attacks?: { date: string; machine: Facts['machine']; figures: AttackFigures[] }
}

/** Everything from here on is generated. */
const heading = '## The last run'

export const rowsOf = (document: string): SecurityRow[] =>
  document
    .split(heading)[0]!
    .split('\n')
    .flatMap((line) => {
      const cells = line.split(' | ')
      const id = /^\| ([A-Z]\d+)$/.exec(cells[0] ?? '')?.[1]
      return id === undefined ? [] : [{ id, tests: cells.slice(3).join(' | ').replace(/ \|$/, '') }]
    })

/** The files that a row names, each once. */
export const filesOf = ({ tests }: SecurityRow): string[] => [
  ...new Set([...tests.matchAll(/`(test\/[^`]+\.test\.ts)`/g)].map((match) => match[1]!)),
]

/** Passed and failed tests by file, from the output of `npm test`. */
export const countsByFile = (output: string): SecurityResult['files'] => {
  const files: SecurityResult['files'] = {}
  let current = { passed: 0, failed: 0 }
  for (const line of Bun.stripANSI(output).split('\n')) {
    const file = /^(test\/\S+\.test\.ts):$/.exec(line)?.[1]
    if (file !== undefined) current = files[file] ??= { passed: 0, failed: 0 }
    else if (line.startsWith('(pass) ')) current.passed += 1
    else if (line.startsWith('(fail) ')) current.failed += 1
    else if (/^\d+ tests? failed:/.test(line)) break // they are repeated from here on
  }
  return files
}

const verdictOf = (row: SecurityRow, { files, signIns, attacks }: SecurityResult): string => {
  const own = filesOf(row).map((file) => files[file] ?? { passed: 0, failed: 0 })
  const isPassed = own.every(({ passed, failed }) => passed > 0 && failed === 0)
  const areFiguresGood =
    (row.id !== 'A7' || isEqual(signIns.times)) && (!attacks || isRowHarmless(row.id, attacks.figures))
  return isPassed && areFiguresGood ? 'ok' : 'FAILED'
}

/** Whether every row's tests passed, failed sign-ins take equally long, and attacks cost no more than they may. */
export const isGood = (rows: readonly SecurityRow[], result: SecurityResult): boolean =>
  rows.every((row) => verdictOf(row, result) === 'ok')

/** The document with its last section. */
export const renderSecurity = (document: string, result: SecurityResult | null): string => {
  const written = document.split(heading)[0]!.trimEnd()
  if (result === null) return `${written}\n`
  const { date, commit, machine, files, signIns, attacks } = result
  const rows = rowsOf(document).map((row) => {
    const own = filesOf(row)
    const passed = own.reduce((sum, file) => sum + (files[file]?.passed ?? 0), 0)
    return [row.id, String(passed), verdictOf(row, result), `\`npm test -- ${own.join(' ')}\``]
  })
  return [
    written,
    '',
    heading,
    '',
    `\`bun run security\` runs every test file that a row names and writes this section. ${date.slice(0, 16)}, commit ${commit}; ${machineText(machine)}.`,
    '',
    markdownTable(['Row', 'Tests passed in its files', 'Verdict', 'Rerun'], rows),
    '',
    `A7 is also measured, by \`bun run security --sign-ins\`: ${signInText(signIns.times)} ${signIns.date.slice(0, 16)}, commit ${signIns.machine.commit}; ${machineText(signIns.machine)}, load average ${signIns.machine.loadAverage}.`,
    '',
    ...attackSection(attacks),
  ].join('\n')
}

const attackSection = (attacks: SecurityResult['attacks']): string[] => {
  if (!attacks) return []
  const { date, machine, figures } = attacks
  return [
    `D2 and D3 are also measured, by \`bun run security --attacks\`: ${attackText} ${date.slice(0, 16)}, commit ${machine.commit}; ${machineText(machine)}, load average ${machine.loadAverage}.`,
    '',
    markdownTable(attackHead, figures.map(attackCells)),
    '',
  ]
}
