// A user's inbox: list it, mark one notification or all of them read. The worker creates the notifications.
import {
  countNotifications,
  lockInbox,
  lockNotification,
  selectNotifications,
  updateAllRead,
  updateRead,
  type NotificationRow,
} from '../../db/notifications/notifications.ts'
import { notFound } from '../../errors.ts'
import { userScope, type Scope } from '../../model/scope.ts'
import type { Notification } from '../../model/notification.ts'
import { headsOf, withHeads, type ListDeps, type ListedAt } from '../list.ts'
import { listed, type Slice } from '../../model/page.ts'
import { ownSubject } from '../subject.ts'
import { toNotification } from './entries.ts'
import { write, type WriteResult, type WriteRequest, type WriteDeps } from '../write.ts'
import type { Actor } from '../../model/actor.ts'

export type Inbox = ListedAt<Notification> & {
  /** Of all notifications, not only those listed. */
  unreadCount: number
}

/** Newest first; `isUnread` null lists both. List and counts come from one snapshot. */
export const listNotifications = async (
  deps: InboxDeps,
  actor: Actor,
  isUnread: boolean | null,
  slice: Slice,
): Promise<Inbox> => {
  const { userId } = actor
  // Notifications change with `notification.*` in the user's scope, names of actors with `user.updated` in theirs.
  const before = await headsOf(deps, actor, [])
  return deps.db.of(userId).snapshot(async (tx) => {
    const rows = await selectNotifications(tx, userId, isUnread, slice)
    const isStable = isUnread === true || (slice.page === null && !rows.some(isNearRetention(deps.config)))
    return {
      ...listed(rows, slice.limit, { item: toNotification, key: (row) => [row.createdAt, row.id] }),
      total: slice.page === null ? null : await countNotifications(tx, userId, isUnread),
      unreadCount: await countNotifications(tx, userId, true),
      heads: isStable ? withHeads(before, rows.flatMap(actorHead)) : null,
    }
  })
}

interface InboxDeps extends ListDeps {
  config: { notificationRetentionDays: number }
}

type InboxRow = NotificationRow & { userHead: string }

const actorHead = ({ actor, userHead }: InboxRow): [Scope, string][] =>
  actor ? [[userScope(actor.id), userHead]] : []

const dayMs = 24 * 60 * 60_000

/** Read notifications are deleted after their retention without an entry: a list with one that is a day from it changes. */
const isNearRetention =
  ({ notificationRetentionDays: days }: InboxDeps['config']) =>
  ({ readAt }: InboxRow): boolean =>
    readAt !== null && Date.parse(readAt) < Date.now() - (days - 1) * dayMs

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
