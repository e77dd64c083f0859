// Tasks that fell due and were not told of for that `due_rev`. Due is what PostgreSQL's clock says; the partial
// index tasks_overdue_idx holds exactly the candidates, and handling one takes it out of the index.
import type { Tx } from './client.ts'

export interface OverdueTask {
  id: string
  projectId: string
  title: string
  dueAt: string
  dueRev: number
  /** Between falling due and now. */
  lateMs: number
}

/**
 * Locks the next tasks to tell of, by due time from `from` on, and share-locks their projects. What somebody else
 * has locked is left for the next look instead of waited for: that also keeps project rows after task rows from
 * deadlocking. Tasks of archived projects are passed over and wait in the index until the project is revived.
 */
export const lockOverdueTasks = async (tx: Tx, from: string | null, limit: number): Promise<OverdueTask[]> =>
  tx<OverdueTask[]>`
    select t.id, t.project_id as "projectId", t.title, t.due_at as "dueAt", t.due_rev as "dueRev",
      (extract(epoch from now() - t.due_at) * 1000)::float8 as "lateMs"
    from tasks t
    join projects p on p.id = t.project_id
    where t.due_at <= now() and t.due_at >= ${from ?? '-infinity'}
      and t.status in ('todo', 'in_progress') and t.overdue_rev < t.due_rev and p.archived_at is null
    order by t.due_at
    limit ${limit}
    for no key update of t skip locked
    for share of p skip locked`

/**
 * Whom to tell of each task: the first of assignee, creator and owners (the earliest first) who can read it as
 * member or by share; a task nobody can read is absent. The tasks and projects must be locked.
 */
export const selectOverdueRecipients = async (tx: Tx, taskIds: string[]): Promise<Map<string, string>> => {
  const rows = await tx<{ taskId: string; userId: string }[]>`
    select t.id as "taskId", r.id as "userId"
    from tasks t
    cross join lateral (
      select u.id
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
    where t.id = any(${taskIds}::uuid[])`
  return new Map(rows.map(({ taskId, userId }) => [taskId, userId]))
}

/** Marks them as dealt with for their present `due_rev`. The tasks must be locked. */
export const updateOverdueRevs = async (tx: Tx, taskIds: string[]): Promise<void> => {
  await tx`
    update tasks set overdue_rev = due_rev
    where id = any(${taskIds}::uuid[])`
}
