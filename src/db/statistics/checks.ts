// The nightly check of counters: who does it, what it looks at, and the locks under which it repairs.
import type { Queryable, Tx } from '../client.ts'
import { statisticsConsumer } from './counters.ts'

/**
 * Claims the check of this night (UTC). A claim that is unfinished after an hour is of a worker that stopped or died in it,
 * and passes to the next that asks; 500 projects take less than an hour.
 * @returns its day; null where a worker has it or has done it, or before `fromHour`.
 */
export const claimCheck = async (tx: Tx, fromHour: number): Promise<string | null> => {
  const [row] = await tx<{ night: string }[]>`
    insert into statistics_checks as claimed (night)
    select (now() at time zone 'UTC')::date where extract(hour from now() at time zone 'UTC') >= ${fromHour}
    on conflict (night) do update set started_at = now()
    where claimed.finished_at is null and claimed.started_at < now() - interval '1 hour'
    returning night`
  return row?.night ?? null
}

export const finishCheck = async (
  tx: Tx,
  night: string,
  { projects, drifted }: { projects: number; drifted: number },
): Promise<void> => {
  await tx`
    update statistics_checks set projects = ${projects}, drifted = ${drifted}, finished_at = now()
    where night = ${night}`
}

/** Random projects. */
export const sampleProjects = async (sql: Queryable, limit: number): Promise<string[]> => {
  const rows = await sql<{ id: string }[]>`select id from projects order by random() limit ${limit}`
  return rows.map(({ id }) => id)
}

/**
 * From here the transaction reads one snapshot, in which the counters of the project and the position of its shard are
 * those of the end of the transaction: the consumer waits. A commit of the consumer in between is a conflict, after which
 * the transaction runs again. Must be the first statements.
 */
export const lockCounters = async (tx: Tx, projectId: string, shard: number): Promise<void> => {
  await tx`set transaction isolation level repeatable read`
  await tx`
    insert into project_statistics (project_id) select id from projects where id = ${projectId}
    on conflict do nothing`
  await tx`select from project_statistics where project_id = ${projectId} for update`
  await tx`select from consumer_cursor where consumer = ${statisticsConsumer} and shard = ${shard} for update`
}

export const projectExists = async (sql: Queryable, projectId: string): Promise<boolean> => {
  const rows = await sql`select from projects where id = ${projectId}`
  return rows.length > 0
}
