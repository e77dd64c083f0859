// The content of a notification: its row, its REST shape, and the `notification.created` in the recipient's scope.
// Invariant: the dedupe key names the cause, so that a cause notifies a user once.
import type { Tx } from '../../db/client.ts'
import {
  insertNotifications,
  lockConcernedUsers,
  type NewNotification,
  type NotificationRow,
} from '../../db/notifications/notifications.ts'
import { selectSilenced } from '../../db/notifications/preferences.ts'
import type { OverdueTask } from '../../db/tasks/overdue.ts'
import type { Entry } from '../../model/event.ts'
import type { Notification } from '../../model/notification.ts'
import { userScope } from '../../model/scope.ts'
import { mailNotices } from './mail.ts'
import { isWanted } from './preferences.ts'
import type { Recipient } from './recipients.ts'

/** The shape of REST responses and of the data of `notification.created`. */
export const toNotification = (row: NotificationRow): Notification => ({
  id: row.id,
  kind: row.kind,
  taskId: row.taskId,
  projectId: row.projectId,
  actor: row.actor,
  data: row.data,
  readAt: row.readAt,
  createdAt: row.createdAt,
})

/**
 * Inserts what the users want in their inbox and what is not there yet, and returns the entries that announce it. What
 * is in the inbox the consumer of those entries mails; what a user wants only as mail is recorded here.
 */
export const createNotifications = async (tx: Tx, notifications: NewNotification[]): Promise<Entry[]> => {
  if (notifications.length === 0) return []
  const [silenced, existing] = await Promise.all([
    selectSilenced(
      tx,
      notifications.map(({ userId }) => userId),
    ),
    lockConcernedUsers(tx, notifications),
  ])
  const isInApp = ({ userId, kind }: NewNotification) => isWanted(silenced.get(userId), kind, 'inApp')
  const wanted = notifications.filter(isInApp)
  await mailNotices(
    tx,
    notifications
      .filter((notification) => !isInApp(notification))
      .map((notification) => ({ ...notification, notificationId: null, createdAt: null })),
  )
  return (await insertNotifications(tx, wanted, existing)).map((row) => ({
    scope: userScope(row.userId),
    type: 'notification.created',
    id: row.id,
    data: toNotification(row),
    actorId: row.actor?.id ?? null,
  }))
}

export const notificationOf = ({
  cause: { kind, entry, taskId, commentId },
  userId,
  projectId,
  projectName,
  title,
}: Recipient): NewNotification => ({
  userId,
  kind,
  taskId,
  projectId,
  actorId: entry.actorId,
  // A user with a single share can read the task but not its project: the project's name stays out.
  data:
    taskId === null
      ? { name: projectName, role: entry.changes!['role']?.to }
      : { title, ...(commentId !== null && { commentId }) },
  dedupeKey: `${kind}:${entry.shard}.${entry.seq}`,
})

/** Each due time of a task (`dueRev`) notifies once of each kind. */
export const dueNotificationOf = (
  kind: 'overdue' | 'due_soon',
  {
    id,
    projectId,
    title,
    dueAt,
    dueRev,
  }: Pick<OverdueTask, 'id' | 'projectId' | 'title' | 'dueAt' | 'dueRev'>,
  userId: string,
): NewNotification => ({
  userId,
  kind,
  taskId: id,
  projectId,
  actorId: null,
  data: { title, dueAt },
  dedupeKey: `${kind}:${id}:${dueRev}`,
})
