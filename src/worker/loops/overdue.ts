// Telling people that a task is overdue, once for each time it falls due. Invariant: a notification, its entry in
// the log and the mark on the task are one transaction of at most `batchTasks` tasks, so that whoever crashes,
// races or repeats, each (task, due_rev) is told exactly once.
import {
  lockLiveProjects,
  lockOverdue,
  selectOverdue,
  selectOverdueRecipients,
  updateOverdueRevs,
  type Candidate,
  type OverdueTask,
} from '../../db/tasks/overdue.ts'
import { tryLockLoop } from '../../db/leases.ts'
import { insertNotifications } from '../../db/notifications/notifications.ts'
import type { Tx } from '../../db/client.ts'
import { writeAsSystem, type SystemWriteDeps } from '../../domain/write.ts'
import type { Entry } from '../../model/event.ts'
import { notificationCreated } from '../consumers/notifications.ts'
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

interface Batch {
  /** The last task looked at; null when nothing is due. */
  last: Candidate | null
  told: OverdueTask[]
  /** Projects somebody is changing just now: left to the next look. */
  busy: string[]
}

/** Tells of everything that is overdue now; does nothing while another worker is at it. Ends early with `signal`. */
export const notifyOverdue = async (
  deps: SystemWriteDeps & { stats: OverdueStats; signal: AbortSignal },
): Promise<void> => {
  const { stats, signal } = deps
  const except: string[] = []
  let from: string | null = null
  while (!signal.aborted) {
    const { last, told, busy }: Batch = await writeAsSystem(deps, (tx) => notifyBatch(tx, from, except))
    if (!last || (told.length === 0 && busy.length === 0)) return
    stats.transactions += 1
    stats.tasks += told.length
    for (const { lateMs } of told) stats.lateness.record(lateMs / 1000)
    except.push(...busy)
    // So that the archived projects' tasks before it are not looked through again for every batch.
    from = last.dueAt
  }
}

const notifyBatch = async (
  tx: Tx,
  from: string | null,
  except: string[],
): Promise<{ value: Batch; entries: Entry[] }> => {
  const isOurs = await tryLockLoop(tx, 'overdue')
  const due = isOurs ? await selectOverdue(tx, { from, except, limit: batchTasks }) : []
  const last = due.at(-1) ?? null
  if (!last) return { value: { last, told: [], busy: [] }, entries: [] }
  const projects = [...new Set(due.map(({ projectId }) => projectId))]
  const locked = await lockLiveProjects(tx, projects)
  const busy = projects.filter((id) => !locked.includes(id))
  const told = await lockOverdue(tx, due.map(idOf), locked)
  const recipients = await selectOverdueRecipients(tx, told.map(idOf))
  const rows = await insertNotifications(
    tx,
    told.flatMap(({ id, projectId, title, dueAt, dueRev }) => {
      const userId = recipients.get(id)
      if (!userId) return []
      const dedupeKey = `overdue:${id}:${dueRev}`
      return [
        { userId, kind: 'overdue', taskId: id, projectId, actorId: null, data: { title, dueAt }, dedupeKey },
      ]
    }),
  )
  await updateOverdueRevs(tx, told.map(idOf))
  return { value: { last, told, busy }, entries: rows.map(notificationCreated) }
}

const idOf = ({ id }: { id: string }): string => id
