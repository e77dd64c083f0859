// Statistics against rows: counters and the entries that are not counted yet must be what a count of the rows says, at
// any snapshot.
import type { Database } from '../../src/db/client.ts'
import { checkCounters, type CheckOutcome } from '../../src/domain/statistics/check.ts'

/** Of projects, by what the comparison of each came to. One that was skipped says nothing. */
export type DriftCounts = Record<CheckOutcome, number>

export const noDrift = (): DriftCounts => ({ exact: 0, skipped: 0, drifted: 0 })

/** Compares each of the projects, at a snapshot of its own, of now. */
export const compareCounters = async (
  db: Database,
  projects: readonly { id: string }[],
): Promise<DriftCounts> => {
  const counts = noDrift()
  for (const { id } of projects) counts[await db.snapshot((tx) => checkCounters(tx, id))] += 1
  return counts
}

/** How many of the projects have drifted. */
export const driftOf = async (db: Database, projects: readonly { id: string }[]): Promise<number> =>
  (await compareCounters(db, projects)).drifted
