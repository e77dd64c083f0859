// The figures of README and docs against the claims manifest: each marked figure is in it with this value, each claim is in
// a document, and every verdict follows from the claims. Nothing is measured here; `bun run bench -- claims` does that.
import { expect, test } from 'bun:test'
import { join } from 'node:path'
import {
  claimedVerdict,
  compareClaims,
  figureOfClaim,
  rowOfClaim,
  textOfMark,
  updated,
} from '../../bench/claims/compare.ts'
import { documentPaths, marksIn, readManifest, root, withMarks } from '../../bench/claims/manifest.ts'
import { allRows } from '../../bench/sections/all.ts'

const manifest = await readManifest()
const documents = await Promise.all(
  (await documentPaths()).map(async (path) => ({ path, text: await Bun.file(join(root, path)).text() })),
)
const marks = documents.flatMap(({ path, text }) => marksIn(text).map((mark) => ({ path, ...mark })))

test('Every marked figure, verdict and fact says what the manifest says', () => {
  const wrong = marks
    .map((mark) => ({ ...mark, expected: textOfMark(manifest, mark) }))
    .filter(({ text, expected }) => text !== expected)
  expect(wrong).toEqual([])
})

test('Every claim is in a document', () => {
  const marked = new Set(marks.filter(({ kind }) => kind === 'claim').map(({ id }) => id))
  expect(manifest.claims.map(({ id }) => id).filter((id) => !marked.has(id))).toEqual([])
})

test('Every claim has a row of the bench, a command that measures it, and a tolerance', () => {
  const ids = manifest.claims.map(({ id }) => id)
  expect(new Set(ids).size).toBe(ids.length)
  const rows = new Set(allRows.map(({ id }) => id))
  const wrong = manifest.claims.filter(
    (claim) =>
      !rows.has(rowOfClaim(claim)) ||
      figureOfClaim(claim) === '' ||
      claim.command !== `bun run bench -- --only ${rowOfClaim(claim)}` ||
      !(claim.tolerance > 0 && claim.tolerance <= 1),
  )
  expect(wrong).toEqual([])
})

test('Every row with a target has its figure, verdict and limits in docs/performance.md', async () => {
  const text = documents.find(({ path }) => path === 'docs/performance.md')!.text
  const verdicts = new Set(
    marksIn(text)
      .filter(({ kind }) => kind === 'verdict')
      .map(({ id }) => id),
  )
  expect(
    allRows.filter(({ id, targets }) => targets.length > 0 && !verdicts.has(id)).map(({ id }) => id),
  ).toEqual([])
})

test('A mark left open or misspelt is found', () => {
  const open = documents.flatMap(({ path, text }) => {
    const whole = marksIn(text).length
    const begun = text.match(/<!--(?:claim|verdict|facts|runs)/g)?.length ?? 0
    return begun === whole ? [] : [path]
  })
  expect(open).toEqual([])
})

test('A measurement is the same claim, better or worse in the direction of its row', () => {
  const claims = [
    { id: 'read-one.ratio', value: 0.4, tolerance: 0.1, command: '' },
    { id: 'read-one.serverCpuUs', value: 40, tolerance: 0.1, command: '' },
    { id: 'league.twice', value: 0, tolerance: 0.1, command: '' },
    { id: 'list.ratio', value: 0.4, tolerance: 0.1, command: '' },
  ]
  const result = (row: string, figures: Record<string, number>) => ({ row, figures, failed: 0, notes: [] })
  const verdicts = (ratio: number, cpu: number, twice: number) =>
    compareClaims(
      { measured: '', claims },
      { rows: [result('read-one', { ratio, serverCpuUs: cpu }), result('league', { twice })] },
    ).map(({ verdict }) => verdict)
  expect(verdicts(0.42, 42, 0)).toEqual(['same', 'same', 'same', 'not measured'])
  expect(verdicts(0.3, 60, 1)).toEqual(['worse', 'worse', 'worse', 'not measured'])
  expect(verdicts(0.6, 20, 0)).toEqual(['better', 'better', 'same', 'not measured'])
})

test('New figures replace the marked ones and nothing else', () => {
  const text = 'It does <!--claim a.ratio-->1<!--/--> of it, <!--verdict a-->met<!--/-->, 1 in all.'
  const next = withMarks(text, ({ kind }) => (kind === 'claim' ? '2' : null))
  expect(next).toBe('It does <!--claim a.ratio-->2<!--/--> of it, <!--verdict a-->met<!--/-->, 1 in all.')
  expect(
    claimedVerdict(
      { id: 'a', title: '', targets: [{ figure: 'ratio', atLeast: 2 }] },
      {
        claims: [{ id: 'a.ratio', value: 2, tolerance: 0.1, command: '' }],
      },
    ),
  ).toBe('met')
})

test('A whole run makes the figures before it the run before, a part of one does not', () => {
  const claim = (id: string, value: number) => ({ id, value, tolerance: 0.1, command: '' })
  const claims = [claim('read-one.ratio', 0.3), claim('list.ratio', 0.4)]
  const report = (rows: { row: string; figures: Record<string, number> }[], commit: string) => ({
    startedAt: '2026-01-02T03:04:05.000Z',
    machine: { cpu: 'x', cores: 2, memoryGiB: 4, system: 'x', bun: '1', commit, loadAverage: 0 },
    plan: { isQuick: false },
    rows: rows.map((row) => ({ ...row, failed: 0, notes: [] })),
  })
  const one = { row: 'read-one', figures: { ratio: 0.5 } }
  const other = { row: 'list', figures: { ratio: 0.6 } }
  const part = updated({ measured: 'first', claims }, report([one], 'b'))
  expect(part.measuredBefore).toBeUndefined()
  expect(part.measured).toBe('first')
  expect(part.claims.map(({ measuredAlone }) => measuredAlone?.includes('commit b'))).toEqual([
    true,
    undefined,
  ])
  expect(textOfMark(part, { kind: 'runs', id: '' })).toContain(
    '- measured alone after it: `read-one`: x, 2 cores',
  )
  expect(part.claims.map(({ value, before }) => [value, before])).toEqual([
    [0.5, null],
    [0.4, null],
  ])
  const whole = updated({ measured: 'first', claims }, report([one, other], 'b'))
  expect(whole.measuredBefore).toBe('first')
  expect(updated(part, report([one, other], 'c')).claims.map((one) => one.measuredAlone)).toEqual([
    undefined,
    undefined,
  ])
  expect(whole.claims.map(({ value, before }) => [value, before])).toEqual([
    [0.5, 0.3],
    [0.6, 0.4],
  ])
  expect(textOfMark(whole, { kind: 'runs', id: '' })).toContain('ratio 0.4 x, server CPU - µs: not measured')
})
