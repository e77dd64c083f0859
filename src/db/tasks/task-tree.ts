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
