// Lists of tasks: every filter and order as SQL, paged by keyset or by number. Without a project in the filter the list
// is the tasks of the reader's projects that are not archived, each read along its index, and the reader's shares.
import type { Slice, SortKey } from '../../model/page.ts'
import { priorities, statuses, type Priority, type Status, type Task } from '../../model/task.ts'
import type { Queryable } from '../client.ts'
import { wordQuery } from './task-words.ts'
import { taskColumns } from './task-columns.ts'

/** All given conditions hold. Instants are canonical. */
export interface TaskFilter {
  /** Only this project, archived or not; the caller has checked that it may be read. */
  projectId?: string
  parentId?: string
  statuses?: Status[]
  priorities?: Priority[]
  /** null: unassigned tasks. */
  assigneeId?: string | null
  creatorId?: string
  /** All of them, compared by their folding. */
  tags?: string[]
  completed?: boolean
  overdue?: boolean
  /** Whether it is shared singly with the reader. */
  shared?: boolean
  /** All of them, folded, each as a prefix. */
  words?: string[]
  /** Set while some tasks have no words yet: the tsquery of configuration `simple` that searches those. */
  document?: string
  created?: Range
  updated?: Range
  due?: Range
}

/** `from` inclusive, `to` exclusive. */
export interface Range {
  from?: string | undefined
  to?: string | undefined
}

export const taskSorts = ['createdAt', 'updatedAt', 'dueAt', 'priority', 'title', 'status', 'rank'] as const
export type TaskSort = (typeof taskSorts)[number]

export interface TaskOrder {
  by: TaskSort
  descending: boolean
}

export type ListedTask = Task & { sortKey: string | number | null }

export const sortKeyOf = (task: ListedTask): SortKey => [task.sortKey, task.id]

type Fragment = ReturnType<typeof taskColumns>

/** Sort expressions, the same as in the indexes of sql/; `cast` is the type of a key from a cursor. */
const orders = (sql: Queryable): Record<TaskSort, { key: Fragment; cast: Fragment }> => ({
  createdAt: { key: sql`t.created_at`, cast: sql`::timestamptz` },
  updatedAt: { key: sql`t.updated_at`, cast: sql`::timestamptz` },
  dueAt: { key: sql`t.due_at`, cast: sql`::timestamptz` },
  priority: { key: sql`array_position(${words(sql, priorities)}, t.priority)`, cast: sql`::int` },
  title: { key: sql`(coalesce(t.title_key, lower(t.title)) collate "C")`, cast: sql`::text` },
  status: { key: sql`array_position(${words(sql, statuses)}, t.status)`, cast: sql`::int` },
  rank: { key: sql`t.rank`, cast: sql`::text` },
})

/** Literals, so that the planner sees the expression of the index. */
const words = (sql: Queryable, list: typeof priorities | typeof statuses): Fragment =>
  list === priorities
    ? sql`array['low', 'medium', 'high', 'urgent']`
    : sql`array['todo', 'in_progress', 'done', 'cancelled']`

/**
 * One more than `limit` if there are more; of numbered pages `limit`. Tasks without `dueAt` come last in both
 * directions. One statement with `nulls last` would not match the index when descending, so tasks with and without a
 * due time are two reads along the same index.
 */
export const selectTaskPage = async (
  sql: Queryable,
  userId: string,
  filter: TaskFilter,
  order: TaskOrder,
  { limit, after, page }: Slice,
): Promise<ListedTask[]> => {
  const whole =
    page === null ? { limit: limit + 1, offset: 0, after } : { limit, offset: (page - 1) * limit, after }
  const read = (part: Part) => run(filter, pageOf(sql, userId, filter, order, part))
  if (order.by !== 'dueAt') return read({ ...whole, due: null })
  if (after !== null && after[0] === null) return read({ ...whole, due: 'unset' })
  const withDue = await read({ ...whole, due: 'set' })
  const left = whole.limit - withDue.length
  if (left === 0) return withDue
  const isPast = withDue.length === 0 && whole.offset > 0
  const skipped = isPast ? await countTasks(sql, userId, filter, 'set') : whole.offset
  const offset = Math.max(0, whole.offset - skipped)
  return [...withDue, ...(await read({ limit: left, offset, after: null, due: 'unset' }))]
}

