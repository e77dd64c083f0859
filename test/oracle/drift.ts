// Statistics against rows: counters and the entries that are not counted yet must be what a count of the rows says, at
// any snapshot.
import type { Database } from '../../src/db/client.ts'
import { checkCounters } from '../../src/domain/statistics/check.ts'

/** How many of the projects have drifted, a snapshot of now for each. */
export const driftOf = async (db: Database, projects: readonly { id: string }[]): Promise<number> => {
  let drifted = 0
  for (const { id } of projects)
    if ((await db.snapshot((tx) => checkCounters(tx, id))) === 'drifted') drifted += 1
  return drifted
}
