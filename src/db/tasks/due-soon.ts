// Tasks that are due within a week, and the reminders of those that are not due soon enough for their recipient. The
// partial index tasks_due_soon_idx holds the tasks that were not looked at for their `due_rev`; `updateDueSoonRevs` takes
// them out of it. PostgreSQL's clock decides.
import type { Tx } from '../client.ts'
import type { DueCandidate, DueSlice } from './overdue.ts'

/** The longest lead time of a user (168 h), and what a change of the clocks can add to it. */
const windowHours = 170

/** Tasks that come due, by due time. Leaves out archived projects, whose tasks wait in the index. */
export const selectComingDue = async (tx: Tx, { from, except, limit }: DueSlice): Promise<DueCandidate[]> =>
  // A scalar subquery in place of a join leaves the planner only the index; see `selectOverdue`.
  tx<DueCandidate[]>`
    select t.id, t.project_id as "projectId", t.due_at as at
    from tasks t
    where t.due_at > now() and t.due_at <= now() + make_interval(hours => ${windowHours})
      and t.due_at >= ${from ?? '-infinity'}
      and t.status in ('todo', 'in_progress') and t.due_soon_rev < t.due_rev
      and t.project_id <> all(${except}::uuid[])
      and (select p.archived_at is null from projects p where p.id = t.project_id)
    order by t.due_at
    limit ${limit}`

/** Tasks whose reminder is due, by its time. Leaves out archived projects. */
export const selectReminded = async (
  tx: Tx,
  { from, except, limit }: DueSlice,
): Promise<DueCandidate[]> => tx<DueCandidate[]>`
    select t.id, t.project_id as "projectId", r.check_at as at
    from due_soon_reminders r
    cross join lateral (select id, project_id from tasks where id = r.task_id offset 0) t
    where r.check_at <= now() and r.check_at >= ${from ?? '-infinity'}
      and t.project_id <> all(${except}::uuid[])
      and (select p.archived_at is null from projects p where p.id = t.project_id)
    order by r.check_at
    limit ${limit}`

/** A locked task, as a look at its due time needs it. */
export interface ComingTask {
  id: string
  projectId: string
  title: string
  dueAt: string | null
  dueRev: number
  updatedAt: string
  /** The database's clock. */
  now: string
  /** Open, and due in the future within the window. */
  isComing: boolean
  /** Open, and overdue. */
  isPast: boolean
}

/**
 * Locks those of the tasks that are still to be decided, whatever their project: not looked at for their `due_rev`, or with
 * a reminder. Leaves out what another transaction locks.
 */
export const lockDueSoon = async (tx: Tx, ids: string[]): Promise<ComingTask[]> =>
  // Only the ids find the rows; see `lockOverdue`.
  tx<ComingTask[]>`
    with t as materialized (
      select id, project_id, title, due_at, due_rev, status, updated_at, due_soon_rev from tasks
      where id = any(${ids}::uuid[])
      order by id
      for no key update skip locked
    )
    select t.id, t.project_id as "projectId", t.title, t.due_at as "dueAt", t.due_rev as "dueRev",
      t.updated_at as "updatedAt", now()::timestamptz(3) as now,
      coalesce(t.status in ('todo', 'in_progress') and t.due_at > now()
        and t.due_at <= now() + make_interval(hours => ${windowHours}), false) as "isComing",
      coalesce(t.status in ('todo', 'in_progress') and t.due_at <= now(), false) as "isPast"
    from t
    where t.due_soon_rev < t.due_rev or exists (select from due_soon_reminders r where r.task_id = t.id)
    order by t.id`

/** Marks the tasks as looked at for their current `due_rev`. The tasks must be locked. */
export const updateDueSoonRevs = async (tx: Tx, taskIds: string[]): Promise<void> => {
  if (taskIds.length === 0) return
  await tx`
    update tasks set due_soon_rev = due_rev
    where id = any(${taskIds}::uuid[]) and due_soon_rev <> due_rev`
}

export interface Reminder {
  taskId: string
  recipientId: string
  checkAt: string
}

/** Reminders of locked tasks, in one order: a user who changes a preference locks several. */
export const upsertReminders = async (tx: Tx, reminders: Reminder[]): Promise<void> => {
  if (reminders.length === 0) return
  await tx`
    insert into due_soon_reminders (task_id, recipient_id, check_at)
    select "taskId", "recipientId", "checkAt"
    from json_to_recordset(${JSON.stringify(reminders)}::text::json) as i (
      "taskId" uuid, "recipientId" uuid, "checkAt" timestamptz(3))
    order by "taskId"
    on conflict on constraint due_soon_reminders_pkey do update set
      recipient_id = excluded.recipient_id, check_at = excluded.check_at`
}

/** Of locked tasks. */
export const deleteReminders = async (tx: Tx, taskIds: string[]): Promise<void> => {
  if (taskIds.length === 0) return
  await tx`
    with locked as (
      select task_id from due_soon_reminders where task_id = any(${taskIds}::uuid[])
      order by task_id
      for update
    )
    delete from due_soon_reminders where task_id = any(array(select task_id from locked))`
}

/** The user's reminders are looked at again at once. */
export const wakeReminders = async (tx: Tx, userId: string): Promise<void> => {
  await tx`
    with locked as (
      select task_id from due_soon_reminders where recipient_id = ${userId}
      order by task_id
      for update
    )
    update due_soon_reminders set check_at = now()
    where task_id = any(array(select task_id from locked))`
}
