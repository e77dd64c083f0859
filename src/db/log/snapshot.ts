// The tasks of a snapshot as JSON that PostgreSQL makes, in pages bounded by count and bytes.
import type { Scope } from '../../model/scope.ts'
import type { Position } from '../../model/event.ts'
import type { Queryable, Tx } from '../client.ts'
import { createdText, taskJson, textBytes } from '../tasks/task-columns.ts'

/** The last task of a page: tasks are ordered by creation, then id, along an index. */
export interface TaskPlace {
  createdAt: string
  id: string
}

/*
 * Problem: rows that the driver decodes are texts of two bytes a character, one a column, from which JSON is made, joined
 * and encoded: a page of 4 MiB passed through 20 MB of memory, and took 20 to 40 ms of the event loop that had to be
 * taken in groups. The way chosen: PostgreSQL makes the JSON, and its bytes are copied from the buffer of the socket to
 * the page. A row for each task still took 15 ms of a page of 5,000 in the driver, up to 12 in one turn of the loop,
 * because one read of the socket has 1,100 of them. So PostgreSQL also joins the tasks to pieces, of which a read has
 * eight. That leaves the event loop to other requests, and no garbage but the buffers of the socket.
 */

/** 64 KiB of JSON in a row, unless one task is longer: eight rows to a read of the socket, two to a chunk of a page. */
const inPieces = (tx: Tx): ReturnType<Tx> => tx`group by reached / 65536 order by reached / 65536`

/**
 * Tasks of a project after a place, at most `limit` and as many as have `maxBytes` of JSON with the commas between them,
 * but at least one where there is one. PostgreSQL knows the length of a text without reading it, so that tasks which do
 * not fit even as text are not read.
 * @param onPiece called with JSON of tasks in order, separated by commas, in bytes that are valid during the call alone.
 * @returns the last task, where more follow.
 */
export const selectTasksAfter = async (
  tx: Tx,
  projectId: string,
  after: TaskPlace | null,
  { limit, maxBytes }: { limit: number; maxBytes: number },
  onPiece: (json: Uint8Array) => void,
): Promise<TaskPlace | null> => {
  let last: TaskPlace | null = null
  await tx`
  select string_agg(json, ',' order by reached), bool_and("hasNext"), max(("createdAt" || ' ' || id) collate "C")
  from (
    select *, sum(octet_length(json) + 1) over (order by created_at, id rows unbounded preceding) as reached
    from (
      select page.id, page.created_at, page."hasNext", task.json, task."createdAt"
      from (
        select id, created_at, sum(bytes) over so_far - bytes as before, lead(id) over so_far is not null as "hasNext"
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
      cross join lateral (
        select ${taskJson(tx)} as json, ${createdText(tx)} from tasks t where t.id = page.id offset 0
      ) as task
      where page.before = 0 or page.before < ${maxBytes}
    ) as made
  ) as counted
  where reached - 1 <= ${maxBytes} or reached = octet_length(json) + 1
  ${inPieces(tx)}`
    .raw()
    .forEach(([json, hasNext, place]) => {
      onPiece(json!)
      const [createdAt = '', id = ''] = place!.toString().split(' ')
      last = isTrue(hasNext!) ? { createdAt, id } : null
    })
  return last
}

/**
 * Tasks shared with a user one by one, ordered by id, at most `limit`. Once descriptions exceed `maxBytes`, later ones
 * are not read: they are empty, and named in `omitted`.
 * @param onPiece as of `selectTasksAfter`.
 */
export const selectSharedTasks = async (
  tx: Tx,
  userId: string,
  { limit, maxBytes }: { limit: number; maxBytes: number },
  onPiece: (json: Uint8Array) => void,
): Promise<void> => {
  const description = tx`case when sized.before < ${maxBytes} then t.description else '' end as description`
  await tx`
  select string_agg(json, ',' order by reached)
  from (
    select json, sum(octet_length(json) + 1) over (order by id rows unbounded preceding) as reached
    from (
      select sized.id, case
        when sized.before >= ${maxBytes} and sized.bytes > 0 then left(task.json, -1) || ',"omitted":["description"]}'
        else task.json end as json
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
      cross join lateral (
        select ${taskJson(tx, description)} as json from tasks t where t.id = sized.id offset 0
      ) as task
      offset 0
    ) as made
  ) as counted
  ${inPieces(tx)}`
    .raw()
    .forEach(([json]) => onPiece(json!))
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
