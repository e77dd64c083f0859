// Statistics as they are read: sums of counters over projects, counts of rows where there are no counters, and the entries
// of the log that the counters do not include yet. Exact where all statements of a reader see one snapshot.
import type postgres from 'postgres'
import type { Changes } from '../../model/event.ts'
import { maxTagCounts, type WordCounts } from '../../model/statistics.ts'
import type { Queryable, Tx } from '../client.ts'
import { headsAndPositions } from '../log/consumers.ts'
import { foreignShares, homes } from '../tasks/task-list.ts'
import { statisticsConsumer, wordNames } from './counters.ts'

type Fragment = postgres.PendingQuery<postgres.Row[]> | ReturnType<typeof homes>

/** Projects as `home (project_id)`. */
export const oneProject = (sql: Queryable, projectId: string): Fragment =>
  sql`(select ${projectId}::uuid as project_id) home`

/** The projects of a user that are not archived. */
export const readableProjects = homes

/** Tasks as `t`, to which conditions can be added. */
export interface RowSource {
  from: Fragment
}

/** The tasks shared with the user one by one, of projects that are not archived and of which the user is no member. */
export const sharedTasks = (sql: Queryable, userId: string): RowSource => ({
  from: foreignShares(sql, userId),
})

/** Every task of the projects. */
export const tasksOf = (sql: Queryable, home: Fragment): RowSource => ({
  from: sql`${home} join tasks t on t.project_id = home.project_id where true`,
})

/** What is summed: the counters of projects, and rows. */
export interface Sources {
  /** Null: rows alone. */
  home: Fragment | null
  rows: readonly RowSource[]
}

/** The time zone of the user, and now by the clock of the database. */
export const selectZoneAndTime = async (
  sql: Queryable,
  userId: string,
): Promise<{ timeZone: string; asOf: string }> => {
  const [row] = await sql<{ timeZone: string; asOf: string }[]>`
    select coalesce((select time_zone from users where id = ${userId}), 'UTC') as "timeZone",
      clock_timestamp()::timestamptz(3) as "asOf"`
  return row!
}

/**
 * Changes of tasks of the projects that the counters do not include yet, at most `limit`. Only the log of a project whose
 * last entry is after the consumer's position is read.
 */
export const selectUncounted = async (tx: Tx, home: Fragment, limit: number): Promise<Changes[]> => {
  const rows = await tx<{ changes: Changes }[]>`
    select ahead.changes
    from ${headsAndPositions(tx, home, statisticsConsumer)}
    cross join lateral (
      select changes from feed
      where scope = head.scope and seq > passed.seq
        and type in ('task.created', 'task.updated', 'task.deleted') and changes is not null
      limit ${limit}
    ) ahead
    where head.seq > passed.seq
    limit ${limit}`
  return rows.map(({ changes }) => changes)
}

const joined = (sql: Queryable, parts: readonly Fragment[], separator: Fragment): Fragment =>
  sql`${parts.flatMap((part, index) => (index === 0 ? [part] : [separator, part]))}`

const union = (sql: Queryable, parts: readonly (Fragment | null)[]): Fragment =>
  joined(
    sql,
    parts.filter((part) => part !== null),
    sql` union all `,
  )

/** A literal: a parameter would have no type in a list of columns. */
const isWord = (sql: Queryable, word: keyof WordCounts): Fragment =>
  sql`t.status = ${word} or t.priority = ${word}`

const sumOf = (sql: Queryable, word: keyof WordCounts): Fragment =>
  sql`coalesce(sum(${sql(word)}), 0)::bigint as ${sql(word)}`

export const selectWordCounts = async (sql: Queryable, { home, rows }: Sources): Promise<WordCounts> => {
  const columns = (part: (word: keyof WordCounts) => Fragment): Fragment =>
    joined(sql, wordNames.map(part), sql`, `)
  const parts: (Fragment | null)[] = [
    home &&
      sql`
        select ${columns((word) => sql`c.${sql(word)}`)}
        from ${home} cross join lateral (
          select * from project_statistics where project_id = home.project_id offset 0) c`,
    ...rows.map(
      ({ from }) => sql`
        select ${columns((word) => sql`count(*) filter (where ${isWord(sql, word)}) as ${sql(word)}`)} from ${from}`,
    ),
  ]
  const [row] = await sql<WordCounts[]>`
    select ${columns((word) => sumOf(sql, word))} from (${union(sql, parts)}) parts`
  return { ...row! }
}

