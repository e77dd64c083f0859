// Lists of what belongs to one task: comments, attachments, shares. All who may read the task read them.
import type { Queryable } from '../../db/client.ts'
import type { TaskAccessRow } from '../../db/tasks/shares.ts'
import type { Actor } from '../../model/actor.ts'
import type { Slice } from '../../model/page.ts'
import { projectScope } from '../../model/scope.ts'
import { authorizeTask } from '../access.ts'
import { headsOf, readList, type ListDeps, type ListedAt, type ListQuery } from '../list.ts'

/** What differs; `select` and `count` are not called for a task the actor may not read. */
type ListOfTask<Row, T> = Omit<ListQuery<Row, T>, 'heads' | 'isExact'>

/**
 * A list whose every change is an entry in the scope of the task's project; `task.deleted` there announces that the task
 * has left it. A task that moves between the reading of the heads and that of the rows has heads of another project than
 * its rows: that list is exact at no heads. 404 for a task the actor may not read.
 */
export const readListOfTask = <Row, T>(
  deps: ListDeps,
  actor: Actor,
  taskId: string,
  slice: Slice,
  { select, ...query }: ListOfTask<Row, T>,
): Promise<ListedAt<T>> => {
  let atHeads: TaskAccessRow
  let atRows: TaskAccessRow
  const authorized = (sql: Queryable): Promise<TaskAccessRow> => authorizeTask(sql, actor, taskId, 'read')
  return readList(deps, actor.userId, slice, {
    ...query,
    heads: async (sql) => {
      atHeads = await authorized(sql)
      return headsOf(deps, actor, [projectScope(atHeads.projectId)])
    },
    select: async (sql) => {
      atRows = await authorized(sql)
      return select(sql)
    },
    isExact: () => atRows.projectId === atHeads.projectId,
  })
}
