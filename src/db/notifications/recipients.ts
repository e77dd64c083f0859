// Who may be told of a task or project at this moment. Read under share locks on projects and tasks, which every
// change of members, shares and archiving waits for: nobody is told after their access was taken away.
import { AppError } from '../../errors.ts'
import type { Tx } from '../client.ts'

/** Somebody who would be told of a task, or of a project where there is no task. */
export interface Candidate {
  userId: string
  taskId: string | null
  projectId: string | null
}

/** What a notification says of it; `title` is null where there is no task. */
export interface Notifiable {
  /** Index of the candidate. */
  n: number
  projectId: string
  projectName: string
  title: string | null
}

/** The task's people as they are now. */
export interface TaskPeople {
  creatorId: string | null
  assigneeId: string | null
}

/**
 * Share-locks the tasks and their projects, these projects, and those of these members: projects first, each by
 * ascending id.
 * @throws AppError `unavailable` if a task moved to another project in between, or a lock is not to be had: again.
 */
export const lockForReading = async (
  tx: Tx,
  { taskIds, projectIds, memberIds }: { taskIds: string[]; projectIds: string[]; memberIds: string[] },
): Promise<Map<string, TaskPeople>> => {
  const projects = await tx<{ id: string }[]>`
    select id from projects
    where id in (
      select unnest(${projectIds}::uuid[])
      union select project_id from tasks where id = any(${taskIds}::uuid[])
      union select project_id from members where user_id = any(${memberIds}::uuid[]))
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

/** The candidates who can read it as member or by share, in a project that is not archived. Lock it first. */
export const selectNotifiable = async (tx: Tx, candidates: Candidate[]): Promise<Notifiable[]> => {
  const rows = candidates.map((candidate, n) => ({ n, ...candidate }))
  return tx<Notifiable[]>`
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
