// The tasks a snapshot is made of.
import type { Task } from '../model/task.ts'
import type { Tx } from './client.ts'
import { taskColumns } from './tasks.ts'

/** The last task of a page: tasks come by creation, then id, along an index. */
export interface TaskPlace {
  createdAt: string
  id: string
}

/** Tasks of a project after a place, at most `limit`. */
export const selectTasksAfter = (
  tx: Tx,
  projectId: string,
  after: TaskPlace | null,
  limit: number,
): Promise<Task[]> => tx<Task[]>`
  select ${taskColumns(tx)}
  from tasks t
  where t.project_id = ${projectId} ${after === null ? tx`` : tx`and (t.created_at, t.id) > (${after.createdAt}, ${after.id})`}
  order by t.created_at, t.id
  limit ${limit}`

/** Tasks shared singly with a person, by id, at most `limit`. */
export const selectSharedTasks = (tx: Tx, userId: string, limit: number): Promise<Task[]> => tx<Task[]>`
  select ${taskColumns(tx)}
  from shares s
  join tasks t on t.id = s.task_id
  where s.user_id = ${userId}
  order by t.id
  limit ${limit}`
