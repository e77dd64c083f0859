// Lists and search over tasks.
import { heavy, type Queryable } from '../../db/client.ts'
import { selectReadableHeads, type ScopeHeads } from '../../db/log/scope-heads.ts'
import { selectProjectAccess } from '../../db/projects/projects.ts'
import type { Reads } from '../../db/reads.ts'
import {
  countTasks,
  selectTaskPage,
  sortKeyOf,
  type ListedTask,
  type TaskFilter,
} from '../../db/tasks/task-list.ts'
import type { TaskOrder } from '../../db/tasks/task-sorts.ts'
import { documentQuery, hasTasksWithoutWords } from '../../db/tasks/task-words.ts'
import { invalid } from '../../errors.ts'
import { listed, type Slice } from '../../model/page.ts'
import type { Task } from '../../model/task.ts'
import { searchWordsOf } from '../../model/text-form.ts'
import { projectScope } from '../../model/scope.ts'
import { authorize } from '../actor.ts'
import { headsOf, maxScopes, type ListDeps, type ListedAt } from '../list.ts'
import type { Actor } from '../../model/actor.ts'

/** A filter with the search text as it was typed. */
export type TaskSearch = Omit<TaskFilter, 'words' | 'document' | 'common'> & { search?: string }

const withoutKey = (row: ListedTask): Task => {
  const { sortKey: _, ...task } = row
  return task
}

/**
 * A page of tasks: of one project (404 if the actor may not read it), or of all projects that are not archived and all
 * shares the actor may read. 422 where `search` has no word.
 *
 * Its rows are of one moment: a task that a concurrent write gives a due time would be in neither or in both of the two
 * statements of a list by due time, and the total of a numbered page would count others than the page shows. Where there
 * is more than one statement, they share a snapshot, which is taken after the heads were read.
 */
export const listTasks = (
  deps: ListDeps & { reads: Pick<Reads, 'words'> },
  actor: Actor,
  query: TaskSearch,
  order: TaskOrder,
  slice: Slice,
): Promise<ListedAt<Task>> => {
  const calls = deps.db.of(actor.userId)
  const read = (sql: Queryable) => readTasks(deps, sql, actor, query, order, slice)
  const options = query.search !== undefined || slice.page !== null ? heavy : {}
  const isOneStatement = order.by !== 'dueAt' && slice.page === null
  return isOneStatement ? calls.read(read, options) : calls.snapshot(read, options)
}

const readTasks = async (
  deps: ListDeps & { reads: Pick<Reads, 'words'> },
  sql: Queryable,
  actor: Actor,
  query: TaskSearch,
  order: TaskOrder,
  slice: Slice,
): Promise<ListedAt<Task>> => {
  const { projectId } = query
  const heads = await headsFor(deps, sql, actor, query)
  if (projectId !== undefined)
    authorize(actor, await selectProjectAccess(sql, actor.userId, projectId), 'read')
  const { search, ...rest } = query
  const filter: TaskFilter = { ...rest }
  if (search !== undefined) {
    filter.words = searchWordsOf(search)
    if (filter.words.length === 0) throw invalid({ pointer: '/search', detail: 'must contain a word' })
  }
  const isSearch = (filter.words ?? filter.tags) !== undefined
  // The words and the sort key of a title are added later to tasks that a previous version wrote, without entries.
  const isIncomplete = (isSearch || order.by === 'title') && (await hasTasksWithoutWords(sql))
  if (isSearch && isIncomplete) filter.document = documentQuery(search ?? '')
  else if (isSearch) filter.common = await deps.reads.words.commonOf(sql, filter, projectId ?? null)
  const [rows, total] = await Promise.all([
    selectTaskPage(sql, actor.userId, filter, order, slice),
    slice.page === null ? null : countTasks(sql, actor.userId, filter),
  ])
  const page = listed(rows, slice.limit, { item: withoutKey, key: sortKeyOf })
  return { ...page, total, heads: isIncomplete ? null : heads }
}

/**
 * Heads of the scopes on which the list depends, read before anything else of it. Each field of a task changes with a
 * `task.*` entry in its project's scope. Which tasks are covered changes with `access.*` and `share.*` entries in the
 * user's own scope, and with `project.updated` (archived) in the scope of each project, that of a shared task too.
 * `overdue` changes with the clock.
 */
const headsFor = async (
  deps: ListDeps,
  sql: Queryable,
  actor: Actor,
  { projectId, overdue }: TaskSearch,
): Promise<ScopeHeads | null> => {
  if (overdue !== undefined) return null
  return projectId === undefined
    ? selectReadableHeads(sql, actor.userId, maxScopes)
    : headsOf(deps, actor, [projectScope(projectId)])
}
