// `bun run chaos consistency`: the checker on histories of the product under faults, and on every broken variant. Prints
// consistency × checked × violations, and which property named which variant; writes both as JSON for the documents.
import { dirname, join } from 'node:path'
import { mkdir } from 'node:fs/promises'
import { machineFacts, type Facts } from '../../bench/machine.ts'
import { Arena } from '../chaos/arena.ts'
import { answersLost } from '../chaos/faults/answers-lost.ts'
import { crashPoints } from '../chaos/faults/crash-points.ts'
import { redisEmptied } from '../chaos/faults/redis-emptied.ts'
import { serverKilled } from '../chaos/faults/server-killed.ts'
import { consistencyControls, type ConsistencyControl } from './controls.ts'
import { propertyNames, type Property } from './properties.ts'
import { explain, printReport, sumOf, type Report, type Row, type Violation } from './report.ts'
import { Rig } from './rig.ts'
import { printRows } from './table.ts'

export interface ConsistencyOptions {
  seed: number
  seconds: number
  /** A variant, `variants` or `product`; without it everything runs and the JSON is written. */
  only: string | undefined
  report: (line: string) => void
}

const file = join(import.meta.dir, '..', '..', 'reliability', 'consistency.json')
const faults = [serverKilled, crashPoints, redisEmptied, answersLost]
/** Above every limit of recovery: what a view then still misses is lost, and not late. */
const settleMs = { product: 30_000, variant: 15_000 }
/** Of a run without faults, and of one on a variant. */
const calls = { product: 6_000, variant: 500 }
const maxSeconds = { product: 60, variant: 12 }
const maxRuns = 3
/** A run on a variant, and the same on the product, which must not be named there. */
const short = { calls: calls.variant, maxSeconds: maxSeconds.variant, settleMs: settleMs.variant }

export interface VariantResult {
  control: ConsistencyControl
  rows: Row[]
  /** The properties that named it. */
  caughtBy: Property[]
  isCaught: boolean
}

/** Runs a variant, at most three times: it is caught once the property that its control names has a violation. */
export const runVariant = async (
  rig: Rig,
  control: ConsistencyControl,
  seed: number,
): Promise<VariantResult> => {
  const { variant, needs } = control
  const reports: Report[] = []
  const isCaught = (): boolean =>
    sumOf(reports).rows.some(({ property, violations }) => property === control.caughtBy && violations > 0)
  while (reports.length < maxRuns && !isCaught())
    reports.push(await rig.run({ ...short, seed: seed + reports.length, variant, needs }))
  const { rows } = sumOf(reports)
  const caughtBy = rows.filter(({ violations }) => violations > 0).map(({ property }) => property)
  return { control, rows, caughtBy, isCaught: isCaught() }
}

/** The product itself: undisturbed with lost answers, and under faults. */
const runProduct = async (rig: Rig, { seed, seconds, report }: ConsistencyOptions): Promise<Report> => {
  report('no fault: contending sessions on two servers, some requests lost or sent twice')
  const undisturbed = { calls: calls.product, maxSeconds: maxSeconds.product, settleMs: settleMs.product }
  const reports = [await rig.run({ seed, variant: null, ...undisturbed })]
  const sizes = { servers: 3, workers: 1, projects: 3, followers: 12, sockets: 0 }
  await using arena = await Arena.open({ ...sizes, seed, report: () => {} })
  for (const fault of faults) {
    report(fault.title)
    const { consistency } = await arena.run(fault, seconds)
    reports.push(consistency)
  }
  return sumOf(reports)
}

/** The runs of the variants, with and without their fault, on the product. */
const runBaseline = async (rig: Rig, { seed, report }: ConsistencyOptions): Promise<Report> => {
  const reports: Report[] = []
  for (const needs of [undefined, 'redis-emptied'] as const) {
    report(`the product in the form of the variants${needs ? `, ${needs}` : ''}`)
    reports.push(await rig.run({ ...short, seed, variant: null, needs }))
  }
  return sumOf(reports)
}

const explainAll = (violations: readonly Violation[]): void => {
  for (const violation of violations) for (const line of explain(violation)) console.log(line)
}

const writeJson = async (
  seed: number,
  machine: Facts['machine'],
  report: Report,
  results: VariantResult[],
): Promise<void> => {
  const variantsCaught = (property: Property): string[] =>
    results.filter(({ caughtBy }) => caughtBy.includes(property)).map(({ control }) => control.variant)
  await mkdir(dirname(file), { recursive: true })
  await Bun.write(
    file,
    `${JSON.stringify(
      {
        date: new Date().toISOString(),
        machine,
        seed,
        commit: machine.commit,
        command: `bun run chaos consistency --seed ${seed}`,
        rows: report.rows.map((row) => ({ ...row, variantsCaught: variantsCaught(row.property) })),
        variants: results.map(({ control, caughtBy, isCaught }) => ({
          name: control.variant,
          title: control.title,
          caughtBy,
          isCaught,
        })),
      },
      null,
      2,
    )}\n`,
  )
}

/**
 * Whether the product has no violation, also in the form of the variants, every property compared something, and every
 * variant was caught.
 */
export const runConsistency = async (options: ConsistencyOptions): Promise<boolean> => {
  const { seed, only, report } = options
  const machine = machineFacts()
  await using rig = await Rig.open()
  const product = only === undefined || only === 'product' ? await runProduct(rig, options) : null
  if (product) {
    printReport(product)
    explainAll(product.violations)
  }
  const baseline = only === 'product' ? null : await runBaseline(rig, options)
  explainAll(baseline?.violations ?? [])
  const results: VariantResult[] = []
  const isWanted = ({ variant }: ConsistencyControl): boolean =>
    only === undefined || only === 'variants' || only === variant
  for (const control of consistencyControls.filter(isWanted)) {
    const result = await runVariant(rig, control, seed)
    results.push(result)
    const { rows, isCaught } = result
    const counts = rows.filter(({ violations }) => violations > 0)
    report(
      `${control.variant}: ${isCaught ? 'caught' : '✗ NOT CAUGHT'} by ${counts.map(({ property, violations }) => `${property} (${violations})`).join(', ') || 'nothing'}`,
    )
  }
  printVariants(results)
  if (product && only === undefined) await writeJson(seed, machine, product, results)
  const isSound = product?.rows.every(({ checked, violations }) => checked > 0 && violations === 0) ?? true
  const isBaselineSound = baseline?.rows.every(({ violations }) => violations === 0) ?? true
  return isSound && isBaselineSound && results.every(({ isCaught }) => isCaught)
}

const printVariants = (results: VariantResult[]): void => {
  if (results.length === 0) return
  const mark = ({ caughtBy, control }: VariantResult, property: Property): string =>
    caughtBy.includes(property) ? (property === control.caughtBy ? '●' : '○') : '·'
  printRows([
    [
      'broken variant',
      ...propertyNames.map((name) =>
        name
          .split(' ')
          .map((word) => word[0])
          .join(''),
      ),
    ],
    ...results.map((result) => [
      `${result.control.variant}${result.isCaught ? '' : ' ✗'}`,
      ...propertyNames.map((property) => mark(result, property)),
    ]),
  ])
  console.log(`● the property that has to name it, ○ another; columns as above: ${propertyNames.join(', ')}`)
}
