// Rows of tasks, many at a time: one row is a list of one. A write takes `lockTasks` first and reads members, shares and
// project in a later statement (`selectLockedTasks`); read together with the lock they may be stale.
import type { MemberRole } from '../../model/project.ts'
import {
  insertedFields,
  updatedFields,
  type InsertedField,
  type UpdatedField,
} from '../../model/task-fields.ts'
import type { Task } from '../../model/task.ts'
import type { Queryable, Tx } from '../client.ts'
import {
  contentOfTask,
  contentOfUpdate,
  insertedColumns,
  insertedTypes,
  insertedValues,
  otherAssignments,
  searchedAssignments,
  taskColumns,
  toColumns,
  updatedTypes,
} from './task-columns.ts'
import { wordColumns } from './task-words.ts'

/** A task and one user's access to it. */
export interface TaskRow {
  task: Task
  /** The version at which a writable field last changed; If-Match is compared with it. */
  contentVersion: number
  /** When its project was archived. */
  archivedAt: string | null
  member: MemberRole | null
  share: 'view' | 'edit' | null
}

export interface LockedTaskRow extends TaskRow {
  /** The users the task is shared with, by id. */
  sharees: string[]
}

type Flat = Task & Omit<LockedTaskRow, 'task'>

const accessColumns = (sql: Queryable) => sql`
  t.content_version as "contentVersion", p.archived_at as "archivedAt", m.role as member, s.permission as share`

const accessJoins = (sql: Queryable, userId: string) => sql`
  join projects p on p.id = t.project_id
  left join members m on m.project_id = t.project_id and m.user_id = ${userId}
  left join shares s on s.task_id = t.id and s.user_id = ${userId}`

const toRow = ({ contentVersion, archivedAt, member, share, sharees, ...task }: Flat): LockedTaskRow => ({
  task,
  contentVersion,
  archivedAt,
  member,
  share,
  sharees,
})

/** The tasks that exist, in no order. The caller decides whether the user may read them. */
export const selectTasks = async (sql: Queryable, userId: string, ids: string[]): Promise<TaskRow[]> => {
  const rows = await sql<Flat[]>`
    select ${taskColumns(sql)}, ${accessColumns(sql)}
    from tasks t ${accessJoins(sql, userId)}
    where t.id = any(${ids}::uuid[])`
  return rows.map(toRow)
}

/** A task as one user sees it: what deciding on a read needs. */
export type ReadableTaskRow = Pick<TaskRow, 'task' | 'member' | 'share'>

/**
 * One task for each pair of user and id, in the order of the pairs; null where it does not exist. The caller decides
 * whether the user may read it. `offset 0` keeps each part a look-up by key: joined freely, a planner that expects many
 * pairs reads whole tables.
 */
export const selectTaskForEach = async (
  sql: Queryable,
  pairs: { userId: string; id: string }[],
): Promise<(ReadableTaskRow | null)[]> => {
  const rows = await sql<(Task & Pick<TaskRow, 'member' | 'share'> & { n: number })[]>`
    select ${taskColumns(sql)}, m.role as member, s.permission as share, wanted.n::int as n
    from unnest(string_to_array(${pairs.map(({ userId }) => userId).join()}, ',')::uuid[],
      string_to_array(${pairs.map(({ id }) => id).join()}, ',')::uuid[]) with ordinality as wanted (user_id, id, n)
    cross join lateral (select * from tasks where id = wanted.id offset 0) t
    left join lateral (
      select role from members where project_id = t.project_id and user_id = wanted.user_id offset 0) m on true
    left join lateral (
      select permission from shares where task_id = t.id and user_id = wanted.user_id offset 0) s on true`
  const found = Array.from(pairs, (): ReadableTaskRow | null => null)
  for (const { member, share, n, ...task } of rows) found[n - 1] = { task, member, share }
  return found
}

/** As `selectTasks`, for tasks that this transaction has locked, with the users who receive their entries by share. */
export const selectLockedTasks = async (tx: Tx, userId: string, ids: string[]): Promise<LockedTaskRow[]> => {
  const rows = await tx<Flat[]>`
    select ${taskColumns(tx)}, ${accessColumns(tx)},
      array(select user_id from shares where task_id = t.id order by user_id) as sharees
    from tasks t ${accessJoins(tx, userId)}
    where t.id = any(${ids}::uuid[])`
  return rows.map(toRow)
}

/** Locks the tasks that exist, by ascending id. New comments, shares and subtasks of them do not wait for this lock. */
export const lockTasks = async (tx: Tx, ids: string[]): Promise<void> => {
  await tx`
    select from tasks where id = any(${ids}::uuid[]) order by id for no key update`
}

/** Prevents that a project is archived, deleted or gets other members while a task is created in it. */
export const lockProjectForInsert = async (tx: Tx, projectId: string): Promise<void> => {
  await tx`
    select from projects where id = ${projectId} for key share`
}

