// What a section gets: the plan, the load process, and where it puts its rows. Also the way every comparison is made:
// subjects in turn, round by round, so that what disturbs the machine disturbs a row and its limit alike.
import type { Cluster, ClusterOptions } from '../test/support/cluster.ts'
import { cpuPerRequest, type PartTimes } from './installation.ts'
import type { Generator } from './load/generator.ts'
import type { LoadJob } from './load/job.ts'
import type { Plan } from './plan.ts'
import type { Row, RowResult } from './row.ts'
import type { Workbench } from './workbench.ts'
import { median, medianPercentiles, rounded, type Percentiles } from './statistics.ts'

/** A curve of the report: `y` over `x`, drawn by `report/plots.ts`. */
export interface Curve {
  plot: string
  name: string
  points: [number, number][]
}

export interface Context {
  plan: Plan
  generator: Generator
  report: (line: string) => void
  /** An installation of the section's own; the report states its settings. */
  install: (options?: Partial<ClusterOptions>) => Promise<Cluster>
  /** The installation that sections share; it opens with the first that needs it. */
  workbench(): Promise<Workbench>
  /** Whether any of the rows is wanted. */
  wants(...rows: string[]): boolean
  /** Whether any of the names was asked for, and not everything. */
  isNamed(...names: string[]): boolean
  add(result: RowResult): void
  result(row: string): RowResult | undefined
  curve(curve: Curve): void
  /** Growth curves were asked for. */
  hasCurves: boolean
}

export interface Section {
  name: string
  rows: readonly Row[]
  /** Left out of `--quick` unless it is named. */
  isLong?: boolean
  run(context: Context): Promise<void>
}

/** One measurement. */
export interface Sample {
  perSecond: number
  latency: Percentiles
  failed: number
  series: number[]
  cpuUs: PartTimes | null
  /** Share of one core. */
  generatorCpu: number
}

/** Runs a job; `times` reads the CPU time so far of the processes, which is divided by the answers. */
export const sampleOf = async (
  { generator }: Pick<Context, 'generator'>,
  job: LoadJob,
  times: (() => PartTimes) | null,
): Promise<Sample> => {
  const before = times?.()
  const result = await generator.run(job)
  const after = times?.()
  return {
    perSecond: result.perSecond,
    latency: result.latency,
    failed: result.failed,
    series: result.series,
    cpuUs: before && after ? cpuPerRequest(before, after, result.answered) : null,
    generatorCpu: result.generatorCpuMs / 1000 / result.seconds,
  }
}

export interface Subject {
  id: string
  run: () => Promise<Sample>
}

export type Samples = Map<string, Sample[]>

/** Every subject once a round, in turn, after one that does not count: code is compiled and plans are made in it. */
export const interleave = async (
  { plan, report }: Pick<Context, 'plan' | 'report'>,
  what: string,
  subjects: readonly Subject[],
): Promise<Samples> => {
  const samples: Samples = new Map(subjects.map(({ id }) => [id, []]))
  for (let round = 0; round <= plan.rounds && subjects.length > 0; round += 1) {
    report(round === 0 ? `${what}: warm-up` : `${what}: round ${round} of ${plan.rounds}`)
    for (const { id, run } of subjects) {
      const sample = await run()
      if (round > 0) samples.get(id)!.push(sample)
    }
  }
  return samples
}

const medianCpu = (samples: readonly Sample[]): PartTimes | undefined => {
  const times = samples.flatMap(({ cpuUs }) => (cpuUs ? [cpuUs] : []))
  if (times.length === 0) return undefined
  const of = (part: keyof PartTimes): number => rounded(median(times.map((one) => one[part])))
  return { server: of('server'), worker: of('worker'), postgresql: of('postgresql'), redis: of('redis') }
}

/** Without what the tool does not measure. */
const known = (figures: Record<string, number>): Record<string, number> =>
  Object.fromEntries(Object.entries(figures).filter(([, value]) => !Number.isNaN(value)))

const sumOf = (times: PartTimes): number => rounded(Object.values(times).reduce((sum, one) => sum + one, 0))

/** The medians of a subject as a row; with `against`, the median of the ratios of each round. */
export const rowOf = (
  samples: Samples,
  id: string,
  { against, notes = [] }: { against?: string | undefined; notes?: string[] } = {},
): RowResult => {
  const own = samples.get(id)!
  const limit = against === undefined ? [] : (samples.get(against) ?? [])
  const perSecond = median(own.map((sample) => sample.perSecond))
  const latency = medianPercentiles(own.map((sample) => sample.latency))
  const cpuUs = medianCpu(own)
  const middle = own.toSorted((a, b) => a.perSecond - b.perSecond)[Math.floor(own.length / 2)]!
  return {
    row: id,
    figures: known({
      perSecond: rounded(perSecond),
      p50Ms: rounded(latency.p50),
      p99Ms: rounded(latency.p99),
      ...(limit.length > 0 && {
        ratio: rounded(median(own.map((sample, round) => sample.perSecond / limit[round]!.perSecond))),
      }),
      ...(cpuUs && cpuUs.server > 0 && { serverCpuUs: cpuUs.server, allCpuUs: sumOf(cpuUs) }),
    }),
    ...(limit.length > 0 && { against: against! }),
    latency,
    series: middle.series,
    ...(cpuUs && { cpuUs }),
    generatorCpu: rounded(median(own.map((sample) => sample.generatorCpu))),
    failed: own.reduce((sum, sample) => sum + sample.failed, 0),
    notes,
  }
}
