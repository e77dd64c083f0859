// Tasks that fell due and were not told of for that `due_rev`. Due is what PostgreSQL's clock says; the partial
// index tasks_overdue_idx holds exactly the candidates, and handling one takes it out of the index.
import type { Tx } from '../client.ts'

export interface Candidate {
  id: string
  projectId: string
  dueAt: string
}

export interface OverdueTask extends Candidate {
  title: string
  dueRev: number
  /** Between falling due and now. */
  lateMs: number
}

/**
 * What is due, by due time from `from` on, but for archived projects, whose tasks wait in the index until they are
 * revived, and for the projects in `except`. Looks without locking.
 */
export const selectOverdue = async (
  tx: Tx,
  { from, except, limit }: { from: string | null; except: string[]; limit: number },
): Promise<Candidate[]> =>
  // A join here was seen to read, hash and sort every candidate for each batch (100,000 at once: 60 s, not 10):
  // the planner cannot know how many there are. A scalar subquery leaves it only the index, in its order.
  tx<Candidate[]>`
    select t.id, t.project_id as "projectId", t.due_at as "dueAt"
    from tasks t
    where t.due_at <= now() and t.due_at >= ${from ?? '-infinity'}
      and t.status in ('todo', 'in_progress') and t.overdue_rev < t.due_rev
      and t.project_id <> all(${except}::uuid[])
      and (select p.archived_at is null from projects p where p.id = t.project_id)
    order by t.due_at
    limit ${limit}`

/** Share-locks the projects that are not archived; answers them. One that somebody is changing is left out. */
export const lockLiveProjects = async (tx: Tx, ids: string[]): Promise<string[]> => {
  const rows = await tx<{ id: string }[]>`
    select id from projects
    where id = any(${ids}::uuid[]) and archived_at is null
    order by id
    for share skip locked`
  return rows.map(({ id }) => id)
}

/** Locks those that are still due, in projects that are locked. One that somebody is changing is left out. */
export const lockOverdue = async (tx: Tx, ids: string[], projectIds: string[]): Promise<OverdueTask[]> =>
  tx<OverdueTask[]>`
    select t.id, t.project_id as "projectId", t.title, t.due_at as "dueAt", t.due_rev as "dueRev",
      (extract(epoch from now() - t.due_at) * 1000)::float8 as "lateMs"
    from tasks t
    where t.id = any(${ids}::uuid[]) and t.project_id = any(${projectIds}::uuid[])
      and t.due_at <= now() and t.status in ('todo', 'in_progress') and t.overdue_rev < t.due_rev
    order by t.id
    for no key update skip locked`

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
