// Notifies of due times: of tasks that are overdue, and of those that are due soon for their recipient. Invariant: the
// notifications, their log entries and the marks on the tasks commit in one transaction of at most `batchTasks` tasks, so
// that after crashes, races and repeats each (task, due_rev) is notified exactly once of each kind.
import type { Tx } from '../../db/client.ts'
import { tryLockLoop } from '../../db/leases.ts'
import { lockLiveProjects, type DueCandidate } from '../../db/tasks/overdue.ts'
import type { DueSource } from '../../domain/notifications/due-sources.ts'
import { createNotifications } from '../../domain/notifications/entries.ts'
import { systemWrite, write, type UnclaimedEffect, type WriteDeps } from '../../domain/write.ts'
import { Histogram } from '../../metrics/histogram.ts'

export interface DueStats {
  /** Tasks handled, including those without a recipient. */
  tasks: number
  transactions: number
  /** Tasks of the largest transaction. */
  largest: number
  /** Seconds between the moment at which a task had to be notified and its notification. */
  lateness: Histogram
}

export const newDueStats = (): DueStats => ({
  tasks: 0,
  transactions: 0,
  largest: 0,
  lateness: new Histogram([1, 2, 5, 10, 15, 20, 30, 60, 300, 3600]),
})

/** Also the most entries of one scope that sockets receive individually (`maxLoudEntries`). */
const batchTasks = 200

interface Batch {
  /** The last candidate; null when nothing is due. */
  last: DueCandidate | null
  handled: number
  lateMs: number[]
  /** Projects that another transaction has locked: left to the next run. */
  lockedElsewhere: string[]
}

/** Handles every task of a source that is due now, or returns early: another worker has the lock, or `signal` aborts. */
export const notifyDue = async (
  deps: WriteDeps & { stats: DueStats; signal: AbortSignal },
  source: DueSource,
): Promise<void> => {
  const { stats, signal } = deps
  const except: string[] = []
  let from: string | null = null
  while (!signal.aborted) {
    const { value: batch } = await write(deps, systemWrite, (tx) => notifyBatch(tx, source, from, except))
    const { last, handled, lateMs, lockedElsewhere }: Batch = batch
    if (!last || (handled === 0 && lockedElsewhere.length === 0)) return
    stats.transactions += 1
    stats.tasks += handled
    stats.largest = Math.max(stats.largest, handled)
    for (const late of lateMs) stats.lateness.record(late / 1000)
    except.push(...lockedElsewhere)
    // The next batch starts here: it does not read the tasks of archived projects before this point again.
    from = last.at
  }
}

const notifyBatch = async (
  tx: Tx,
  source: DueSource,
  from: string | null,
  except: string[],
): Promise<UnclaimedEffect<Batch>> => {
  // Sent together, as elsewhere here what does not wait for a result: under load a round trip costs more than a statement.
  const [isLocked, candidates] = await Promise.all([
    tryLockLoop(tx, source.lock),
    source.select(tx, { from, except, limit: batchTasks }),
  ])
  const due = isLocked ? candidates : []
  const last = due.at(-1) ?? null
  if (!last) return { value: { last, handled: 0, lateMs: [], lockedElsewhere: [] }, entries: [] }
  const projects = [...new Set(due.map(({ projectId }) => projectId))]
  const locked = new Set(await lockLiveProjects(tx, projects))
  const lockedElsewhere = projects.filter((id) => !locked.has(id))
  const { handled, lateMs, notifications } = await source.settle(
    tx,
    due.filter(({ projectId }) => locked.has(projectId)).map(({ id }) => id),
    locked,
  )
  const entries = await createNotifications(tx, notifications)
  return { value: { last, handled, lateMs, lockedElsewhere }, entries }
}
