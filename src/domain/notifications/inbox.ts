// A user's inbox: list it, mark one notification or all of them read. The worker creates the notifications.
import {
  countNotifications,
  lockInbox,
  lockNotification,
  selectNotifications,
  updateAllRead,
  updateRead,
} from '../../db/notifications/notifications.ts'
import { notFound } from '../../errors.ts'
import { userScope } from '../../model/scope.ts'
import type { Notification } from '../../model/notification.ts'
import { listed, type Listed, type Slice } from '../../model/page.ts'
import { ownSubject } from '../subject.ts'
import { toNotification } from './entries.ts'
import { write, type WriteResult, type WriteRequest, type WriteDeps } from '../write.ts'
import type { Actor } from '../../model/actor.ts'

export interface Inbox extends Listed<Notification> {
  /** Of all notifications, not only those listed. */
  unreadCount: number
}

/** Newest first; `isUnread` null lists both. List and counts come from one snapshot. */
export const listNotifications = (
  { db }: Pick<WriteDeps, 'db'>,
  { userId }: Actor,
  isUnread: boolean | null,
  slice: Slice,
): Promise<Inbox> =>
  db.of(userId).snapshot(async (tx) => {
    const rows = await selectNotifications(tx, userId, isUnread, slice)
    return {
      ...listed(rows, slice.limit, { item: toNotification, key: (row) => [row.createdAt, row.id] }),
      total: slice.page === null ? null : await countNotifications(tx, userId, isUnread),
      unreadCount: await countNotifications(tx, userId, true),
    }
  })

/** 404 for a notification of another user. A read one keeps its `readAt`, without an entry. */
export const readNotification = (
  deps: WriteDeps,
  request: WriteRequest<Notification>,
  id: string,
): Promise<WriteResult<Notification>> =>
  write(deps, request, async (tx) => {
    const { userId } = request.actor
    const row = await lockNotification(tx, userId, id)
    if (!row) throw notFound()
    if (row.readAt !== null) return { value: toNotification(row), entries: [], subject: ownSubject }
    const readAt = await updateRead(tx, id)
    const value = { ...toNotification(row), readAt }
    return {
      value,
      entries: [
        {
          scope: userScope(userId),
          type: 'notification.read',
          id,
          data: value,
          changed: ['readAt'],
          changes: { readAt: { from: null, to: readAt } },
          actorId: userId,
        },
      ],
      cursorScope: userScope(userId),
      subject: ownSubject,
    }
  })

export interface AllRead {
  /** Every notification created until then is read; null when none was unread. */
  upTo: string | null
  unreadCount: 0
}

/** Appends one entry for any number of notifications: clients mark theirs as read up to `upTo`. */
export const readAllNotifications = (
  deps: WriteDeps,
  request: WriteRequest<AllRead>,
): Promise<WriteResult<AllRead>> =>
  write(deps, request, async (tx) => {
    const { userId } = request.actor
    await lockInbox(tx, userId)
    const upTo = await updateAllRead(tx, userId)
    const scope = userScope(userId)
    return {
      value: { upTo, unreadCount: 0 },
      entries:
        upTo === null
          ? []
          : [{ scope, type: 'notification.read', id: null, data: { upTo }, actorId: userId }],
      cursorScope: scope,
      subject: ownSubject,
    }
  })
