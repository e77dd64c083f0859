// The content of a notification: its row, its REST shape, and the `notification.created` in the recipient's scope.
// Invariant: the dedupe key names the cause, so that a cause notifies a user once.
import type { Tx } from '../../db/client.ts'
import {
  insertNotifications,
  type NewNotification,
  type NotificationRow,
} from '../../db/notifications/notifications.ts'
import type { OverdueTask } from '../../db/tasks/overdue.ts'
import type { Entry } from '../../model/event.ts'
import type { Notification } from '../../model/notification.ts'
import { userScope } from '../../model/scope.ts'
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

/** Inserts what is not there yet and returns the entries that announce it. */
export const createNotifications = async (tx: Tx, notifications: NewNotification[]): Promise<Entry[]> =>
  (await insertNotifications(tx, notifications)).map((row) => ({
    scope: userScope(row.userId),
    type: 'notification.created',
    id: row.id,
    data: toNotification(row),
    actorId: row.actor?.id ?? null,
  }))

export const notificationOf = ({
  cause: { kind, entry, taskId },
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
  data: taskId === null ? { name: projectName, role: entry.changes!['role']?.to } : { title },
  dedupeKey: `${kind}:${entry.shard}.${entry.seq}`,
})

/** Each due time of a task (`dueRev`) notifies once. */
export const overdueNotificationOf = (
  { id, projectId, title, dueAt, dueRev }: OverdueTask,
  userId: string,
): NewNotification => ({
  userId,
  kind: 'overdue',
  taskId: id,
  projectId,
  actorId: null,
  data: { title, dueAt },
  dedupeKey: `overdue:${id}:${dueRev}`,
})
