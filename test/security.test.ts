// docs/security.md: every row of the checklist is there and names a test that exists.
import { expect, test } from 'bun:test'
import { join } from 'node:path'
import {
  attackCells,
  attackKinds,
  isHarmless,
  isRowHarmless,
  type AttackFigures,
} from './security/attacks.ts'
import { isEqual, signInText, type SignInTimes } from './security/sign-ins.ts'
import { countsByFile, isGood, renderSecurity, rowsOf, type SecurityResult } from './security/table.ts'

const root = join(import.meta.dir, '..')

/** Rows of the checklist, by letter, and how many there are. */
const counts = { S: 7, A: 11, R: 4, D: 5, H: 8, E: 1, Q: 2, F: 2, L: 1, M: 4, P: 2 }
const ids = Object.entries(counts).flatMap(([letter, count]) =>
  Array.from({ length: count }, (_, n) => `${letter}${n + 1}`),
)

const document = await Bun.file(join(root, 'docs', 'security.md')).text()
const rows = rowsOf(document)
const kept = Bun.file(join(root, 'reliability', 'security.json'))
const result: SecurityResult | null = (await kept.exists()) ? await kept.json() : null

test('the table has every row of the checklist once', () => {
  expect(rows.map(({ id }) => id).toSorted()).toEqual(ids.toSorted())
})

test('every row names tests that exist', async () => {
  const wrong: string[] = []
  for (const { id, tests } of rows) {
    const named = tests.split('<br>').map((text) => /^`(test\/[^`]+\.test\.ts)`: (.+)$/.exec(text))
    for (const match of named) {
      const [, path = '', title = ''] = match ?? []
      const text = match
        ? await Bun.file(join(root, path))
            .text()
            .catch(() => '')
        : ''
      // In the title of a test: an argument of `test`, or of the function that `each` returns.
      const isTitle = text.split('\n').some((line) => /['"`]/.test(line) && line.includes(title))
      if (title === '' || !isTitle) wrong.push(`${id}: ${match ? match[0] : tests}`)
    }
  }
  expect(wrong).toEqual([])
})

test('the locked Elysia is one without the known holes', async () => {
  const { version } = await Bun.file(join(root, 'node_modules', 'elysia', 'package.json')).json()
  expect(Bun.semver.satisfies(version, '>=1.4.27')).toBe(true)
})

test('the section of the last run is what the command writes, and every row passed', () => {
  expect(renderSecurity(document, result)).toBe(document)
  if (result) expect(isGood(rows, result)).toBe(true)
})

const signInTimes = (wrongPassword: number, unknownAddress: number, answers = 1): SignInTimes => ({
  count: 200,
  answers,
  medianMs: { wrongPassword, unknownAddress },
})

test('failed sign-ins of another duration or with another answer fail their row', () => {
  expect(isEqual(signInTimes(30, 35))).toBe(true)
  expect(isEqual(signInTimes(30, 24.9))).toBe(false)
  expect(isEqual(signInTimes(2, 30))).toBe(false)
  expect(isEqual(signInTimes(30, 30, 2))).toBe(false)
  expect(signInText(signInTimes(30.1, 29.8))).toContain('medians 30.1 and 29.8 ms')
  if (!result) return
  const differing = { ...result, signIns: { ...result.signIns, times: signInTimes(2, 30) } }
  const isRowGood = (id: string) =>
    isGood(
      rows.filter((row) => row.id === id),
      differing,
    )
  expect([isRowGood('A7'), isRowGood('A8')]).toEqual([false, true])
})

const attackFigures = (kind: AttackFigures['kind'], change: Partial<AttackFigures> = {}): AttackFigures => ({
  kind,
  grownMb: 40,
  p99Ratio: 1.5,
  restP99Ms: 2,
  besideP99Ms: 3,
  failed: 0,
  closedSeconds: kind.startsWith('bodies') ? 8.1 : 0,
  left: 0,
  answers: { 200: 10 },
  ...change,
})

test('an attack that costs more than it may, or was not measured, fails its row', () => {
  const figures = attackKinds.map((kind) => attackFigures(kind))
  expect(['D2', 'D3', 'S1'].map((row) => isRowHarmless(row, figures))).toEqual([true, true, true])
  expect(['D2', 'D3'].map((row) => isRowHarmless(row, figures.slice(1)))).toEqual([false, true])
  const harmful = [
    attackFigures('bodies', { grownMb: 65 }),
    attackFigures('bodies', { closedSeconds: 10.1 }),
    attackFigures('bodies-signed-in', { left: 1 }),
    attackFigures('bodies-signed-in', { failed: 1 }),
    attackFigures('polls', { grownMb: 129 }),
    attackFigures('bulk', { p99Ratio: 2.1 }),
    attackFigures('snapshots', { failed: 1 }),
  ]
  expect(harmful.filter(isHarmless)).toEqual([])
  expect(attackCells(harmful[4]!)).toContain('FAILED')
  const others = figures.filter(({ kind }) => kind !== 'polls')
  expect(isRowHarmless('D3', [...others, harmful[4]!])).toBe(false)
  if (!result) return
  const attacks = { date: '', machine: result.machine, figures: [...others, harmful[4]!] }
  const row = rows.filter(({ id }) => id === 'D3')
  expect(isGood(row, { ...result, attacks })).toBe(false)
})

test('a failed test, and a file without tests, fail the rows that name them', () => {
  const output =
    'test/a.test.ts:\n(pass) one [1ms]\n(fail) two\n\ntest/b.test.ts:\n(pass) three\n1 tests failed:\n(fail) two\n'
  const files = countsByFile(output)
  expect(files).toEqual({
    'test/a.test.ts': { passed: 1, failed: 1 },
    'test/b.test.ts': { passed: 1, failed: 0 },
  })
  const machine = { cpu: '', cores: 1, memoryGiB: 1, system: '', bun: '', commit: '', loadAverage: 0 }
  const signIns = { date: '', machine, times: signInTimes(30, 30) }
  const row = (file: string) => ({ id: 'S1', tests: `\`${file}\`: a title` })
  const isRowGood = (file: string) => isGood([row(file)], { date: '', commit: '', machine, files, signIns })
  expect(['test/a.test.ts', 'test/b.test.ts', 'test/c.test.ts'].map(isRowGood)).toEqual([false, true, false])
})
