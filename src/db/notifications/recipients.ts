// Who can read a task or project now, for notifications. Reads under share locks on projects and tasks; changes of
// members, shares and archiving wait for these locks, so that no notification follows the end of its reader's access.
import { AppError } from '../../errors.ts'
import { defaultDueSoonHours } from '../../model/notification.ts'
import type { Tx } from '../client.ts'

/** A user to notify of a task, or of a project where `taskId` is null. */
export interface Candidate {
  userId: string
  taskId: string | null
  projectId: string | null
}

/** A candidate who can read the subject, and what the notification shows of it; `title` is null without a task. */
export interface Reader {
  /** Index of the candidate. */
  n: number
  projectId: string
  projectName: string
  title: string | null
}

/** The users of a task as it is now. */
export interface TaskPeople {
  creatorId: string | null
  assigneeId: string | null
}

/**
 * Share-locks the tasks with their projects, and these projects: projects first, each by ascending id.
 * @returns the users of each task by its id; a deleted task is absent.
 * @throws AppError `unavailable` if a task moved to another project in between, or a lock cannot be had in time: the
 * transaction must run again.
 */
export const lockSubjects = async (
  tx: Tx,
  { taskIds, projectIds }: { taskIds: string[]; projectIds: string[] },
): Promise<Map<string, TaskPeople>> => {
  const projects = await tx<{ id: string }[]>`
    select id from projects
    where id in (
      select unnest(${projectIds}::uuid[])
      union select project_id from tasks where id = any(${taskIds}::uuid[]))
    order by id
    for share`
  const locked = new Set(projects.map(({ id }) => id))
  const tasks = await tx<(TaskPeople & { id: string; projectId: string })[]>`
    select id, project_id as "projectId", creator_id as "creatorId", assignee_id as "assigneeId" from tasks
    where id = any(${taskIds}::uuid[])
    order by id
    for share`
  if (tasks.some(({ projectId }) => !locked.has(projectId))) throw new AppError('unavailable')
  return new Map(tasks.map(({ id, ...people }) => [id, people]))
}

/** The candidates who can read the subject as member or by share, in projects that are not archived. Lock it first. */
export const selectReaders = async (tx: Tx, candidates: Candidate[]): Promise<Reader[]> => {
  const rows = candidates.map(({ userId, taskId, projectId }, n) => ({ n, userId, taskId, projectId }))
  return tx<Reader[]>`
    select c.n, p.id as "projectId", p.name as "projectName", t.title
    from json_to_recordset(${JSON.stringify(rows)}::text::json) as c (
      n integer, "userId" uuid, "taskId" uuid, "projectId" uuid)
    left join tasks t on t.id = c."taskId"
    join projects p on p.id = case when c."taskId" is null then c."projectId" else t.project_id end
    join users u on u.id = c."userId"
    where p.archived_at is null and u.disabled_at is null and (
      exists (select from members m where m.project_id = p.id and m.user_id = u.id)
      or exists (select from shares s where s.task_id = t.id and s.user_id = u.id))
    order by c.n`
}

/** The user to notify of a task's due time, and when it is soon for that user. */
export interface DueRecipient {
  userId: string
  dueSoonHours: number
  timeZone: string
}

/**
 * The recipient of each due task, by task id: the first of assignee, creator and owners (the earliest first) who can read
 * it as member or by share. A task without such a user is absent. The tasks and projects must be locked.
 */
export const selectDueRecipients = async (tx: Tx, taskIds: string[]): Promise<Map<string, DueRecipient>> => {
  if (taskIds.length === 0) return new Map()
  const rows = await tx<(DueRecipient & { taskId: string })[]>`
    select t.id as "taskId", r.id as "userId", r.time_zone as "timeZone",
      coalesce(w.due_soon_hours, ${defaultDueSoonHours}) as "dueSoonHours"
    from tasks t
    cross join lateral (
      select u.id, u.time_zone
      from (
        select t.assignee_id as user_id, 1 as place, null::timestamptz as since
        union all select t.creator_id, 2, null
        union all select m.user_id, 3, m.created_at from members m
          where m.project_id = t.project_id and m.role = 'owner'
      ) c
      join users u on u.id = c.user_id
      where u.disabled_at is null and (
        exists (select from members m where m.project_id = t.project_id and m.user_id = u.id)
        or exists (select from shares s where s.task_id = t.id and s.user_id = u.id))
      order by c.place, c.since, u.id
      limit 1
    ) r
    left join notification_preferences w on w.user_id = r.id
    where t.id = any(${taskIds}::uuid[])`
  return new Map(rows.map(({ taskId, ...recipient }) => [taskId, recipient]))
}
