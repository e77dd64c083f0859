// Shares of single tasks, and a user's access to a task as member or by share.
import type { MemberRole } from '../../model/project.ts'
import { offsetOf, type Slice } from '../../model/page.ts'
import type { Share } from '../../model/task.ts'
import type { Queryable, Tx } from '../client.ts'
import { avatarUrl } from '../users/avatar-url.ts'
import { userHead } from '../log/scope-heads.ts'

export interface TaskAccessRow {
  taskId: string
  projectId: string
  archivedAt: string | null
  member: MemberRole | null
  share: 'view' | 'edit' | null
}

/** A user's access to a task; null where the task does not exist. Before a write: lock the task first. */
export const selectTaskAccess = async (
  sql: Queryable,
  userId: string,
  taskId: string,
): Promise<TaskAccessRow | null> => {
  const [row] = await sql<TaskAccessRow[]>`
    select t.id as "taskId", t.project_id as "projectId", p.archived_at as "archivedAt",
      m.role as member, s.permission as share
    from tasks t
    join projects p on p.id = t.project_id
    left join members m on m.project_id = t.project_id and m.user_id = ${userId}
    left join shares s on s.task_id = t.id and s.user_id = ${userId}
    where t.id = ${taskId}`
  return row ?? null
}

const columns = (sql: Queryable) => sql`
  s.task_id as "taskId", s.user_id as "userId", u.name, ${avatarUrl(sql, 'u')} as "avatarUrl", s.permission, s.created_at as "createdAt"`

/** 409 `already_shared`, 422 `user_not_found`. The task must be locked. */
export const insertShare = async (
  tx: Tx,
  share: { taskId: string; userId: string; permission: 'view' | 'edit' },
): Promise<Share> => {
  const [row] = await tx<Share[]>`
    with s as (
      insert into shares (task_id, user_id, permission)
      values (${share.taskId}, ${share.userId}, ${share.permission})
      returning task_id, user_id, permission, created_at
    )
    select ${columns(tx)} from s join users u on u.id = s.user_id`
  return row!
}

/** Null where the task is not shared with that user. */
export const selectShare = async (sql: Queryable, taskId: string, userId: string): Promise<Share | null> => {
  const [row] = await sql<Share[]>`
    select ${columns(sql)}
    from shares s
    join users u on u.id = s.user_id
    where s.task_id = ${taskId} and s.user_id = ${userId}`
  return row ?? null
}

/** Sorted by createdAt, userId. One more than the limit where there are more. */
export const selectShares = async (
  sql: Queryable,
  taskId: string,
  slice: Slice,
): Promise<(Share & { userHead: string })[]> => {
  const [createdAt = null, userId = null] = slice.after ?? []
  return sql`
    select ${columns(sql)}, ${userHead(sql, sql`s.user_id`)}
    from shares s
    join users u on u.id = s.user_id
    where s.task_id = ${taskId}
      ${slice.after ? sql`and (s.created_at, s.user_id) > (${createdAt}, ${userId})` : sql``}
    order by s.created_at, s.user_id
    limit ${slice.limit + 1} offset ${offsetOf(slice)}`
}

export const countShares = async (sql: Queryable, taskId: string): Promise<number> => {
  const [row] = await sql<{ count: number }[]>`
    select count(*) as count from shares where task_id = ${taskId}`
  return row!.count
}

/** The task must be locked. */
export const updateSharePermission = async (
  tx: Tx,
  share: { taskId: string; userId: string; permission: 'view' | 'edit' },
): Promise<void> => {
  await tx`
    update shares set permission = ${share.permission}
    where task_id = ${share.taskId} and user_id = ${share.userId}`
}

/** The task must be locked. */
export const deleteShare = async (tx: Tx, taskId: string, userId: string): Promise<void> => {
  await tx`delete from shares where task_id = ${taskId} and user_id = ${userId}`
}

/** Locks the tasks of a locked project that are shared with one user, by ascending id, and returns their ids. */
export const lockTasksSharedWith = async (tx: Tx, projectId: string, userId: string): Promise<string[]> => {
  const rows = await tx<{ id: string }[]>`
    select t.id
    from shares s
    join tasks t on t.id = s.task_id
    where s.user_id = ${userId} and t.project_id = ${projectId}
    order by t.id
    for no key update of t`
  return rows.map((row) => row.id)
}

/** Deletes the shares of these tasks with these users and returns them. The tasks must be locked. */
export const deleteSharesWith = (
  tx: Tx,
  taskIds: string[],
  userIds: string[],
): Promise<Pick<Share, 'taskId' | 'userId' | 'permission'>[]> => tx`
  delete from shares
  where task_id = any(${taskIds}::uuid[]) and user_id = any(${userIds}::uuid[])
  returning task_id as "taskId", user_id as "userId", permission`

/** Locks every task of a locked project by ascending id: its shares cannot change until the transaction ends. */
export const lockProjectTasks = async (tx: Tx, projectId: string): Promise<void> => {
  await tx`
    select count(*) from (
      select id from tasks where project_id = ${projectId} order by id for update
    ) locked`
}

/** Every share of a project's tasks, sorted by user. The tasks must be locked. */
export const selectSharesOfProject = async (
  tx: Tx,
  projectId: string,
): Promise<Pick<Share, 'taskId' | 'userId' | 'permission'>[]> => tx`
  select s.task_id as "taskId", s.user_id as "userId", s.permission
  from tasks t
  join shares s on s.task_id = t.id
  where t.project_id = ${projectId}
  order by s.user_id, s.task_id`
