// The kinds of due times that are notified, for the one loop of the worker: where candidates come from, whom they are
// announced to, and how they are marked. Invariant: a settled task is no candidate any more, or only at a later time.
//
// Problem: when a task is due soon depends on its recipient, and who that is on assignee, creator, owners, their access
// and their preferences, all of which change without the task's due time. A condition in SQL would compute the recipient
// of every task that is due within a week at every look, if a single user wants to know that early; a due-soon time in
// the task would have to be maintained by every write of all these. The way chosen: a task that comes within a week of
// its due time is looked at once. It is announced, or a reminder keeps when to look again: at the recipient's time, and
// at least once an hour. What may bring that forward wakes the reminder: another assignee (a trigger) and another
// preference of the recipient. Each check decides from the rows of that moment.
import {
  deleteReminders,
  lockDueSoon,
  selectComingDue,
  selectReminded,
  updateDueSoonRevs,
  upsertReminders,
  type ComingTask,
} from '../../db/tasks/due-soon.ts'
import type { Tx } from '../../db/client.ts'
import type { NewNotification } from '../../db/notifications/notifications.ts'
import { selectDueRecipients, type DueRecipient } from '../../db/notifications/recipients.ts'
import {
  lockOverdue,
  selectOverdue,
  updateOverdueRevs,
  type DueCandidate,
  type DueSlice,
} from '../../db/tasks/overdue.ts'
import { dueSoonFrom } from './due-soon-time.ts'
import { dueNotificationOf } from './entries.ts'

/** The result of a batch of candidates. */
export interface Settled {
  /** Tasks that could be locked. */
  handled: number
  /** For each task that is notified: milliseconds after the moment at which it was due to be. */
  lateMs: number[]
  notifications: NewNotification[]
}

export interface DueSource {
  /** Held by one worker at a time. */
  lock: 'overdue' | 'due-soon'
  /** Candidates by `at`, without locks; leaves out archived projects. */
  select(tx: Tx, slice: DueSlice): Promise<DueCandidate[]>
  /**
   * Locks the candidates, decides and marks those that are in one of the locked projects. Leaves out what another
   * transaction locks.
   */
  settle(tx: Tx, ids: string[], projectIds: ReadonlySet<string>): Promise<Settled>
}

/** Open tasks whose due time has passed. */
export const overdue: DueSource = {
  lock: 'overdue',
  select: selectOverdue,
  async settle(tx, ids, projectIds) {
    const tasks = inProjects(await lockOverdue(tx, ids), projectIds)
    const [recipients] = await Promise.all([
      selectDueRecipients(tx, tasks.map(idOf)),
      updateOverdueRevs(tx, tasks.map(idOf)),
    ])
    return {
      handled: tasks.length,
      lateMs: tasks.map(({ lateMs }) => lateMs),
      notifications: tasks.flatMap((task) => {
        const recipient = recipients.get(task.id)
        return recipient ? [dueNotificationOf('overdue', task, recipient.userId)] : []
      }),
    }
  },
}

const hourMs = 60 * 60_000

type Decision =
  | { kind: 'notify'; userId: string; lateMs: number }
  | { kind: 'wait'; recipientId: string; checkAt: string }
  /** No user receives the notification, or the task is overdue. */
  | { kind: 'pass' }
  /** Done, without a due time, or due later than it was: a later check finds it again. */
  | { kind: 'forget' }

const decide = (task: ComingTask, recipient: DueRecipient | undefined): Decision => {
  if (!task.isComing) return { kind: task.isPast ? 'pass' : 'forget' }
  if (!recipient) return { kind: 'pass' }
  const { userId, dueSoonHours, timeZone } = recipient
  const now = Date.parse(task.now)
  const from = dueSoonFrom(Date.parse(task.dueAt!), dueSoonHours, timeZone)
  if (from <= now) return { kind: 'notify', userId, lateMs: now - Math.max(from, Date.parse(task.updatedAt)) }
  return { kind: 'wait', recipientId: userId, checkAt: new Date(Math.min(from, now + hourMs)).toISOString() }
}

const settleDueSoon = async (tx: Tx, ids: string[], projectIds: ReadonlySet<string>): Promise<Settled> => {
  const tasks = inProjects(await lockDueSoon(tx, ids), projectIds)
  const recipients = await selectDueRecipients(tx, tasks.map(idOf))
  const decided = tasks.map((task) => ({ task, decision: decide(task, recipients.get(task.id)) }))
  const marked = decided.filter(({ decision }) => decision.kind !== 'forget')
  const reminders = decided.flatMap(({ task, decision }) =>
    decision.kind === 'wait' ? [{ taskId: task.id, ...decision }] : [],
  )
  const ended = decided.filter(({ decision }) => decision.kind !== 'wait')
  await Promise.all([
    updateDueSoonRevs(
      tx,
      marked.map(({ task }) => task.id),
    ),
    deleteReminders(
      tx,
      ended.map(({ task }) => task.id),
    ),
    upsertReminders(tx, reminders),
  ])
  const notified = decided.flatMap(({ task, decision }) =>
    decision.kind === 'notify' ? [{ task, decision }] : [],
  )
  return {
    handled: tasks.length,
    lateMs: notified.map(({ decision }) => decision.lateMs),
    notifications: notified.map(({ task, decision }) =>
      dueNotificationOf('due_soon', { ...task, dueAt: task.dueAt! }, decision.userId),
    ),
  }
}

/** Tasks that have come within a week of their due time. */
export const comingDue: DueSource = { lock: 'due-soon', select: selectComingDue, settle: settleDueSoon }

/** Tasks whose recipient wanted to be notified later than at their last check. */
export const reminded: DueSource = { lock: 'due-soon', select: selectReminded, settle: settleDueSoon }

/** A candidate may have moved since it was selected. */
const inProjects = <T extends { projectId: string }>(tasks: T[], projectIds: ReadonlySet<string>): T[] =>
  tasks.filter(({ projectId }) => projectIds.has(projectId))

const idOf = ({ id }: { id: string }): string => id
