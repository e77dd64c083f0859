// Activity rows. Invariant: every list is read backwards from the end of an index that fits it, for each project, and
// where it is filtered for each type, so that its cost depends on the page and not on the size of the table.
import type postgres from 'postgres'
import type { Activity, ActivityType } from '../../model/activity.ts'
import { activityTypes } from '../../model/activity.ts'
import type { LogEntry } from '../../model/event.ts'
import { offsetOf, type Slice } from '../../model/page.ts'
import type { Queryable, Tx } from '../client.ts'
import { headsAndPositions } from '../log/consumers.ts'
import { entryColumns } from '../log/feed.ts'
import { avatarUrl } from '../users/avatar-url.ts'

/** The consumer that makes activity from the log: the key of its positions. */
export const activityConsumer = 'activity'

export interface NewActivity extends Omit<Activity, 'actor'> {
  actorId: string | null
}

/** Inserts what is not there yet. */
export const insertActivities = async (tx: Tx, rows: NewActivity[]): Promise<void> => {
  if (rows.length === 0) return
  await tx`
    insert into activity (id, type, actor_id, project_id, task_id, entity_id, changes, override, created_at)
    select id, type, "actorId", "projectId", "taskId", "entityId", changes, override, "createdAt"
    from json_to_recordset(${JSON.stringify(rows)}::text::json) as (
      id uuid, type text, "actorId" uuid, "projectId" uuid, "taskId" uuid, "entityId" uuid, changes jsonb,
      override boolean, "createdAt" timestamptz)
    on conflict on constraint activity_pkey do nothing`
}

/** Those of the rows that are not there, in their order. */
export const selectMissing = async (sql: Queryable, rows: readonly NewActivity[]): Promise<NewActivity[]> => {
  if (rows.length === 0) return []
  const there = await sql<{ id: string }[]>`
    select id from activity where id = any(${rows.map(({ id }) => id)}::uuid[])`
  const ids = new Set(there.map(({ id }) => id))
  return rows.filter(({ id }) => !ids.has(id))
}

/** Notes that an admin read a project by the right of admins; once an hour. */
export const insertOverrideRead = async (
  tx: Tx,
  read: { id: string; actorId: string; projectId: string },
): Promise<void> => {
  await tx`
    insert into activity (id, type, actor_id, project_id, entity_id, override, created_at)
    values (${read.id}, 'project.read', ${read.actorId}, ${read.projectId}, ${read.projectId}, true, now())
    on conflict do nothing`
}

/** Where activity is read from: a project, a task as long as it was in a project, or all that a user may read. */
export type ActivitySource =
  | { kind: 'project'; projectId: string }
  | { kind: 'task'; taskId: string; projectId: string }
  | { kind: 'own'; userId: string }

export interface ActivityFilter {
  types?: ActivityType[] | undefined
  actorId?: string | undefined
  /** Ids from here on. */
  from?: string | undefined
  /** Ids below. */
  to?: string | undefined
}

type Fragment = postgres.PendingQuery<postgres.Row[]>

/**
 * Entries of the source's projects that the consumer has not passed yet, the newest `limit`, in the order of shard and
 * number, in which the consumer inserts too. Only the log of a project whose last entry is after the consumer's position
 * is read.
 */
export const selectUnlisted = (
  sql: Queryable,
  source: ActivitySource,
  limit: number,
): Promise<LogEntry[]> => {
  const ofShares =
    source.kind === 'own'
      ? sql`union select shared.project_id from ${foreignShares(sql, source.userId)}`
      : sql``
  const home = sql`(select home.project_id from ${homes(sql, source)} ${ofShares}) home`
  return sql<LogEntry[]>`
    select * from (
      select ahead.*
      from ${headsAndPositions(sql, home, activityConsumer)}
      cross join lateral (
        select ${entryColumns(sql)} from feed
        where scope = head.scope and seq > coalesce(passed.seq, 0) and type = any(${[...activityTypes]}::text[])
        order by seq desc
        limit ${limit}
      ) ahead
      where head.seq > coalesce(passed.seq, 0)
      order by ahead.at desc
      limit ${limit}
    ) newest
    order by shard, seq`
}

