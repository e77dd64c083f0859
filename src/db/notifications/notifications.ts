// Notifications as rows. Inserting share-locks the users concerned, and read-all locks its user against that: a read-all
// covers exactly the notifications that precede it in the log.
import type { Notification, NotificationKind } from '../../model/notification.ts'
import { offsetOf, type Slice } from '../../model/page.ts'
import { newId } from '../../model/scalar.ts'
import type { Queryable, Tx } from '../client.ts'
import { avatarUrl } from '../users/avatar-url.ts'
import { userHead } from '../log/scope-heads.ts'

export interface NotificationRow extends Notification {
  userId: string
}

export interface NewNotification {
  userId: string
  kind: NotificationKind
  taskId: string | null
  projectId: string | null
  actorId: string | null
  data: Record<string, unknown>
  /** Equal for the same cause: a second one of a user is dropped. */
  dedupeKey: string
}

const columns = (sql: Queryable) => sql`
  n.user_id as "userId", n.id, n.kind, n.task_id as "taskId", n.project_id as "projectId",
  case when a.id is not null then json_build_object('id', a.id, 'name', a.name, 'avatarUrl', ${avatarUrl(sql, 'a')}) end as actor,
  n.data, n.read_at as "readAt", n.created_at as "createdAt"`

/** Share-locks the users and actors of the notifications until commit. @returns the ids of those who exist. */
export const lockConcernedUsers = async (
  tx: Tx,
  notifications: NewNotification[],
): Promise<ReadonlySet<string>> => {
  const ids = new Set(
    notifications.flatMap(({ userId, actorId }) => (actorId ? [userId, actorId] : [userId])),
  )
  const users = await tx<{ id: string }[]>`
    select id from users
    where id = any(${[...ids]}::uuid[])
    order by id
    for share`
  return new Set(users.map(({ id }) => id))
}

/**
 * Inserts and returns the new ones; drops repeats, and those of users who are not in `existing` (`lockConcernedUsers`). All have
 * one time, so that their ids, which ascend as they are given, order them: rows are inserted in another order, for locks.
 */
export const insertNotifications = async (
  tx: Tx,
  notifications: NewNotification[],
  existing: ReadonlySet<string>,
): Promise<NotificationRow[]> => {
  const rows = notifications
    .filter(({ userId }) => existing.has(userId))
    .map(({ actorId, ...rest }) => ({
      ...rest,
      id: newId(),
      actorId: actorId !== null && existing.has(actorId) ? actorId : null,
    }))
  if (rows.length === 0) return []
  return tx<NotificationRow[]>`
    with moment as materialized (select clock_timestamp() as now), n as (
      insert into notifications (
        id, user_id, kind, task_id, project_id, actor_id, data, dedupe_key, created_at)
      select id, "userId", kind, "taskId", "projectId", "actorId", data, "dedupeKey", now
      from moment cross join json_to_recordset(${JSON.stringify(rows)}::text::json) as (
        id uuid, "userId" uuid, kind text, "taskId" uuid, "projectId" uuid, "actorId" uuid, data jsonb, "dedupeKey" text)
      order by "userId", "dedupeKey"
      on conflict on constraint notifications_once do nothing
      returning *
    )
    select ${columns(tx)}
    from n
    left join users a on a.id = n.actor_id
    order by n.id`
}

/** Locks one of the user's notifications; null when the user has none with this id. */
export const lockNotification = async (
  tx: Tx,
  userId: string,
  id: string,
): Promise<NotificationRow | null> => {
  const [row] = await tx<NotificationRow[]>`
    select ${columns(tx)}
    from notifications n
    left join users a on a.id = n.actor_id
    where n.id = ${id} and n.user_id = ${userId}
    for update of n`
  return row ?? null
}

/** Marks the notification as read and returns `readAt`. It must be locked. */
export const updateRead = async (tx: Tx, id: string): Promise<string> => {
  const [row] = await tx<{ readAt: string }[]>`
    update notifications set read_at = clock_timestamp()
    where id = ${id}
    returning read_at as "readAt"`
  return row!.readAt
}

/** Waits for transactions that notify this user, and blocks new ones until this transaction ends. */
export const lockInbox = async (tx: Tx, userId: string): Promise<void> => {
  await tx`select from users where id = ${userId} for no key update`
}

/** Marks all unread ones as read. @returns `createdAt` of the newest of them, null for none. Lock the inbox first. */
export const updateAllRead = async (tx: Tx, userId: string): Promise<string | null> => {
  const [row] = await tx<{ upTo: string | null }[]>`
    with read as (
      update notifications set read_at = clock_timestamp()
      where user_id = ${userId} and read_at is null
      returning created_at
    )
    select max(created_at) as "upTo" from read`
  return row!.upTo
}

/** Null: no filter. */
const readFilter = (sql: Queryable, isUnread: boolean | null) =>
  isUnread === null ? sql`` : isUnread ? sql`and n.read_at is null` : sql`and n.read_at is not null`

/** Newest first: sorted by createdAt, id, descending. One past the limit. */
export const selectNotifications = async (
  sql: Queryable,
  userId: string,
  isUnread: boolean | null,
  slice: Slice,
): Promise<(NotificationRow & { userHead: string })[]> => {
  const [createdAt = null, id = null] = slice.after ?? []
  return sql`
    select ${columns(sql)}, ${userHead(sql, sql`n.actor_id`)}
    from notifications n
    left join users a on a.id = n.actor_id
    where n.user_id = ${userId} ${readFilter(sql, isUnread)}
      ${slice.after ? sql`and (n.created_at, n.id) < (${createdAt}, ${id})` : sql``}
    order by n.created_at desc, n.id desc
    limit ${slice.limit + 1} offset ${offsetOf(slice)}`
}

export const countNotifications = async (
  sql: Queryable,
  userId: string,
  isUnread: boolean | null,
): Promise<number> => {
  const [row] = await sql<{ count: number }[]>`
    select count(*) as count from notifications n where n.user_id = ${userId} ${readFilter(sql, isUnread)}`
  return row!.count
}
