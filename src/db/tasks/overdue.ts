// Tasks that are overdue and not yet notified for their `due_rev`. PostgreSQL's clock decides what is due; the partial
// index tasks_overdue_idx holds exactly the candidates, and `updateOverdueRevs` removes them from it.
import type { Tx } from '../client.ts'

/** A task that may have to be notified of its due time. */
export interface DueCandidate {
  id: string
  projectId: string
  /** The time by which candidates are ordered. */
  at: string
}

/** The next candidates, from `from` on; leaves out the projects in `except`. */
export interface DueSlice {
  from: string | null
  except: string[]
  limit: number
}

export interface OverdueTask {
  id: string
  projectId: string
  dueAt: string
  title: string
  dueRev: number
  /** Between `dueAt` and now. */
  lateMs: number
}

/**
 * Overdue tasks by due time, from `from` on, without locks. Leaves out the projects in `except` and archived projects:
 * their tasks stay in the index until the project is unarchived.
 */
export const selectOverdue = async (tx: Tx, { from, except, limit }: DueSlice): Promise<DueCandidate[]> =>
  // With a join the planner, which cannot know the number of candidates, read, hashed and sorted all of them for each
  // batch (100,000 at once: 60 s instead of 10). A scalar subquery leaves it only the index, in its order.
  tx<DueCandidate[]>`
    select t.id, t.project_id as "projectId", t.due_at as at
    from tasks t
    where t.due_at <= now() and t.due_at >= ${from ?? '-infinity'}
      and t.status in ('todo', 'in_progress') and t.overdue_rev < t.due_rev
      and t.project_id <> all(${except}::uuid[])
      and (select p.archived_at is null from projects p where p.id = t.project_id)
    order by t.due_at
    limit ${limit}`

/** Share-locks those projects that are not archived and returns their ids. Leaves out what another transaction locks. */
export const lockLiveProjects = async (tx: Tx, ids: string[]): Promise<string[]> => {
  const rows = await tx<{ id: string }[]>`
    select id from projects
    where id = any(${ids}::uuid[]) and archived_at is null
    order by id
    for share skip locked`
  return rows.map(({ id }) => id)
}

/**
 * Locks those of the tasks that are still overdue, whatever their project: lock the projects first, and leave out the tasks
 * of others. Leaves out what another transaction locks.
 */
export const lockOverdue = async (tx: Tx, ids: string[]): Promise<OverdueTask[]> =>
  // Only the ids find the rows. With the other conditions beside them the planner read every open task of the projects
  // from tasks_project_open_due_idx, for each batch of 200 all 100,000 that were due.
  tx<OverdueTask[]>`
    with t as materialized (
      select id, project_id, title, due_at, due_rev, status, overdue_rev from tasks
      where id = any(${ids}::uuid[])
      order by id
      for no key update skip locked
    )
    select t.id, t.project_id as "projectId", t.title, t.due_at as "dueAt", t.due_rev as "dueRev",
      (extract(epoch from now() - t.due_at) * 1000)::float8 as "lateMs"
    from t
    where t.due_at <= now() and t.status in ('todo', 'in_progress') and t.overdue_rev < t.due_rev
    order by t.id`

/** Marks the tasks as notified for their current `due_rev`. The tasks must be locked. */
export const updateOverdueRevs = async (tx: Tx, taskIds: string[]): Promise<void> => {
  await tx`
    update tasks set overdue_rev = due_rev
    where id = any(${taskIds}::uuid[])`
}
