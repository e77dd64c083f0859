// Counts what entries change, in the transaction that moves the position past them. Appends nothing itself: the loop
// `announceStatistics` does, at most once in five seconds for a project.
import { addToCounters, deleteCounters, statisticsConsumer } from '../../db/statistics/counters.ts'
import { recount } from '../../domain/statistics/check.ts'
import { CountChanges, isCounted } from '../../domain/statistics/count-changes.ts'
import { idOf } from '../../model/scope.ts'
import type { Consumer } from '../engine/consumer.ts'

/**
 * Readers add the entries that are not counted yet, so that counting may wait: at 700 writes a second one transaction for
 * each read of the stream would be as many commits a second, one for each second of a shard is at most 16.
 */
const collectMs = 1_000
/** Entries in a transaction: they are summed up before they are written. */
const maxBatch = 1_000

export const stats: Consumer = {
  name: statisticsConsumer,
  collectMs,
  maxBatch,
  concerns: (entry) => isCounted(entry, () => entry.changes),
  async handle(tx, entries) {
    const changed = new Map<string, CountChanges>()
    const deleted: string[] = []
    for (const { scope, type, changes } of entries) {
      const projectId = idOf(scope)
      if (type === 'project.deleted') {
        deleted.push(projectId)
        changed.delete(projectId) // the last entry of its scope
        continue
      }
      let sums = changed.get(projectId)
      if (!sums) changed.set(projectId, (sums = new CountChanges()))
      sums.add(changes!)
    }
    await Promise.all([
      addToCounters(
        tx,
        Array.from(changed, ([projectId, sums]) => ({
          projectId,
          words: sums.words,
          tags: sums.tags,
          quarters: sums.quarters,
        })),
      ),
      deleteCounters(tx, deleted),
    ])
    return []
  },
  /** The nightly check may have repaired the counters without the entry: they are made what the rows say. */
  async requeue(tx, { scope, type }) {
    const projectId = idOf(scope)
    if (type === 'project.deleted') await deleteCounters(tx, [projectId])
    else await recount(tx, projectId)
    return []
  },
}
