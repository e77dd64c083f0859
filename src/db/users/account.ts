// What hangs on one person's account elsewhere, for when the account goes.
import type { Task } from '../../model/task.ts'
import type { Queryable, Tx } from '../client.ts'
import { taskColumns } from '../tasks/task-columns.ts'

/** Projects the person is a member of, by id. */
export const selectProjectIdsOf = async (sql: Queryable, userId: string): Promise<string[]> => {
  const rows = await sql<{ id: string }[]>`
    select project_id as id from members where user_id = ${userId} order by project_id`
  return rows.map((row) => row.id)
}

/** Tasks outside these projects that name the person: as creator, assignee, sharee or author of a comment; by id. */
export const selectTaskIdsNaming = async (
  sql: Queryable,
  userId: string,
  exceptProjectIds: string[],
): Promise<string[]> => {
  const rows = await sql<{ id: string }[]>`
    select id from tasks
    where id in (
      select id from tasks where creator_id = ${userId}
      union
      select id from tasks where assignee_id = ${userId}
      union
      select task_id from shares where user_id = ${userId}
      union
      select task_id from comments where author_id = ${userId}
    ) and project_id <> all(${exceptProjectIds}::uuid[])
    order by id`
  return rows.map((row) => row.id)
}

/** Takes the person out of tasks that are locked and name it as creator or assignee; answers these as they then are. */
export const releaseTasks = (tx: Tx, userId: string, ids: string[]): Promise<Task[]> => tx<Task[]>`
  update tasks t set
    creator_id = nullif(t.creator_id, ${userId}),
    assignee_id = nullif(t.assignee_id, ${userId}),
    version = t.version + 1,
    content_version = case when t.assignee_id = ${userId} then t.version + 1 else t.content_version end,
    updated_at = now()
  where t.id = any(${ids}::uuid[]) and ${userId} in (t.creator_id, t.assignee_id)
  returning ${taskColumns(tx)}`
