// Claims against a report: a figure that got worse by more than its tolerance fails; a better one is named, so that the
// documents can be brought up to date by `--write`.
import { cp, mkdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Report } from '../report/report.ts'
import { labelOf, targetText, verdictOf, withUnit, type Row, type Verdict } from '../row.ts'
import { allRows } from '../sections/all.ts'
import {
  claimText,
  documentPaths,
  manifestFile,
  root,
  withMarks,
  type Claim,
  type Manifest,
} from './manifest.ts'

export interface Compared extends Claim {
  /** NaN where the run has no such figure. */
  measured: number
  verdict: 'same' | 'better' | 'worse' | 'new' | 'not measured'
}

export const rowOfClaim = ({ id }: Pick<Claim, 'id'>): string => id.slice(0, id.indexOf('.'))
export const figureOfClaim = ({ id }: Pick<Claim, 'id'>): string => id.slice(id.indexOf('.') + 1)

/** Whether a higher value is better: as the row's target says, otherwise as the name of the figure does. */
const risesWithQuality = (row: Row | undefined, figure: string): boolean => {
  const target = row?.targets.find((one) => one.figure === figure)
  return target ? target.atLeast !== undefined : /(?:PerSecond|perSecond|Percent|^ratio)$/.test(figure)
}

export const compareClaims = ({ claims }: Manifest, { rows }: Pick<Report, 'rows'>): Compared[] =>
  claims.map((claim) => {
    const [name, figure] = [rowOfClaim(claim), figureOfClaim(claim)]
    const measured = rows.find(({ row }) => row === name)?.figures[figure] ?? Number.NaN
    if (Number.isNaN(measured)) return { ...claim, measured, verdict: 'not measured' }
    if (claim.value === null) return { ...claim, measured, verdict: 'new' }
    const isHigher = measured > claim.value
    const isBetter =
      risesWithQuality(
        allRows.find(({ id }) => id === name),
        figure,
      ) === isHigher
    const isSame = Math.abs(measured - claim.value) <= Math.abs(claim.value) * claim.tolerance
    return { ...claim, measured, verdict: isSame ? 'same' : isBetter ? 'better' : 'worse' }
  })

export const comparisonText = (compared: readonly Compared[]): string => {
  const wide = Math.max(...compared.map(({ id }) => id.length))
  return compared
    .map(
      ({ id, value, measured, tolerance, verdict }) =>
        `${id.padEnd(wide)}  claimed ${String(value).padStart(9)}  measured ${String(measured).padStart(9)}  ± ${Math.round(tolerance * 100)} %  ${verdict}`,
    )
    .join('\n')
}

type Run = 'value' | 'before'

/** The verdict of a row by what the manifest claims of the last run, or of the whole run before. */
export const claimedVerdict = (
  row: Row,
  { claims }: Pick<Manifest, 'claims'>,
  run: Run = 'value',
): Verdict => {
  const own = claims.filter((claim) => rowOfClaim(claim) === row.id)
  const figures = Object.fromEntries(own.map((claim) => [figureOfClaim(claim), claim[run] ?? Number.NaN]))
  return verdictOf(row, own.length === 0 ? undefined : { row: row.id, figures, failed: 0, notes: [] })
}