/** The number of tasks in the list. */
export const countTasks = async (
  sql: Queryable,
  userId: string,
  filter: TaskFilter,
  due: Part['due'] = null,
): Promise<number> => {
  const conditions = (project: Fragment | string) => conditionsOf(sql, userId, filter, due, project)
  const [row] = await run(
    filter,
    filter.projectId === undefined
      ? sql<{ count: number }[]>`
          select count(*) as count from (
            select from ${homes(sql, userId)} join tasks t on t.project_id = home.project_id where true ${conditions(sql`home.project_id`)}
            union all
            select from ${foreignShares(sql, userId)} ${conditions(sql`t.project_id`)}
          ) found`
      : sql<{ count: number }[]>`
          select count(*) as count from tasks t where t.project_id = ${filter.projectId} ${conditions(filter.projectId)}`,
  )
  return row!.count
}

interface Part {
  limit: number
  offset: number
  after: SortKey | null
  /** Only tasks with a due time, or without; null for both. */
  due: 'set' | 'unset' | null
}

const pageOf = (
  sql: Queryable,
  userId: string,
  filter: TaskFilter,
  { by, descending }: TaskOrder,
  { limit, offset, after, due }: Part,
) => {
  const { key, cast } = orders(sql)[by]
  const direction = descending ? sql`desc` : sql`asc`
  const ordered = sql`order by ${key} ${direction}, t.id ${direction}`
  const where = (project: Fragment | string) => sql`
    ${conditionsOf(sql, userId, filter, due, project)}
    ${after === null ? sql`` : afterKey(sql, { key, cast, descending, after })}`
  const columns = sql`${taskColumns(sql)}, ${key} as "sortKey"`
  if (filter.projectId !== undefined)
    return sql<ListedTask[]>`
      select ${columns} from tasks t
      where t.project_id = ${filter.projectId} ${where(filter.projectId)}
      ${ordered} limit ${limit} offset ${offset}`
  const inHome = where(sql`home.project_id`)
  const mine = isNarrow(filter)
    ? sql`select t.* from ${homes(sql, userId)} join tasks t on t.project_id = home.project_id where true ${inHome}`
    : sql`
          select t.* from ${homes(sql, userId)} cross join lateral (
            select t.* from tasks t where t.project_id = home.project_id ${inHome} ${ordered} limit ${offset + limit}
          ) t`
  return sql<ListedTask[]>`
    select ${columns}
    from (${mine} union all select t.* from ${foreignShares(sql, userId)} ${where(sql`t.project_id`)}) t
    ${ordered} limit ${limit} offset ${offset}`
}

const afterKey = (
  sql: Queryable,
  { key, cast, descending, after }: { key: Fragment; cast: Fragment; descending: boolean; after: SortKey },
): Fragment => {
  const [value, id] = [after[0] ?? null, String(after[1])]
  const beyond = descending ? sql`<` : sql`>`
  return value === null
    ? sql`and t.id ${beyond} ${id}::uuid`
    : sql`and (${key}, t.id) ${beyond} (${value}${cast}, ${id}::uuid)`
}

/** Whether a filter has an index of its own that selects few tasks of all projects. */
const isNarrow = ({ assigneeId, creatorId, parentId, shared }: TaskFilter): boolean =>
  typeof assigneeId === 'string' || creatorId !== undefined || parentId !== undefined || shared === true

/** The user's projects that are not archived, as `home (project_id)`. */
export const homes = (sql: Queryable, userId: string): Fragment => sql`
  (
    select m.project_id from members m
    join projects p on p.id = m.project_id and p.archived_at is null
    where m.user_id = ${userId}
  ) home`

