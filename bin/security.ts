// Runs every test file that docs/security.md names, measures failed sign-ins and attacks, and writes the document's last
// section from the result, which is kept in reliability/security.json. With `--tests` it only runs tests, with `--sign-ins` it
// only measures sign-ins, with `--attacks` attacks (`--attacks polls,bulk`: these), with `--render` it runs nothing; the other
// figures are those of the last run. The exit code is 1 where a row's tests do not pass or its figures exceed their bounds.
import { join } from 'node:path'
import { machineFacts } from '../bench/machine.ts'
import { attackKinds, measureAttacks, type AttackFigures, type AttackKind } from '../test/security/attacks.ts'
import { measureSignIns, signInText } from '../test/security/sign-ins.ts'
import {
  countsByFile,
  filesOf,
  isGood,
  renderSecurity,
  rowsOf,
  type SecurityResult,
} from '../test/security/table.ts'

const root = join(import.meta.dir, '..')
const documentPath = join(root, 'docs', 'security.md')
const resultPath = join(root, 'reliability', 'security.json')

const runTests = async (files: readonly string[]): Promise<Omit<SecurityResult, 'signIns' | 'attacks'>> => {
  const machine = machineFacts()
  const child = Bun.spawn([process.execPath, join(root, 'bin', 'test.ts'), ...files], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, TASKTIDE_LAUNCHER: String(process.pid) }, // the tests end with this process
  })
  let output = ''
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    process.stdout.write(text)
    output += text
  }
  await child.exited
  return {
    date: new Date().toISOString(),
    commit: machine.commit,
    machine,
    files: Object.fromEntries(
      Object.entries(countsByFile(output)).toSorted(([one], [other]) => (one < other ? -1 : 1)),
    ),
  }
}

const signInsOfEachKind = 200

const runSignIns = async (): Promise<SecurityResult['signIns']> => {
  const machine = machineFacts()
  const times = await measureSignIns(signInsOfEachKind, (line) => console.error(line))
  console.log(signInText(times))
  return { date: new Date().toISOString(), machine, times }
}

const runAttacks = async (kinds: readonly AttackKind[]): Promise<NonNullable<SecurityResult['attacks']>> => {
  const machine = machineFacts()
  const figures = await measureAttacks(kinds, (line) => console.error(line))
  return { date: new Date().toISOString(), machine, figures }
}

/** The attacks that were asked for; all where none is named. @throws for a name of none. */
const wantedAttacks = (names: string | undefined): readonly AttackKind[] => {
  if (names === undefined || names.startsWith('--')) return attackKinds
  const wanted = attackKinds.filter((kind) => names.split(',').includes(kind))
  if (wanted.length !== names.split(',').length) throw new Error(`attacks are ${attackKinds.join(', ')}`)
  return wanted
}

/** The new figures in the place of older ones, in the order of `attackKinds`. */
const mergedFigures = (older: readonly AttackFigures[], newer: readonly AttackFigures[]): AttackFigures[] =>
  attackKinds.flatMap(
    (kind) => newer.find((one) => one.kind === kind) ?? older.find((one) => one.kind === kind) ?? [],
  )

const document = await Bun.file(documentPath).text()
const rows = rowsOf(document)
const kept = Bun.file(resultPath)
const run = async (files: readonly string[]): Promise<SecurityResult> => {
  if (process.argv.includes('--render')) return kept.json()
  if (process.argv.includes('--sign-ins')) return { ...(await kept.json()), signIns: await runSignIns() }
  const at = process.argv.indexOf('--attacks')
  if (at > 0) {
    const older: SecurityResult = await kept.json()
    const attacks = await runAttacks(wantedAttacks(process.argv[at + 1]))
    return {
      ...older,
      attacks: { ...attacks, figures: mergedFigures(older.attacks?.figures ?? [], attacks.figures) },
    }
  }
  if (process.argv.includes('--tests')) return { ...(await kept.json()), ...(await runTests(files)) }
  return { ...(await runTests(files)), signIns: await runSignIns(), attacks: await runAttacks(attackKinds) }
}
const result = await run([...new Set(rows.flatMap(filesOf))].toSorted())
await Bun.write(resultPath, `${JSON.stringify(result, null, 2)}\n`)
await Bun.write(documentPath, renderSecurity(document, result))
process.exit(isGood(rows, result) ? 0 : 1)
