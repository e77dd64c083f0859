// Notices that become mails, and the windows that collect them. Invariant: a notice joins a window under the lock of the
// window's row, and a window is closed under it before its notices are read; so each notice is in exactly one mail.
import type { NotificationKind } from '../../model/notification.ts'
import { newId } from '../../model/scalar.ts'
import type { Queryable, Tx } from '../client.ts'

export interface NewMailNotice {
  userId: string
  /** Null where the notice is not in the inbox. */
  notificationId: string | null
  kind: NotificationKind
  taskId: string | null
  projectId: string | null
  actorId: string | null
  data: Record<string, unknown>
  /** Null for now. */
  createdAt: string | null
}

/** Notifications as notices, those that are unread. */
export const selectUnreadAsNotices = (sql: Queryable, ids: string[]): Promise<NewMailNotice[]> =>
  // Behind `offset 0` the condition is out of the planner's sight: it preferred the index of unread notifications, and
  // read all of them for each batch.
  sql<NewMailNotice[]>`
    select user_id as "userId", id as "notificationId", kind, task_id as "taskId", project_id as "projectId",
      actor_id as "actorId", data, created_at as "createdAt"
    from (select * from notifications where id = any(${ids}::uuid[]) offset 0) n
    where read_at is null
    order by created_at, id`

/** Whether mails about a kind reach a user: `u` is the user, `p` the preferences of the user, where there are any. */
const wantsMail = (sql: Queryable, kind: ReturnType<Queryable>) => sql`
  u.email_verified_at is not null and u.disabled_at is null
  and not coalesce(p.silenced -> ${kind}, '[]') @> '["email"]'`

/** Of the pairs, the indexes of those whose user wants mails about the kind. Share-locks the users until commit. */
export const lockAndSelectMailReaders = async (
  tx: Tx,
  pairs: readonly { userId: string; kind: NotificationKind }[],
): Promise<Set<number>> => {
  await tx`
    select from users where id = any(${[...new Set(pairs.map(({ userId }) => userId))]}::uuid[])
    order by id
    for key share`
  const rows = await tx<{ n: number }[]>`
    select w.n
    from json_to_recordset(${JSON.stringify(pairs.map(({ userId, kind }, n) => ({ n, userId, kind })))}::text::json) as w (
      n integer, "userId" uuid, kind text)
    join users u on u.id = w."userId"
    left join notification_preferences p on p.user_id = u.id
    where ${wantsMail(tx, tx`w.kind`)}`
  return new Set(rows.map(({ n }) => n))
}

/**
 * The window of each user, opened where none is open. Locks it until commit. Lock the users first.
 * @returns the id of the window by user.
 */
export const openMailWindows = async (
  tx: Tx,
  userIds: readonly string[],
  windowMs: number,
): Promise<Map<string, string>> => {
  const rows = [...new Set(userIds)].map((userId) => ({ userId, id: newId() }))
  const open = tx`w.closes_at > clock_timestamp()`
  const windows = await tx<{ userId: string; id: string }[]>`
    insert into mail_windows as w (user_id, id, closes_at)
    select "userId", id, clock_timestamp() + make_interval(secs => ${windowMs / 1_000})
    from json_to_recordset(${JSON.stringify(rows)}::text::json) as n ("userId" uuid, id uuid)
    order by "userId"
    on conflict (user_id) do update set
      id = case when ${open} then w.id else excluded.id end,
      closes_at = case when ${open} then w.closes_at else excluded.closes_at end
    returning w.user_id as "userId", w.id`
  return new Map(windows.map(({ userId, id }) => [userId, id]))
}

export const insertMailNotices = async (
  tx: Tx,
  notices: readonly (NewMailNotice & { windowId: string })[],
): Promise<void> => {
  if (notices.length === 0) return
  const rows = notices.map((notice) => ({ id: newId(), ...notice }))
  await tx`
    insert into mail_notices (
      id, window_id, user_id, notification_id, kind, task_id, project_id, actor_id, data, created_at)
    select id, "windowId", "userId", "notificationId", kind, "taskId", "projectId", "actorId", data, coalesce("createdAt", clock_timestamp())
    from json_to_recordset(${JSON.stringify(rows)}::text::json) as (
      id uuid, "windowId" uuid, "userId" uuid, "notificationId" uuid, kind text, "taskId" uuid, "projectId" uuid,
      "actorId" uuid, data jsonb, "createdAt" timestamptz)`
}

/** Waits for transactions that are adding to the window; later notices open another one. */
export const closeMailWindow = async (tx: Tx, userId: string, windowId: string): Promise<void> => {
  await tx`
    update mail_windows set closes_at = least(closes_at, clock_timestamp())
    where user_id = ${userId} and id = ${windowId}`
}

export interface MailReader {
  email: string
  timeZone: string
}

/** Null where the user is gone, disabled, or has not verified the address. */
export const selectMailReader = async (sql: Queryable, userId: string): Promise<MailReader | null> => {
  const [row] = await sql<MailReader[]>`
    select email, time_zone as "timeZone" from users
    where id = ${userId} and email_verified_at is not null and disabled_at is null`
  return row ?? null
}

export interface MailNoticeRow {
  kind: NotificationKind
  actorName: string | null
  taskTitle: string | null
  projectName: string | null
  data: Record<string, unknown>
  /** The body of the comment that the notice is about; null for none. */
  comment: string | null
  createdAt: string
  /** Notices of the window that are sent, this one included. */
  total: number
}

/**
 * The notices of a closed window that are still to be sent, oldest first, at most `limit`: unread, of a kind the user
 * wants mails about, on what the user can read now, in projects that are not archived.
 */
export const selectMailNotices = (
  sql: Queryable,
  windowId: string,
  limit: number,
): Promise<MailNoticeRow[]> =>
  sql<MailNoticeRow[]>`
    select m.kind, a.name as "actorName", t.title as "taskTitle",
      case when me.user_id is not null then project.name end as "projectName",
      m.data, c.body as comment, m.created_at as "createdAt", count(*) over ()::int as total
    from mail_notices m
    join users u on u.id = m.user_id
    left join notification_preferences p on p.user_id = u.id
    left join notifications n on n.id = m.notification_id
    left join users a on a.id = m.actor_id
    left join tasks t on t.id = m.task_id
    join projects project on project.id = case when m.task_id is null then m.project_id else t.project_id end
    left join members me on me.project_id = project.id and me.user_id = u.id
    left join comments c on c.id = (m.data ->> 'commentId')::uuid and c.task_id = t.id
    where m.window_id = ${windowId}
      and (m.notification_id is null or (n.id is not null and n.read_at is null))
      and project.archived_at is null
      and (me.user_id is not null
        or exists (select from shares s where s.task_id = t.id and s.user_id = u.id))
      and ${wantsMail(sql, sql`m.kind`)}
    order by m.created_at, m.id
    limit ${limit}`

export const deleteMailNotices = async (tx: Tx, windowId: string): Promise<void> => {
  await tx`delete from mail_notices where window_id = ${windowId}`
}
