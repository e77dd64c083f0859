// The tasks of a snapshot, in pages bounded by count and bytes.
import type { Task } from '../../model/task.ts'
import type { Scope } from '../../model/scope.ts'
import type { Position } from '../../model/event.ts'
import type { Queryable, Tx } from '../client.ts'
import { taskColumns, textBytes } from '../tasks/task-columns.ts'

/** The last task of a page: tasks are ordered by creation, then id, along an index. */
export interface TaskPlace {
  createdAt: string
  id: string
}

/** Reading so many takes about 3 ms. */
const rowsAtOnce = 250

export type PagedTask = Task & { hasNext: boolean }

/**
 * Tasks of a project after a place, at most `limit`; the page ends once its texts exceed `maxBytes`, and has at least
 * one task where there is one. PostgreSQL knows the length of a text without reading it. The rows come in groups, because
 * reading 3 MB of rows at once blocks the event loop for 20 to 40 ms.
 * @param onRows called with the groups in order, each after the one before has been worked on.
 */
export const selectTasksAfter = async (
  tx: Tx,
  projectId: string,
  after: TaskPlace | null,
  { limit, maxBytes }: { limit: number; maxBytes: number },
  onRows: (rows: PagedTask[]) => Promise<void>,
): Promise<void> => {
  const groups = tx<PagedTask[]>`
  select ${taskColumns(tx)}, page."hasNext"
  from (
    select id, sum(bytes) over so_far - bytes as before, lead(id) over so_far is not null as "hasNext"
    from (
      select t.id, t.created_at, ${textBytes(tx)} as bytes
      from tasks t
      where t.project_id = ${projectId} ${after === null ? tx`` : tx`and (t.created_at, t.id) > (${after.createdAt}, ${after.id})`}
      order by t.created_at, t.id
      limit ${limit + 1}
    ) as ahead
    window so_far as (order by created_at, id rows unbounded preceding)
    order by created_at, id
    limit ${limit}
  ) as page
  join tasks t on t.id = page.id
  where page.before < ${maxBytes}
  order by t.created_at, t.id`.cursor(rowsAtOnce)
  for await (const rows of groups) await onRows(rows)
}

export type SharedTaskRow = Task & { isCut: boolean }

/**
 * Tasks shared with a user one by one, ordered by id, at most `limit`. Once descriptions exceed `maxBytes`, later ones
 * are not read: they are empty and `isCut` is true.
 */
export const selectSharedTasks = (
  tx: Tx,
  userId: string,
  { limit, maxBytes }: { limit: number; maxBytes: number },
): Promise<SharedTaskRow[]> => {
  const description = tx`case when sized.before < ${maxBytes} then t.description else '' end as description`
  return tx<SharedTaskRow[]>`
    select ${taskColumns(tx, description)}, sized.before >= ${maxBytes} and sized.bytes > 0 as "isCut"
    from (
      select id, bytes, sum(bytes) over (order by id rows unbounded preceding) - bytes as before
      from (
        select t.id, octet_length(t.description) as bytes
        from shares s
        join tasks t on t.id = s.task_id
        where s.user_id = ${userId}
        order by t.id
        limit ${limit}
      ) as shared
    ) as sized
    join tasks t on t.id = sized.id
    order by t.id`
}

/**
 * Whether a snapshot read at a position is outdated for this user: they changed something in the scope since, their
 * access to it changed, or the log has another epoch.
 */
export const isOutdatedFor = async (
  sql: Queryable,
  userId: string,
  scope: Scope,
  { epoch, shard, seq }: Position,
): Promise<boolean> => {
  const [row] = await sql<{ isOutdated: boolean }[]>`
    select exists (
      select from feed
      where scope = ${scope} and seq > ${seq}
        and (actor_id = ${userId} or control is not null or type like 'member.%' and entity_id = ${userId})
    ) or exists (
      select from feed_head where shard = ${shard} and epoch <> ${epoch}
    ) as "isOutdated"`
  return row!.isOutdated
}
