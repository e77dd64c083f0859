// Lists of tasks: every filter and order as SQL, paged by keyset or by number. Without a project in the filter the list
// is the tasks of the reader's projects that are not archived, each read along its index, and the reader's shares.
import { offsetOf, type Slice, type SortKey } from '../../model/page.ts'
import type { Priority, Status, Task } from '../../model/task.ts'
import type { Queryable } from '../client.ts'
import { hasOnlyCommonTerms, isSearch, textCondition, type SearchFilter } from './search-condition.ts'
import { taskColumns } from './task-columns.ts'
import { orderOf, type TaskOrder } from './task-sorts.ts'

/** All given conditions hold. Instants are canonical. */
export interface TaskFilter extends SearchFilter {
  /** Only this project, archived or not; the caller has checked that it may be read. */
  projectId?: string
  parentId?: string
  statuses?: Status[]
  priorities?: Priority[]
  /** null: unassigned tasks. */
  assigneeId?: string | null
  creatorId?: string
  completed?: boolean
  overdue?: boolean
  /** Whether it is shared singly with the reader. */
  shared?: boolean
  created?: Range
  updated?: Range
  due?: Range
}

/** `from` inclusive, `to` exclusive. */
export interface Range {
  from?: string | undefined
  to?: string | undefined
}

export type ListedTask = Task & { sortKey: string | number | null }

export const sortKeyOf = (task: ListedTask): SortKey => [task.sortKey, task.id]

type Fragment = ReturnType<typeof taskColumns>

/**
 * One more than `limit` if there are more. Tasks without `dueAt` come last in both
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
  const whole = { limit: limit + 1, offset: offsetOf({ limit, page }), after }
  const read = async (part: Part): Promise<ListedTask[]> => {
    const first = walks(filter, part) ? await run(filter, walkOf(sql, userId, filter, order, part)) : []
    return first.length === part.limit ? first : run(filter, pageOf(sql, userId, filter, order, part))
  }
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
  order: TaskOrder,
  { limit, offset, after, due }: Part,
) => {
  const { key, ordered, beyond } = orderOf(sql, order)
  const where = (project: Fragment | string) => sql`
    ${conditionsOf(sql, userId, filter, due, project)}
    ${beyond(after)}`
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

/** Tasks that a search of common words looks at in the order of the list before it reads the index of words. */
const maxWalked = 5_000

const walks = (filter: TaskFilter, { offset }: Part): boolean =>
  offset === 0 && filter.projectId !== undefined && hasOnlyCommonTerms(filter)

const walkOf = (
  sql: Queryable,
  userId: string,
  filter: TaskFilter,
  order: TaskOrder,
  { limit, after, due }: Part,
) => {
  const { key, ordered, beyond } = orderOf(sql, order)
  return sql<ListedTask[]>`
    select ${taskColumns(sql)}, ${key} as "sortKey"
    from (
      select t.* from tasks t
      where t.project_id = ${filter.projectId!}
        ${due === null ? sql`` : due === 'set' ? sql`and t.due_at is not null` : sql`and t.due_at is null`}
        ${beyond(after)}
      ${ordered} limit ${maxWalked}
    ) t
    where true ${conditionsOf(sql, userId, filter, due, filter.projectId!, 'row')}
    ${ordered} limit ${limit}`
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
  by: 'index' | 'row' = 'index',
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
    isSearch(filter) && textCondition(sql, filter, project, by),
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

/**
 * Statements with filters have thousands of texts and need a plan for their values: they are not prepared, so that
 * PostgreSQL plans each execution and keeps no plan. The few texts without filters stay prepared.
 */
const run = <Q extends Promise<unknown> & { readonly options?: object }>(filter: TaskFilter, query: Q): Q => {
  const isFiltered = Object.keys(filter).some((name) => name !== 'projectId')
  if (isFiltered && query.options) Object.assign(query.options, { prepare: false })
  return query
}
