// The result of a soak: what each process held at the start, at most and at the end, and the slope of its memory in the
// second half. Invariant: `violations` names everything beyond a limit.
import type { Facts } from '../../bench/machine.ts'
import type { SoakChecks } from './checks.ts'
import type { ProcessSample, Sample } from './samples.ts'
import { lowerEnvelope, theilSen, withoutShareOf, type Slope } from './slope.ts'

export const maxSlopeMiBPerHour = 1

/**
 * `shown`: the whole interval is within the limit. `undecided`: the limit is inside the interval, or the samples are few:
 * the run shows neither growth nor its absence. That is no violation: where memory does not grow, the estimate exceeds the
 * limit the more often the wider the interval is, and where it grows by the limit in every second run.
 */
export type SlopeVerdict = 'shown' | 'undecided' | 'violated'

export interface MemoryFigures {
  baselineMiB: number
  /** Medians of the first and the last minute of the second half. */
  fromMiB: number
  toMiB: number
  /** Without the share of compiled functions, whose number goes up and down with what is called often. */
  slopeMiBPerHour: Slope
  verdict: SlopeVerdict
}

export interface SoakReport {
  date: string
  commit: string
  machine: Facts['machine']
  seed: number
  minutes: number
  requestsPerSecond: number
  /** Of all cores, 0 to 1: of the whole machine and of the processes of the soak with its generator. */
  cpu: { machine: number; own: number }
  processes: Record<
    string,
    {
      heap: MemoryFigures
      resident: MemoryFigures
      codeMiB: { baseline: number; rest: number }
      handles: { baseline: number; most: number; rest: number }
      /** The types of objects that grew most in the second half, by how many: where to look first. */
      grown: Record<string, number>
    }
  >
  connections: Record<'PostgreSQL' | 'Redis', { baseline: number; most: number; rest: number }>
  counts: Record<string, number>
  violations: string[]
  /** What the run could not decide. */
  undecided: string[]
}

const mebibytes = (bytes: number): number => Math.round((bytes / 2 ** 20) * 100) / 100
const rounded = (value: number): number => Math.round(value * 100) / 100
const perMinute = 6

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!

/** With fewer, the share of compiled functions is fitted to the noise, and the interval is too narrow. */
const minSamples = 10

export const verdictOf = ({ low, high, samples }: Slope): SlopeVerdict => {
  if (samples < minSamples) return 'undecided'
  if (low > maxSlopeMiBPerHour) return 'violated'
  return high <= maxSlopeMiBPerHour ? 'shown' : 'undecided'
}

/** The least growth, MiB an hour, that a run with this interval reports as a violation. */
export const leastDetected = ({ estimate, low }: Slope): number => maxSlopeMiBPerHour + estimate - low

/** @param window samples of which the least counts. */
const memoryOf = (
  baseline: ProcessSample,
  samples: readonly { seconds: number; process: ProcessSample }[],
  of: (process: ProcessSample) => number,
  window: number,
): MemoryFigures => {
  const points = samples.map(({ seconds, process }) => ({
    x: seconds / 3_600,
    y: of(process) / 2 ** 20,
    z: process.compiledFunctions,
  }))
  const fitted = lowerEnvelope(withoutShareOf(points), window)
  const slope = theilSen(fitted.length < 3 ? points : fitted)
  const [from, to] = [points.slice(0, perMinute), points.slice(-perMinute)].map((part) =>
    median(part.map(({ y }) => y)),
  )
  return {
    baselineMiB: mebibytes(of(baseline)),
    fromMiB: rounded(from!),
    toMiB: rounded(to!),
    slopeMiBPerHour: {
      estimate: rounded(slope.estimate),
      low: rounded(slope.low),
      high: rounded(slope.high),
      samples: slope.samples,
    },
    verdict: verdictOf(slope),
  }
}

const grownTypes = 8

/** Between the medians of the first and the last minute. */
const grownOf = (samples: readonly ProcessSample[]): Record<string, number> => {
  const countOf = (part: readonly ProcessSample[], type: string): number =>
    median(part.map(({ types }) => types[type] ?? 0))
  const [first, last] = [samples.slice(0, perMinute), samples.slice(-perMinute)]
  const grown = Object.keys(last[0]!.types)
    .map((type): [string, number] => [type, countOf(last, type) - countOf(first, type)])
    .filter(([, count]) => count > 0)
    .toSorted(([, a], [, b]) => b - a)
  return Object.fromEntries(grown.slice(0, grownTypes))
}

export interface SoakRun {
  machine: Facts['machine']
  seed: number
  minutes: number
  seconds: number
  requests: number
  cpu: SoakReport['cpu']
  baseline: Sample
  samples: readonly Sample[]
  rest: Sample
  checks: SoakChecks
}

export const soakReport = (run: SoakRun): SoakReport => {
  const { baseline, samples, rest, checks } = run
  const second = samples.slice(samples.length >> 1)
  const threeOf = (of: (sample: Sample) => number) => ({
    baseline: of(baseline),
    most: Math.max(...samples.map(of)),
    rest: of(rest),
  })
  const processes = Object.fromEntries(
    Object.entries(baseline.processes).map(([name, before]) => {
      const own = second.map(({ seconds, processes: all }) => ({ seconds, process: all[name]! }))
      return [
        name,
        {
          heap: memoryOf(before, own, ({ heapBytes }) => heapBytes, 1),
          resident: memoryOf(before, own, ({ residentBytes }) => residentBytes, 3),
          codeMiB: {
            baseline: mebibytes(before.codeBytes),
            rest: mebibytes(rest.processes[name]!.codeBytes),
          },
          handles: threeOf(({ processes }) => processes[name]!.handles),
          grown: grownOf(own.map(({ process }) => process)),
        },
      ]
    }),
  )
  const connections = {
    PostgreSQL: threeOf(({ postgresConnections }) => postgresConnections),
    Redis: threeOf(({ redisConnections }) => redisConnections),
  }
  const held = [
    ...Object.entries(processes).map(([name, { handles }]) => ({ what: `handles of ${name}`, ...handles })),
    ...Object.entries(connections).map(([name, three]) => ({ what: `connections to ${name}`, ...three })),
  ]
  const slopes = Object.entries(processes).flatMap(([name, { heap, resident }]) =>
    Object.entries({ heap, resident }).map(([kind, { verdict, slopeMiBPerHour: slope }]) => ({
      verdict,
      text: `${name}: ${kind} grows by ${slope.estimate} MiB an hour (${slope.low} to ${slope.high})`,
    })),
  )
  const textsOf = (wanted: SlopeVerdict): string[] =>
    slopes.filter(({ verdict }) => verdict === wanted).map(({ text }) => text)
  return {
    date: new Date().toISOString(),
    commit: run.machine.commit,
    machine: run.machine,
    seed: run.seed,
    minutes: run.minutes,
    requestsPerSecond: rounded(run.requests / run.seconds),
    cpu: run.cpu,
    processes,
    connections,
    counts: checks.counts,
    violations: [
      ...checks.violations,
      ...held
        .filter(({ baseline, rest }) => rest > baseline)
        .map(({ what, baseline, rest }) => `${what}: ${rest} after the load, ${baseline} before`),
      ...textsOf('violated'),
    ],
    undecided: textsOf('undecided'),
  }
}