/** Newest first: by id, descending. One more than the limit where there are more. */
export const selectActivities = (
  sql: Queryable,
  source: ActivitySource,
  filter: ActivityFilter,
  slice: Slice,
): Promise<Activity[]> => {
  const [after] = slice.after ?? []
  const beyond = after === undefined ? sql`` : sql`and a.id < ${String(after)}::uuid`
  const [limit, offset] = [slice.limit + 1, offsetOf(slice)]
  const newest = sql`order by a.id desc limit ${offset + limit}`
  return sql<Activity[]>`
    select
      a.id, a.type, case when u.id is not null then json_build_object('id', u.id, 'name', u.name, 'avatarUrl', ${avatarUrl(sql, 'u')}) end as actor,
      a.project_id as "projectId", a.task_id as "taskId", a.entity_id as "entityId", a.changes, a.override,
      a.created_at as "createdAt"
    from (
      select a.id from (${found(sql, source, filter, sql`${beyond} ${newest}`)}) a
      order by a.id desc limit ${limit} offset ${offset}
    ) page
    join activity a on a.id = page.id
    left join users u on u.id = a.actor_id
    order by a.id desc`
}

export const countActivities = async (
  sql: Queryable,
  source: ActivitySource,
  filter: ActivityFilter,
): Promise<number> => {
  const [row] = await sql<{ count: number }[]>`
    select count(*) as count from (${found(sql, source, filter, sql``)}) a`
  return row!.count
}

/**
 * The ids of the source. @param rest ends each look into an index: it is repeated for each project, and for each type where
 * a filter makes that the order of the index.
 */
const found = (sql: Queryable, source: ActivitySource, filter: ActivityFilter, rest: Fragment): Fragment => {
  const { types, actorId, from, to } = filter
  const range = sql`
    ${from === undefined ? sql`` : sql`and a.id >= ${from}::uuid`}
    ${to === undefined ? sql`` : sql`and a.id < ${to}::uuid`}`
  const ofActor = actorId === undefined ? sql`` : sql`and a.actor_id = ${actorId}`
  const ofTypes = types === undefined ? sql`` : sql`and a.type = any(${types}::text[])`
  // `is not distinct from` is used for the project because no index serves it. With `=`, where the sample of the table
  // missed the task, the planner read the index of the project: 3,300 pages for 20 rows of a project with half a million.
  if (source.kind === 'task')
    return sql`
      select a.id from activity a
      where a.task_id = ${source.taskId} and a.project_id is not distinct from ${source.projectId}
        ${ofActor} ${ofTypes} ${range} ${rest}`
  const probed = types ?? (actorId === undefined ? null : [...activityTypes])
  const probes = probed === null ? sql`` : sql`cross join unnest(${probed}::text[]) probe (type)`
  const ofProbe = probed === null ? sql`` : sql`and a.type = probe.type`
  const ofHomes = sql`
      select a.id from ${homes(sql, source)} ${probes} cross join lateral (
        select a.id from activity a
        where a.project_id = home.project_id ${ofProbe} ${ofActor} ${range} ${rest}
      ) a`
  if (source.kind === 'project') return ofHomes
  return sql`
      ${ofHomes}
      union all
      select a.id from ${foreignShares(sql, source.userId)} cross join lateral (
        select a.id from activity a
        where a.task_id = shared.task_id and a.project_id is not distinct from shared.project_id
          ${ofActor} ${ofTypes} ${range} ${rest}
      ) a`
}

const homes = (sql: Queryable, source: ActivitySource): Fragment =>
  source.kind !== 'own'
    ? sql`(select ${source.projectId}::uuid as project_id) home`
    : sql`
        (
          select m.project_id from members m
          join projects p on p.id = m.project_id and p.archived_at is null
          where m.user_id = ${source.userId}
        ) home`

/** Tasks shared with the user, in projects that are not archived and of which the user is no member. */
const foreignShares = (sql: Queryable, userId: string): Fragment => sql`
        (
          select t.id as task_id, t.project_id
          from shares own
          join tasks t on t.id = own.task_id
          join projects p on p.id = t.project_id and p.archived_at is null
          where own.user_id = ${userId}
            and not exists (select from members m where m.project_id = t.project_id and m.user_id = ${userId})
        ) shared`
