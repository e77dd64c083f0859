// `stats.updated`: the counters of a project after they changed, in its scope.
import { takeChangedCounters } from '../../db/statistics/counters.ts'
import type { Tx } from '../../db/client.ts'
import { projectScope } from '../../model/scope.ts'
import { shownCounts, type ProjectCounts } from '../../model/statistics.ts'
import type { UnclaimedEffect } from '../write.ts'

/** At least 5 s between two entries of a project; an append waits up to a second for its shard. */
const pauseMs = 6_000

/** Announces at most `limit` projects. Returns how many. */
export const announceCounts = async (tx: Tx, limit: number): Promise<UnclaimedEffect<number>> => {
  const changed = await takeChangedCounters(tx, pauseMs, limit)
  const entries = changed.map(({ projectId, words }) => {
    const data: ProjectCounts = { projectId, ...shownCounts(words) }
    return {
      scope: projectScope(projectId),
      type: 'stats.updated' as const,
      id: projectId,
      data,
      actorId: null,
    }
  })
  return { value: changed.length, entries }
}
