// Lists and search over tasks.
import { heavy } from '../../db/client.ts'
import { selectProjectAccess } from '../../db/projects/projects.ts'
import {
  countTasks,
  selectTaskPage,
  sortKeyOf,
  type ListedTask,
  type TaskFilter,
  type TaskOrder,
} from '../../db/tasks/task-list.ts'
import { documentQuery, hasTasksWithoutWords } from '../../db/tasks/task-words.ts'
import { invalid } from '../../errors.ts'
import { listed, type Listed, type Slice } from '../../model/page.ts'
import type { Task } from '../../model/task.ts'
import { searchWordsOf } from '../../model/text-form.ts'
import { authorize } from '../actor.ts'
import type { WriteDeps } from '../write.ts'
import type { Actor } from '../../model/actor.ts'

/** A filter with the search text as it was typed. */
export type TaskSearch = Omit<TaskFilter, 'words' | 'document'> & { search?: string }

const withoutKey = (row: ListedTask): Task => {
  const { sortKey: _, ...task } = row
  return task
}

/**
 * A page of tasks: of one project (404 if the actor may not read it), or of all projects that are not archived and all
 * shares the actor may read. 422 where `search` has no word.
 */
export const listTasks = (
  { db }: Pick<WriteDeps, 'db'>,
  actor: Actor,
  query: TaskSearch,
  order: TaskOrder,
  slice: Slice,
): Promise<Listed<Task>> =>
  db.of(actor.userId).read(
    async (sql) => {
      const { projectId } = query
      if (projectId !== undefined)
        authorize(actor, await selectProjectAccess(sql, actor.userId, projectId), 'read')
      const { search, ...rest } = query
      const filter: TaskFilter = { ...rest }
      if (search !== undefined) {
        filter.words = searchWordsOf(search)
        if (filter.words.length === 0) throw invalid({ pointer: '/search', detail: 'must contain a word' })
      }
      if ((filter.words ?? filter.tags) && (await hasTasksWithoutWords(sql)))
        filter.document = documentQuery(search ?? '')
      const [rows, total] = await Promise.all([
        selectTaskPage(sql, actor.userId, filter, order, slice),
        slice.page === null ? null : countTasks(sql, actor.userId, filter),
      ])
      return { ...listed(rows, slice.limit, { item: withoutKey, key: sortKeyOf }), total }
    },
    query.search !== undefined || slice.page !== null ? heavy : {},
  )