/** A table of every row with a target: its figures in the last two whole runs. */
const runsTable = (manifest: Manifest): string => {
  const columns: [Run, string | undefined][] = [
    ['before', manifest.measuredBefore],
    ['value', manifest.measured],
  ]
  const cell = (row: Row, run: Run): string => {
    const figures = row.targets.map(({ figure }) => {
      const value = manifest.claims.find(({ id }) => id === `${row.id}.${figure}`)?.[run]
      return `${labelOf(figure)} ${withUnit(figure, value ?? Number.NaN)}`
    })
    const isAlone =
      run === 'value' && manifest.claims.some((one) => rowOfClaim(one) === row.id && one.measuredAlone)
    return `${figures.join(', ')}: ${claimedVerdict(row, manifest, run)}${isAlone ? ', measured alone' : ''}`
  }
  const alone = Map.groupBy(
    manifest.claims.filter(({ measuredAlone }) => measuredAlone !== undefined),
    ({ measuredAlone }) => measuredAlone!,
  )
  const runs = columns.filter(([, measured]) => measured !== undefined)
  return [
    '',
    '',
    ...runs.map(([, measured], index) => `${index + 1}. ${measured}`),
    ...Array.from(alone, ([facts, claims]) => {
      const names = new Set(claims.map((claim) => `\`${rowOfClaim(claim)}\``))
      return `- measured alone after it: ${[...names].join(', ')}: ${facts}`
    }),
    '',
    `| Row | Target | ${runs.map((_, index) => `Run ${index + 1}`).join(' | ')} |`,
    `|---|---|${runs.map(() => '---|').join('')}`,
    ...allRows
      .filter(({ targets }) => targets.length > 0)
      .map(
        (row) =>
          `| \`${row.id}\` | ${targetText(row)} | ${runs.map(([run]) => cell(row, run)).join(' | ')} |`,
      ),
    '',
  ].join('\n')
}

type Measured = Pick<Report, 'machine' | 'startedAt' | 'rows'> & { plan: Pick<Report['plan'], 'isQuick'> }

export const factsText = ({ machine, plan, startedAt }: Measured): string =>
  `${machine.cpu}, ${machine.cores} cores shared by load, server, worker, PostgreSQL and Redis, ${machine.memoryGiB} GiB, Bun ${machine.bun}, ${startedAt.slice(0, 10)}, commit ${machine.commit}, load of the machine before the run ${machine.loadAverage}${plan.isQuick ? ', a quick run (smaller sizes, rougher figures)' : ''}`

/**
 * The manifest with the figures of a report. A whole run makes those that it replaces the run before; figures of some rows
 * alone say so.
 */
export const updated = (manifest: Manifest, report: Measured): Manifest => {
  const compared = compareClaims(manifest, report)
  const isWhole = !report.plan.isQuick && compared.every(({ measured }) => !Number.isNaN(measured))
  const claims = compared.map(
    ({ id, value, before = null, measuredAlone, tolerance, command, measured }): Claim => {
      const isNew = !Number.isNaN(measured)
      const alone = isWhole ? undefined : isNew ? factsText(report) : measuredAlone
      return {
        id,
        value: isNew ? measured : value,
        before: isWhole ? value : before,
        ...(alone !== undefined && { measuredAlone: alone }),
        tolerance,
        command,
      }
    },
  )
  const measuredBefore = isWhole ? manifest.measured : manifest.measuredBefore
  return {
    measured: isWhole ? factsText(report) : manifest.measured,
    ...(measuredBefore !== undefined && { measuredBefore }),
    claims,
  }
}

/** Puts the figures of a report into the manifest and all documents, and its plots beside docs/performance.md. */
export const writeClaims = async (manifest: Manifest, report: Report, folder: string): Promise<void> => {
  const written = updated(manifest, report)
  await Bun.write(manifestFile, `${JSON.stringify(written, null, 2)}\n`)
  for (const path of await documentPaths()) {
    const file = join(root, path)
    const text = await Bun.file(file).text()
    const next = withMarks(text, (mark) => textOfMark(written, mark))
    if (next !== text) await Bun.write(file, next)
  }
  await mkdir(join(root, 'docs', 'plots'), { recursive: true })
  for await (const plot of new Bun.Glob('*.svg').scan({ cwd: folder, absolute: true }))
    await cp(plot, join(root, 'docs', 'plots', basename(plot)))
}

/** What a mark has to say by the manifest; null for one that the manifest does not know. */
export const textOfMark = (manifest: Manifest, { kind, id }: { kind: string; id: string }): string | null => {
  if (kind === 'facts') return manifest.measured
  if (kind === 'runs') return runsTable(manifest)
  if (kind === 'claim') {
    const claim = manifest.claims.find((one) => one.id === id)
    return claim ? claimText(claim) : null
  }
  const row = allRows.find((one) => one.id === id)
  return row ? claimedVerdict(row, manifest) : null
}