/** Shared tasks of projects that are not archived and of which the reader is no member; more conditions can follow. */
export const foreignShares = (sql: Queryable, userId: string): Fragment => sql`
  shares own
  join tasks t on t.id = own.task_id
  join projects p on p.id = t.project_id and p.archived_at is null
  where own.user_id = ${userId}
    and not exists (select from members m where m.project_id = t.project_id and m.user_id = ${userId})`

/** @param project the id of the project the tasks are in, or SQL that is one. */
const conditionsOf = (
  sql: Queryable,
  userId: string,
  filter: TaskFilter,
  dueness: Part['due'],
  project: Fragment | string,
): Fragment => {
  const { created, updated, due } = filter
  const isOverdue = sql`(t.due_at < now() and t.status in ('todo', 'in_progress'))`
  const isShared = sql`exists (select from shares s where s.task_id = t.id and s.user_id = ${userId})`
  const given: (Fragment | false | undefined)[] = [
    dueness === 'set' && sql`and t.due_at is not null`,
    dueness === 'unset' && sql`and t.due_at is null`,
    filter.parentId !== undefined && sql`and t.parent_id = ${filter.parentId}`,
    filter.statuses && sql`and t.status = any(${filter.statuses}::text[])`,
    filter.priorities && sql`and t.priority = any(${filter.priorities}::text[])`,
    filter.assigneeId === null && sql`and t.assignee_id is null`,
    typeof filter.assigneeId === 'string' && sql`and t.assignee_id = ${filter.assigneeId}`,
    filter.creatorId !== undefined && sql`and t.creator_id = ${filter.creatorId}`,
    (filter.words ?? filter.tags) && textCondition(sql, filter, project),
    filter.completed === true && sql`and t.status = 'done'`,
    filter.completed === false && sql`and t.status <> 'done'`,
    filter.overdue === true && sql`and ${isOverdue}`,
    filter.overdue === false && sql`and ${isOverdue} is not true`,
    filter.shared === true && sql`and ${isShared}`,
    filter.shared === false && sql`and not ${isShared}`,
    created?.from !== undefined && sql`and t.created_at >= ${created.from}`,
    created?.to !== undefined && sql`and t.created_at < ${created.to}`,
    updated?.from !== undefined && sql`and t.updated_at >= ${updated.from}`,
    updated?.to !== undefined && sql`and t.updated_at < ${updated.to}`,
    due?.from !== undefined && sql`and t.due_at >= ${due.from}`,
    due?.to !== undefined && sql`and t.due_at < ${due.to}`,
  ]
  const conditions = given.filter((condition) => !!condition)
  return conditions.length > 0 ? sql`${conditions}` : sql``
}

/** Tasks without words were written by the previous version: they are searched the way it does. */
const textCondition = (sql: Queryable, filter: TaskFilter, project: Fragment | string): Fragment => {
  const { words, tags, document } = filter
  const indexed = sql`t.words @@ ${wordQuery(sql, filter, project)}`
  if (document === undefined) return sql`and ${indexed}`
  const before = [
    words ? sql`and t.document @@ to_tsquery('simple', ${document})` : sql``,
    tags ? sql`and t.tags @> ${tags}::text[]` : sql``,
  ]
  return sql`and (${indexed} or t.words is null ${before})`
}

/**
 * Statements with filters have thousands of texts and need a plan for their values: they are not prepared, so that
 * PostgreSQL plans each execution and keeps no plan. The few texts without filters stay prepared.
 */
const run = <Q extends Promise<unknown> & { readonly options?: object }>(filter: TaskFilter, query: Q): Q => {
  const isFiltered = Object.keys(filter).some((name) => name !== 'projectId')
  if (isFiltered && query.options) Object.assign(query.options, { prepare: false })
  return query
}