export interface TagCount {
  tag: string
  count: number
}

/** The most frequent tags. @param uncounted what to add to the counters. */
export const selectTagCounts = async (
  sql: Queryable,
  { home, rows }: Sources,
  uncounted: ReadonlyMap<string, number>,
  limit = maxTagCounts,
): Promise<TagCount[]> => {
  const parts: (Fragment | null)[] = [
    home &&
      sql`
        select c.tag, c.count::bigint from ${home} cross join lateral (
          select tag, count from project_tag_counts where project_id = home.project_id offset 0) c`,
    ...rows.map(
      ({ from }) => sql`
        select tag, count(*) from (select t.tags from ${from}) tagged cross join lateral unnest(tagged.tags) as tag
        group by tag`,
    ),
    uncounted.size > 0
      ? sql`select * from unnest(${[...uncounted.keys()]}::text[], ${[...uncounted.values()]}::bigint[])`
      : null,
  ]
  return sql<TagCount[]>`
    select tag, sum(count)::bigint as count from (${union(sql, parts)}) parts (tag, count)
    group by tag having sum(count) > 0
    order by sum(count) desc, tag collate "C" limit ${limit}`
}

/** Completed tasks since a time, by the start of their quarter-hour in milliseconds since 1970. */
export const selectQuarterCounts = async (
  sql: Queryable,
  { home, rows }: Sources,
  since: string,
): Promise<Map<number, number>> => {
  const parts: (Fragment | null)[] = [
    home &&
      sql`
        select c.quarter, c.count::bigint from ${home} cross join lateral (
          select quarter, count from project_completions
          where project_id = home.project_id and quarter >= ${since}::timestamptz offset 0) c`,
    ...rows.map(
      ({ from }) => sql`
        select date_bin('15 minutes', t.completed_at, 'epoch'), count(*) from ${from}
          and t.completed_at >= ${since}::timestamptz
        group by 1`,
    ),
  ]
  const found = await sql<{ quarter: number; count: number }[]>`
    select (extract(epoch from quarter) * 1000)::bigint as quarter, sum(count)::bigint as count
    from (${union(sql, parts)}) parts (quarter, count)
    group by parts.quarter`
  return new Map(found.map(({ quarter, count }) => [quarter, count]))
}

export interface Dueness {
  /** Open tasks whose due time has passed. */
  overdue: number
  /** When the next one will be overdue. */
  nextDueAt: string | null
}

/** From rows alone: nothing is written when time passes. */
export const selectDueness = async (
  sql: Queryable,
  { home, rows }: { home: Fragment; rows: readonly RowSource[] },
  asOf: string,
): Promise<Dueness> => {
  const isOpen = sql`t.status in ('todo', 'in_progress')`
  const parts: (Fragment | null)[] = [
    sql`
      select
        (select count(*) from tasks t
          where t.project_id = home.project_id and t.due_at < ${asOf}::timestamptz and ${isOpen}),
        (select t.due_at from tasks t
          where t.project_id = home.project_id and t.due_at >= ${asOf}::timestamptz and ${isOpen}
          order by t.due_at limit 1)
      from ${home}`,
    ...rows.map(
      ({ from }) => sql`
        select count(*) filter (where t.due_at < ${asOf}::timestamptz),
          min(t.due_at) filter (where t.due_at >= ${asOf}::timestamptz)
        from ${from} and ${isOpen}`,
    ),
  ]
  const [row] = await sql<Dueness[]>`
    select coalesce(sum(overdue), 0)::bigint as overdue, min(next) as "nextDueAt"
    from (${union(sql, parts)}) parts (overdue, next)`
  return row!
}
