// Tasks shared with single people, and what a person may do with a task as member or by share.
import type { MemberRole } from '../model/project.ts'
import type { Queryable } from './client.ts'

export interface TaskAccessRow {
  taskId: string
  projectId: string
  archivedAt: string | null
  member: MemberRole | null
  share: 'view' | 'edit' | null
}

/** What a person is to a task; null when there is no such task. Before a write: lock the task first. */
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
