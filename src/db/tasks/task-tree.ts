// Subtasks and their parents. Invariant: a tree changes only under the lock of its project (`lockTrees`), which every
// write that sets a parent, moves or deletes a task takes before the lock of any task.
import type { Tx } from '../client.ts'

/** Locks projects by ascending id. Creations of root tasks and changes of other fields do not wait for this lock. */
export const lockTrees = async (tx: Tx, projectIds: string[]): Promise<void> => {
  await tx`
    select from projects where id = any(${projectIds}::uuid[]) order by id for no key update`
}

/** The ids of the tasks and of all their subtasks, parents before subtasks. The trees must be locked. */
export const selectSubtree = async (tx: Tx, ids: string[]): Promise<string[]> => {
  const rows = await tx<{ id: string }[]>`
    with recursive below as (
      select id, 1 as depth from tasks where id = any(${ids}::uuid[])
      union all
      select t.id, below.depth + 1 from below join tasks t on t.parent_id = below.id
    )
    select id from below group by id order by max(depth), id`
  return rows.map((row) => row.id)
}

export interface Placement {
  /** Level of the parent, a root being 1; null where the project has no such task. */
  parentDepth: number | null
  /** Levels of the task with its subtasks; 1 for a task without subtasks and for a new one. */
  height: number
  /** Whether the parent is the task itself or one of its subtasks. */
  isCycle: boolean
}

/** The facts that decide whether the task can be put under the parent. The trees must be locked. */
export const selectPlacement = async (
  tx: Tx,
  { projectId, taskId, parentId }: { projectId: string; taskId: string | null; parentId: string },
): Promise<Placement> => {
  const [row] = await tx<Placement[]>`
    with recursive above as (
      select id, parent_id, 1 as depth from tasks where id = ${parentId} and project_id = ${projectId}
      union all
      select t.id, t.parent_id, above.depth + 1 from above join tasks t on t.id = above.parent_id
    ), below as (
      select id, 1 as height from tasks where id = ${taskId}
      union all
      select t.id, below.height + 1 from below join tasks t on t.parent_id = below.id
    )
    select (select max(depth) from above) as "parentDepth",
      coalesce((select max(height) from below), 1) as height,
      exists (select from above where id = ${taskId}) as "isCycle"`
  return row!
}
