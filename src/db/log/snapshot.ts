// The tasks of a snapshot, in pages bounded by count and bytes.
import type { Scope } from '../../model/scope.ts'
import type { Position } from '../../model/event.ts'
import type { Queryable, Tx } from '../client.ts'
import { createdText, taskJson, textBytes } from '../tasks/task-columns.ts'

/** The last task of a page: tasks are ordered by creation, then id, along an index. */
export interface TaskPlace {
  createdAt: string
  id: string
}

/** A task of a page as it arrived, in bytes that are valid during the call alone. */
export interface PagedTask {
  json: Uint8Array
  hasNext: boolean
  place(): TaskPlace
}

/*
 * Problem: rows that the driver decodes are texts of two bytes a character, one a column, from which JSON is made, joined
 * and encoded: a page of 4 MiB passed through 20 MB of memory, and took 20 to 40 ms of the event loop that had to be
 * taken in groups. The way chosen: PostgreSQL makes the JSON, and its bytes are copied from the buffer of the socket to
 * the page, row by row as they arrive. That costs PostgreSQL as much as this process saves, but leaves the event loop
 * to other requests and no garbage but the buffers of the socket.
 */

/**
 * Tasks of a project after a place, at most `limit`; the page ends once its texts exceed `maxBytes`, and has at least
 * one task where there is one. PostgreSQL knows the length of a text without reading it.
 * @param onTask called for each task in order.
 */
export const selectTasksAfter = async (
  tx: Tx,
  projectId: string,
  after: TaskPlace | null,
  { limit, maxBytes }: { limit: number; maxBytes: number },
  onTask: (task: PagedTask) => void,
): Promise<void> => {
  await tx`
  select ${taskJson(tx)}, page."hasNext", ${createdText(tx)}, t.id
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
    .raw()
    .forEach(([json, hasNext, createdAt, id]) =>
      onTask({
        json: json!,
        hasNext: isTrue(hasNext!),
        place: () => ({ createdAt: createdAt!.toString(), id: id!.toString() }),
      }),
    )
}

/**
 * Tasks shared with a user one by one, ordered by id, at most `limit`. Once descriptions exceed `maxBytes`, later ones
 * are not read: they are empty and `isCut` is true.
 * @param onTask called for each task in order, with bytes that are valid during the call alone.
 */
export const selectSharedTasks = async (
  tx: Tx,
  userId: string,
  { limit, maxBytes }: { limit: number; maxBytes: number },
  onTask: (json: Uint8Array, isCut: boolean) => void,
): Promise<void> => {
  const description = tx`case when sized.before < ${maxBytes} then t.description else '' end as description`
  await tx`
    select ${taskJson(tx, description)}, sized.before >= ${maxBytes} and sized.bytes > 0
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
    .raw()
    .forEach(([json, isCut]) => onTask(json!, isTrue(isCut!)))
}

const letterT = 't'.charCodeAt(0)
const isTrue = (text: Uint8Array): boolean => text[0] === letterT

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
