// Rows of tasks, many at a time: one row is a list of one. A write takes `lockTasks` first and reads members, shares and
// project in a later statement (`selectLockedTasks`); read together with the lock they may be stale.
import type { MemberRole } from '../../model/project.ts'
import { insertedFields, updatedFields } from '../../model/task-fields.ts'
import type { Task } from '../../model/task.ts'
import type { Queryable, Tx } from '../client.ts'
import {
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

/** A task with what its row keeps beside the fields that are shown. */
export interface StoredTask {
  task: Task
  contentVersion: number
  /** Rises with a new due time and when the task is reopened: each value can be notified as overdue once. */
  dueRev: number
}

export interface LockedTaskRow extends TaskRow, StoredTask {
  /** The users the task is shared with, by id. */
  sharees: string[]
  /** When the row was read, by the database's clock: what the write that follows sets `updatedAt` to. */
  readAt: string
}

type Flat = Task & Omit<LockedTaskRow, 'task'>

const accessColumns = (sql: Queryable) => sql`
  t.content_version as "contentVersion", p.archived_at as "archivedAt", m.role as member, s.permission as share`

const accessJoins = (sql: Queryable, userId: string) => sql`
  join projects p on p.id = t.project_id
  left join members m on m.project_id = t.project_id and m.user_id = ${userId}
  left join shares s on s.task_id = t.id and s.user_id = ${userId}`

const toRow = (flat: Flat): LockedTaskRow => {
  const { contentVersion, dueRev, archivedAt, member, share, sharees, readAt, ...task } = flat
  return { task, contentVersion, dueRev, archivedAt, member, share, sharees, readAt }
}

/** The tasks that exist, in no order. The caller decides whether the user may read them. */
export const selectTasks = async (sql: Queryable, userId: string, ids: string[]): Promise<TaskRow[]> => {
  const rows = await sql<Flat[]>`
    select ${taskColumns(sql)}, ${accessColumns(sql)}
    from tasks t ${accessJoins(sql, userId)}
    where t.id = any(${ids}::uuid[])`
  return rows.map(toRow)
}

/** As `selectTasks`, for tasks that this transaction has locked, with the users who receive their entries by share. */
export const selectLockedTasks = async (tx: Tx, userId: string, ids: string[]): Promise<LockedTaskRow[]> => {
  const rows = await tx<Flat[]>`
    select ${taskColumns(tx)}, ${accessColumns(tx)},
      array(select user_id from shares where task_id = t.id order by user_id) as sharees,
      t.due_rev as "dueRev", statement_timestamp()::timestamptz(3) as "readAt"
    from tasks t ${accessJoins(tx, userId)}
    where t.id = any(${ids}::uuid[])`
  return rows.map(toRow)
}

/** Locks the tasks that exist, by ascending id. New subtasks of them do not wait for this lock. */
export const lockTasks = async (tx: Tx, ids: string[]): Promise<void> => {
  await tx`
    select from tasks where id = any(${ids}::uuid[]) order by id for no key update`
}

/** Prevents that a project is archived, deleted or gets other members while a task is created in it. */
export const lockProjectForInsert = async (tx: Tx, projectId: string): Promise<void> => {
  await tx`
    select from projects where id = ${projectId} for key share`
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

const serverValues = ({ task, contentVersion, dueRev }: StoredTask) => ({
  version: task.version,
  content_version: contentVersion,
  due_rev: dueRev,
  completed_at: task.completedAt,
  updated_at: task.updatedAt,
})

/** Inserts tasks as they are given; the caller has computed every value. Fails where an id is taken. */
export const insertTasks = async (tx: Tx, tasks: StoredTask[]): Promise<void> => {
  const rows = tasks.map((stored) => ({
    ...toColumns(insertedFields, stored.task),
    ...serverValues(stored),
    created_at: stored.task.createdAt,
    ...wordColumns(stored.task),
  }))
  await tx`
    insert into tasks (${insertedColumns(tx)}, version, content_version, due_rev, completed_at, updated_at, created_at,
      title_key, words, words_version)
    select ${insertedValues(tx)}, i.version, i.content_version, i.due_rev, i.completed_at, i.updated_at, i.created_at,
      i.title_key, array_to_tsvector(i.words), i.version
    from json_to_recordset(${JSON.stringify(rows)}::text::json) as i (
      ${insertedTypes(tx)}, version bigint, content_version bigint, due_rev integer, completed_at timestamptz(3),
      updated_at timestamptz(3), created_at timestamptz(3), title_key text, words text[])`
}

/**
 * Which of these ids belong to a task or belonged to one that was deleted. A creation with an id of the client calls it
 * before and, in a statement of its own, after the insert, which waits for a concurrent deletion.
 */
export const selectTakenIds = async (sql: Queryable, ids: string[]): Promise<string[]> => {
  const rows = await sql<{ id: string }[]>`
    select id from tasks where id = any(${ids}::uuid[])
    union all
    select id from task_tombstones where id = any(${ids}::uuid[])`
  return rows.map(({ id }) => id)
}

/** Which of these ids are of deleted tasks. */
export const selectTombstones = async (sql: Queryable, ids: string[]): Promise<string[]> => {
  const rows = await sql<{ id: string }[]>`
    select id from task_tombstones where id = any(${ids}::uuid[])`
  return rows.map(({ id }) => id)
}

const recordFields = ['id', ...updatedFields] as const

/**
 * Writes locked tasks as they are given; the caller has computed every value.
 * @param hasText false where no searched field and no project changed, so that these columns, `words` and their generated
 *   column are not computed again.
 */
export const updateTasks = async (tx: Tx, tasks: StoredTask[], hasText: boolean): Promise<void> => {
  if (tasks.length === 0) return
  const text = hasText
    ? tx`${searchedAssignments(tx)}, title_key = i.title_key, words = array_to_tsvector(i.words),
      words_version = i.version,`
    : tx``
  const rows = tasks.map((stored) => ({
    ...toColumns(recordFields, stored.task),
    ...serverValues(stored),
    ...(hasText && wordColumns(stored.task)),
  }))
  await tx`
    update tasks t set
      ${text} ${otherAssignments(tx)}, version = i.version, content_version = i.content_version, due_rev = i.due_rev,
      completed_at = i.completed_at, updated_at = i.updated_at
    from json_to_recordset(${JSON.stringify(rows)}::text::json) as i (
      ${updatedTypes(tx)}, version bigint, content_version bigint, due_rev integer, completed_at timestamptz(3),
      updated_at timestamptz(3), title_key text, words text[])
    where t.id = i.id`
}

/** Deletes locked tasks with the rows that reference them; a tombstone keeps each id taken. */
export const deleteTasks = async (tx: Tx, ids: string[]): Promise<void> => {
  await tx`
    with gone as (
      delete from tasks where id = any(${ids}::uuid[])
    )
    insert into task_tombstones (id)
    select unnest(${ids}::uuid[])
    on conflict do nothing`
}
