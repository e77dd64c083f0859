// Sizes of a run: how many rounds, how long, how many sockets. `--quick` takes under two minutes; its
// figures are rougher and its sizes smaller, and the report says so. Long sections (files, curves) are left out.

export interface Plan {
  isQuick: boolean
  /** Measurements of each row, interleaved with those of its limit; the report has their medians. */
  rounds: number
  /** Of one measurement. */
  seconds: number
  /** Tasks in the project that is listed. */
  tasks: number
  /** Tasks of the large list. */
  manyTasks: number
  /** Measurements of each list at each size. */
  listSeconds: number
  sockets: number
  changes: number
  followers: number
  socketSeconds: number
  stalled: number
  returning: number
  league: { clients: number; messages: number; everyMs: number; cutEveryMs: number; awayMs: number }
  /** The same shape with more clients; only in a whole run, or where it is named. */
  leagueLarge: Plan['league']
  deploySockets: number
  /** Of one rate of the open loop. */
  rateSeconds: number
  /** From one rate to the next. */
  rateGrowth: number
  /** Before a rate of writes counts. */
  warmSeconds: number
  entries: number
  overdue: number
  starts: number
  /** Of the file that is uploaded to the store directly. */
  largeFileMib: number
}

const whole: Plan = {
  isQuick: false,
  rounds: 5,
  seconds: 5,
  tasks: 10_000,
  manyTasks: 1_000_000,
  listSeconds: 4,
  sockets: 5_000,
  changes: 100,
  followers: 1_000,
  socketSeconds: 15,
  stalled: 1_000,
  returning: 10_000,
  league: { clients: 2_000, messages: 120, everyMs: 1_000, cutEveryMs: 15_000, awayMs: 2_000 },
  leagueLarge: { clients: 10_000, messages: 60, everyMs: 1_000, cutEveryMs: 15_000, awayMs: 2_000 },
  deploySockets: 5_000,
  rateSeconds: 5,
  rateGrowth: 1.3,
  warmSeconds: 2,
  entries: 50_000,
  overdue: 100_000,
  starts: 5,
  largeFileMib: 1_024,
}

const quick: Plan = {
  isQuick: true,
  rounds: 1,
  seconds: 0.3,
  tasks: 10_000,
  manyTasks: 20_000,
  listSeconds: 0.3,
  sockets: 500,
  changes: 10,
  followers: 200,
  socketSeconds: 1.2,
  stalled: 100,
  returning: 300,
  league: { clients: 200, messages: 12, everyMs: 200, cutEveryMs: 1_500, awayMs: 300 },
  leagueLarge: { clients: 500, messages: 12, everyMs: 200, cutEveryMs: 1_500, awayMs: 300 },
  deploySockets: 200,
  rateSeconds: 0.5,
  rateGrowth: 2,
  warmSeconds: 0.5,
  entries: 1_000,
  overdue: 500,
  starts: 1,
  largeFileMib: 64,
}

/** @param rounds null for the plan's own. */
export const planOf = (isQuick: boolean, rounds: number | null): Plan => ({
  ...(isQuick ? quick : whole),
  ...(rounds !== null && { rounds }),
})
