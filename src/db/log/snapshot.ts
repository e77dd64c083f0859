// The tasks a snapshot is made of.
import type { Task } from '../../model/task.ts'
import type { Scope } from '../../model/scope.ts'
import type { Position } from '../../model/event.ts'
import type { Queryable, Tx } from '../client.ts'
import { taskColumns, textBytes } from '../tasks/task-columns.ts'

/** The last task of a page: tasks come by creation, then id, along an index. */
export interface TaskPlace {
  createdAt: string
  id: string
}

export type PagedTask = Task & { hasNext: boolean }

/**
 * Tasks of a project after a place, at most `limit`, and none after those that already hold `maxBytes` of text:
 * one at least, where there is one. The length of a text is read without the text.
 */
export const selectTasksAfter = (
  tx: Tx,
  projectId: string,
  after: TaskPlace | null,
  { limit, maxBytes }: { limit: number; maxBytes: number },
): Promise<PagedTask[]> => tx<PagedTask[]>`
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
  order by t.created_at, t.id`

export type SharedTaskRow = Task & { isCut: boolean }

/**
 * Tasks shared singly with a person, by id, at most `limit`. The descriptions of those after the ones that already hold
 * `maxBytes` of text are not read: they are empty, and `isCut` says so.
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
 * Whether what was read at a place in the log is not for this person any more: they did something in the scope since,
 * had their access to it changed, or the log's numbers began anew.
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
