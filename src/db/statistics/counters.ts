// Counters of the tasks of projects, as the consumer `stats` writes them. Invariant: `project_statistics` rows are locked
// first, by ascending project; the other counters of a project change only under the lock of its row.
import { statuses, priorities } from '../../model/task.ts'
import type { WordCounts } from '../../model/statistics.ts'
import type { Queryable, Tx } from '../client.ts'

/** The key of the consumer's positions. */
export const statisticsConsumer = 'stats'

/** What to add to the counters of a project. */
export interface CounterChanges {
  projectId: string
  words: WordCounts
  tags: ReadonlyMap<string, number>
  /** By the start of the quarter-hour, in milliseconds since 1970. */
  quarters: ReadonlyMap<number, number>
}

export const wordNames = [...statuses, ...priorities]

type Fragment = ReturnType<Queryable>

/** One fragment for each word, joined by commas. */
const eachWord = (sql: Queryable, part: (word: keyof WordCounts) => Fragment): Fragment =>
  sql`${wordNames.flatMap((word, index) => (index === 0 ? [part(word)] : [sql`, `, part(word)]))}`

/** Adds the changes, and marks the projects as changed since their last `stats.updated`. */
export const addToCounters = async (tx: Tx, changes: readonly CounterChanges[]): Promise<void> => {
  if (changes.length === 0) return
  const rows = changes.map(({ projectId, words }) => ({ project_id: projectId, ...words }))
  const tags = changes.flatMap(({ projectId, tags: ofProject }) =>
    Array.from(ofProject, ([tag, count]) => ({ project_id: projectId, tag, count })),
  )
  const quarters = changes.flatMap(({ projectId, quarters: ofProject }) =>
    Array.from(ofProject, ([quarter, count]) => ({
      project_id: projectId,
      quarter: new Date(quarter).toISOString(),
      count,
    })),
  )
  await Promise.all([
    tx`
      insert into project_statistics as s (project_id, ${eachWord(tx, (word) => tx`${tx(word)}`)}, is_changed)
      select i.project_id, ${eachWord(tx, (word) => tx`i.${tx(word)}`)}, true
      from json_to_recordset(${JSON.stringify(rows)}::text::json) as i (
        project_id uuid, ${eachWord(tx, (word) => tx`${tx(word)} integer`)})
      order by i.project_id
      on conflict (project_id) do update set
        ${eachWord(tx, (word) => tx`${tx(word)} = s.${tx(word)} + excluded.${tx(word)}`)}, is_changed = true`,
    tags.length > 0 && addTags(tx, tags),
    quarters.length > 0 && addQuarters(tx, quarters),
  ])
}

const addTags = async (tx: Tx, rows: { count: number }[]): Promise<void> => {
  const input = JSON.stringify(rows)
  await Promise.all([
    tx`
      insert into project_tag_counts as c (project_id, tag, count)
      select * from json_to_recordset(${input}::text::json) as i (project_id uuid, tag text, count integer)
      on conflict (project_id, tag) do update set count = c.count + excluded.count`,
    rows.some(({ count }) => count < 0) &&
      tx`
        delete from project_tag_counts c
        using json_to_recordset(${input}::text::json) as i (project_id uuid, tag text, count integer)
        where c.project_id = i.project_id and c.tag = i.tag and c.count = 0`,
  ])
}

const addQuarters = async (tx: Tx, rows: { count: number }[]): Promise<void> => {
  const input = JSON.stringify(rows)
  await Promise.all([
    tx`
      insert into project_completions as c (project_id, quarter, count)
      select * from json_to_recordset(${input}::text::json) as i (project_id uuid, quarter timestamptz, count integer)
      on conflict (project_id, quarter) do update set count = c.count + excluded.count`,
    rows.some(({ count }) => count < 0) &&
      tx`
        delete from project_completions c
        using json_to_recordset(${input}::text::json) as i (project_id uuid, quarter timestamptz, count integer)
        where c.project_id = i.project_id and c.quarter = i.quarter and c.count = 0`,
  ])
}

/** Of projects that were deleted. */
export const deleteCounters = async (tx: Tx, projectIds: readonly string[]): Promise<void> => {
  if (projectIds.length === 0) return
  await Promise.all([
    tx`
      with locked as materialized (
        select project_id from project_statistics where project_id = any(${projectIds}::uuid[])
        order by project_id for update
      )
      delete from project_statistics where project_id in (select project_id from locked)`,
    tx`delete from project_tag_counts where project_id = any(${projectIds}::uuid[])`,
    tx`delete from project_completions where project_id = any(${projectIds}::uuid[])`,
  ])
}

/** The counters of a project after a change. */
export interface ChangedCounters {
  projectId: string
  words: WordCounts
}

/**
 * Locks at most `limit` projects whose counters changed since their last `stats.updated`, and which had none for
 * `pauseMs`, and marks them as announced. Their projects exist until the transaction ends. Waits for no lock.
 */
export const takeChangedCounters = async (
  tx: Tx,
  pauseMs: number,
  limit: number,
): Promise<ChangedCounters[]> => {
  const rows = await tx<({ projectId: string } & WordCounts)[]>`
    update project_statistics set is_changed = false, announced_at = clock_timestamp()
    where project_id = any(array(
      select s.project_id
      from project_statistics s
      join projects p on p.id = s.project_id
      where s.is_changed and s.announced_at < clock_timestamp() - ${pauseMs} * interval '1 millisecond'
      order by s.announced_at
      limit ${limit}
      for update of s skip locked
      for key share of p skip locked
    ))
    returning project_id as "projectId", ${eachWord(tx, (word) => tx`${tx(word)}`)}`
  return rows.map(({ projectId, ...words }) => ({ projectId, words }))
}
