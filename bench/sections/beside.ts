// What users feel of other load: the same requests alone and beside it, round by round.
import type { LoadResult } from '../load/job.ts'
import { median, rounded } from '../statistics.ts'

/** One round: the requests alone, and beside the other load. */
export interface BesideRound {
  quiet: Pick<LoadResult, 'latency'>
  disturbed: Pick<LoadResult, 'latency'>
}

/** Medians of the rounds. */
export const besideFigures = (rounds: readonly BesideRound[]) => {
  const of = (figure: (round: BesideRound) => number): number => rounded(median(rounds.map(figure)))
  return {
    p99Ratio: of(({ quiet, disturbed }) => disturbed.latency.p99 / quiet.latency.p99),
    restP99Ms: of(({ quiet }) => quiet.latency.p99),
    besideP99Ms: of(({ disturbed }) => disturbed.latency.p99),
  }
}
