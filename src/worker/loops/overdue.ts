// Notifies of overdue tasks, once for each due time. Invariant: the notifications, their log entries and the marks on
// the tasks commit in one transaction of at most `batchTasks` tasks, so that after crashes, races and repeats each
// (task, due_rev) is notified exactly once.
import {
  lockLiveProjects,
  lockOverdue,
  selectOverdue,
  updateOverdueRevs,
  type OverdueCandidate,
  type OverdueTask,
} from '../../db/tasks/overdue.ts'
import { tryLockLoop } from '../../db/leases.ts'
import type { Tx } from '../../db/client.ts'
import { createNotifications, overdueNotificationOf } from '../../domain/notifications/entries.ts'
import { overdueRecipients } from '../../domain/notifications/recipients.ts'
import { systemWrite, write, type UnclaimedEffect, type WriteDeps } from '../../domain/write.ts'
import { Histogram } from '../histogram.ts'

export interface OverdueStats {
  /** Tasks handled, including those without a recipient. */
  tasks: number
  transactions: number
  /** Seconds between `dueAt` and the notification. */
  lateness: Histogram
}

export const newOverdueStats = (): OverdueStats => ({
  tasks: 0,
  transactions: 0,
  lateness: new Histogram([1, 2, 5, 10, 15, 20, 30, 60, 300, 3600]),
})

/** Also the most entries of one scope that sockets receive individually (`maxLoudEntries`). */
const batchTasks = 200

interface Batch {
  /** The last candidate; null when nothing is due. */
  last: OverdueCandidate | null
  handled: OverdueTask[]
  /** Projects that another transaction has locked: left to the next run. */
  lockedElsewhere: string[]
}

/** Handles every task that is overdue now, or returns early: another worker has the lock, or `signal` aborts. */
export const notifyOverdue = async (
  deps: WriteDeps & { stats: OverdueStats; signal: AbortSignal },
): Promise<void> => {
  const { stats, signal } = deps
  const except: string[] = []
  let from: string | null = null
  while (!signal.aborted) {
    const { value: batch } = await write(deps, systemWrite, (tx) => notifyBatch(tx, from, except))
    const { last, handled, lockedElsewhere }: Batch = batch
    if (!last || (handled.length === 0 && lockedElsewhere.length === 0)) return
    stats.transactions += 1
    stats.tasks += handled.length
    for (const { lateMs } of handled) stats.lateness.record(lateMs / 1000)
    except.push(...lockedElsewhere)
    // The next batch starts here: it does not read the tasks of archived projects before this point again.
    from = last.dueAt
  }
}

const notifyBatch = async (
  tx: Tx,
  from: string | null,
  except: string[],
): Promise<UnclaimedEffect<Batch>> => {
  const isLocked = await tryLockLoop(tx, 'overdue')
  const due = isLocked ? await selectOverdue(tx, { from, except, limit: batchTasks }) : []
  const last = due.at(-1) ?? null
  if (!last) return { value: { last, handled: [], lockedElsewhere: [] }, entries: [] }
  const projects = [...new Set(due.map(({ projectId }) => projectId))]
  const locked = await lockLiveProjects(tx, projects)
  const lockedElsewhere = projects.filter((id) => !locked.includes(id))
  const handled = await lockOverdue(tx, due.map(idOf), locked)
  const recipients = await overdueRecipients(tx, handled)
  const entries = await createNotifications(
    tx,
    recipients.map(({ task, userId }) => overdueNotificationOf(task, userId)),
  )
  await updateOverdueRevs(tx, handled.map(idOf))
  return { value: { last, handled, lockedElsewhere }, entries }
}

const idOf = ({ id }: { id: string }): string => id