export interface ProjectPlacement {
  projectId: string
  archivedAt: string | null
  member: MemberRole | null
  /** The rank of the project's last task. */
  lastRank: string | null
}

/** A user's role in a project, and the last rank of its tasks. @param projectId null for that user's Inbox. */
export const selectProjectPlacement = async (
  sql: Queryable,
  userId: string,
  projectId: string | null,
): Promise<ProjectPlacement | null> => {
  const [row] = await sql<ProjectPlacement[]>`
    select p.id as "projectId", p.archived_at as "archivedAt", m.role as member,
      (select t.rank from tasks t where t.project_id = p.id order by t.rank desc, t.id desc limit 1) as "lastRank"
    from projects p
    left join members m on m.project_id = p.id and m.user_id = ${userId}
    where ${projectId === null ? sql`p.inbox_of = ${userId}` : sql`p.id = ${projectId}`}`
  return row ?? null
}

/** Which of these users can read the task: members of its project, and users it is shared with. */
export const selectReaders = async (
  sql: Queryable,
  { projectId, taskId }: { projectId: string; taskId: string | null },
  userIds: string[],
): Promise<string[]> => {
  const rows = await sql<{ userId: string }[]>`
    select user_id as "userId" from members where project_id = ${projectId} and user_id = any(${userIds}::uuid[])
    union
    select user_id from shares where task_id = ${taskId} and user_id = any(${userIds}::uuid[])`
  return rows.map((row) => row.userId)
}

export type TaskInsert = Pick<Task, InsertedField>

/** Inserts the tasks whose id is free; the others are absent from the result. */
export const insertTasks = (tx: Tx, tasks: TaskInsert[]): Promise<Task[]> => {
  const rows = tasks.map((task) => ({ ...toColumns(insertedFields, task), ...wordColumns(task) }))
  return tx<Task[]>`
    insert into tasks as t (${insertedColumns(tx)}, title_key, words, words_version, completed_at)
    select ${insertedValues(tx)}, i.title_key, array_to_tsvector(i.words), 1, case when i.status = 'done' then now() end
    from json_to_recordset(${JSON.stringify(rows)}::text::json) as i (
      ${insertedTypes(tx)}, title_key text, words text[])
    on conflict on constraint tasks_pkey do nothing
    returning ${taskColumns(tx)}`
}

/**
 * Whether a task with this id was deleted. Call it after the insert, which waits for a concurrent deletion, in a
 * statement of its own.
 */
export const isTombstone = async (tx: Tx, id: string): Promise<boolean> => {
  const rows = await tx`select from task_tombstones where id = ${id}`
  return rows.length > 0
}

const recordFields = ['id', ...updatedFields] as const

/** All a write can change. `steps`: how much the version rises. */
export type TaskUpdate = Pick<Task, 'id' | UpdatedField> & { steps: number }

/**
 * Writes tasks that are locked. `completedAt` follows the status; `due_rev` rises with a new due time and when
 * the task is reopened; the content version follows the version where one of its fields changed.
 * @param options `hasText` false: no searched field and no project changes, so that these columns, `words` and their
 * indexes are not written.
 */
export const updateTasks = async (
  tx: Tx,
  updates: TaskUpdate[],
  { hasText = true } = {},
): Promise<Task[]> => {
  const text = hasText
    ? tx`${searchedAssignments(tx)}, title_key = i.title_key, words = array_to_tsvector(i.words),
      words_version = t.version + i.steps,`
    : tx``
  const rows = updates.map((task) => ({
    ...toColumns(recordFields, task),
    steps: task.steps,
    ...(hasText && wordColumns(task)),
  }))
  return tx<Task[]>`
    update tasks t set
      ${text} ${otherAssignments(tx)},
      completed_at = case when i.status = 'done' then coalesce(t.completed_at, statement_timestamp()) end,
      due_rev = t.due_rev + (
        t.due_at is distinct from i.due_at
        or t.status in ('done', 'cancelled') and i.status in ('todo', 'in_progress'))::int,
      version = t.version + i.steps,
      content_version = case
        when (${contentOfTask(tx)}) is distinct from (${contentOfUpdate(tx)})
        then t.version + i.steps else t.content_version end,
      updated_at = statement_timestamp()
    from json_to_recordset(${JSON.stringify(rows)}::text::json) as i (
      ${updatedTypes(tx)}, steps int, title_key text, words text[])
    where t.id = i.id
    returning ${taskColumns(tx)}`
}

/** Deletes locked tasks with the rows that reference them; a tombstone keeps each id taken. */
export const deleteTasks = async (tx: Tx, ids: string[]): Promise<void> => {
  await tx`
    with gone as (
      delete from tasks where id = any(${ids}::uuid[]) returning id
    )
    insert into task_tombstones (id)
    select id from gone
    on conflict do nothing`
}
