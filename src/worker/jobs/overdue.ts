// Telling people that a task is overdue, once for each time it falls due. Invariant: a notification, its entry in
// the log and the mark on the task are one transaction of at most `batchTasks` tasks, so that whoever crashes,
// races or repeats, each (task, due_rev) is told exactly once.
import {
  lockOverdueTasks,
  selectOverdueRecipients,
  updateOverdueRevs,
  type OverdueTask,
} from '../../db/overdue.ts'
import { tryLockLoop } from '../../db/leases.ts'
import { insertNotifications } from '../../db/notifications.ts'
import type { Tx } from '../../db/client.ts'
import { writeAsSystem, type WriteDeps } from '../../domain/write.ts'
import type { Entry } from '../../model/event.ts'
import { notificationCreated } from '../dispatch/notify.ts'
import { Histogram } from '../histogram.ts'

export interface OverdueStats {
  /** Tasks dealt with, also those nobody can be told of. */
  tasks: number
  transactions: number
  /** Seconds between falling due and being told. */
  lateness: Histogram
}

export const newOverdueStats = (): OverdueStats => ({
  tasks: 0,
  transactions: 0,
  lateness: new Histogram([1, 2, 5, 10, 15, 20, 30, 60, 300, 3600]),
})

/** Also at most as many entries for one scope as sockets are sent one by one. */
const batchTasks = 200

/** Tells of everything that is overdue now; does nothing while another worker is at it. Ends early with `signal`. */
export const tellOverdue = async (
  deps: WriteDeps & { stats: OverdueStats; signal: AbortSignal },
): Promise<void> => {
  const { stats, signal } = deps
  let from: string | null = null
  while (!signal.aborted) {
    const done: OverdueTask[] = await writeAsSystem(deps, (tx) => tellBatch(tx, from))
    if (done.length === 0) return
    stats.transactions += 1
    stats.tasks += done.length
    for (const { lateMs } of done) stats.lateness.record(lateMs / 1000)
    // Where nothing else is due, archived projects are not looked through again for every batch.
    from = done.at(-1)!.dueAt
  }
}

const tellBatch = async (
  tx: Tx,
  from: string | null,
): Promise<{ value: OverdueTask[]; entries: Entry[] }> => {
  const tasks = (await tryLockLoop(tx, 'overdue')) ? await lockOverdueTasks(tx, from, batchTasks) : []
  if (tasks.length === 0) return { value: [], entries: [] }
  const ids = tasks.map(({ id }) => id)
  const recipients = await selectOverdueRecipients(tx, ids)
  const rows = await insertNotifications(
    tx,
    tasks.flatMap(({ id, projectId, title, dueAt, dueRev }) => {
      const userId = recipients.get(id)
      if (!userId) return []
      const data = { title, dueAt }
      return [
        {
          userId,
          kind: 'overdue',
          taskId: id,
          projectId,
          actorId: null,
          data,
          dedupeKey: `overdue:${id}:${dueRev}`,
        },
      ]
    }),
  )
  await updateOverdueRevs(tx, ids)
  return { value: tasks, entries: rows.map(notificationCreated) }
}
