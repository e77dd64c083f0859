// Rows of PostgreSQL at the end, in the shapes of the clients.
import type { Database } from '../../src/db/client.ts'
import { taskColumns } from '../../src/db/tasks/task-columns.ts'
import type { Task } from '../../src/model/task.ts'
import type { NotificationRow } from './compare.ts'

/** Every task by id. */
export const selectStoryTasks = async (db: Database): Promise<Map<string, Task>> => {
  const rows = await db.read((sql) => sql<Task[]>`select ${taskColumns(sql)} from tasks t`)
  return new Map(rows.map((row) => [row.id, { ...row }]))
}

export const selectNotifications = (db: Database): Promise<NotificationRow[]> =>
  db.read(
    (sql) => sql<NotificationRow[]>`
      select id, user_id as "userId", kind, task_id as "taskId", project_id as "projectId", dedupe_key as "dedupeKey"
      from notifications`,
  )
