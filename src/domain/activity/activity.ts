// Reading activity. Who can read a project now reads what happened in it, also to tasks that were deleted or have left it;
// whom a task is shared with, or who reads it in another project now, reads what happened to it in its present project.
import { heavy, type Queryable } from '../../db/client.ts'
import {
  countActivities,
  insertActivities,
  selectActivities,
  selectMissing,
  selectUnlisted,
  type ActivityFilter,
  type ActivitySource,
  type NewActivity,
} from '../../db/activity/activity.ts'
import { selectTaskAccess } from '../../db/tasks/shares.ts'
import type { Activity, ActivityType } from '../../model/activity.ts'
import type { Actor } from '../../model/actor.ts'
import { listed, type Slice } from '../../model/page.ts'
import { authorizeProject, authorizeTask } from '../access.ts'
import { can } from '../actor.ts'
import type { ListDeps, ListedAt } from '../list.ts'
import { activityOf, firstIdFrom } from './rows.ts'

/** Entries a read makes rows of, where the worker has not yet: a worker that was away makes the rest. */
const maxUnlisted = 200

export interface ActivityQuery {
  projectId?: string | undefined
  taskId?: string | undefined
  actorId?: string | undefined
  types?: ActivityType[] | undefined
  /** Instants; inclusive. */
  after?: string | undefined
  /** Exclusive. */
  before?: string | undefined
}

/**
 * Newest first: of a project or a task (404 where the actor may not read it), or of all projects that are not archived
 * and all shares the actor has.
 */
export const listActivity = async (
  { db }: Pick<ListDeps, 'db'>,
  actor: Actor,
  query: ActivityQuery,
  slice: Slice,
): Promise<ListedAt<Activity>> => {
  const { actorId, types, after, before } = query
  const filter: ActivityFilter = {
    actorId,
    types,
    from: after && firstIdFrom(after),
    to: before && firstIdFrom(before),
  }
  const isWide = query.projectId === undefined && query.taskId === undefined
  const calls = db.of(actor.userId)
  // The total of a numbered page is of the same moment as its rows.
  const read = <T>(work: (sql: Queryable) => Promise<T>): Promise<T> =>
    slice.page === null ? calls.read(work, isWide ? heavy : {}) : calls.snapshot(work, heavy)
  const list = async (sql: Queryable, source: ActivitySource): Promise<ListedAt<Activity>> => {
    const rows = await selectActivities(sql, source, filter, slice)
    const total = slice.page === null ? null : await countActivities(sql, source, filter)
    const page = listed(rows, slice.limit, { item: (row) => row, key: ({ id }) => [id] })
    // Not kept: rows of reads by the right of admins are added without an entry.
    return { ...page, total, heads: null }
  }
  // A read shows every write that was answered before it. The id of a row follows from its entry, so that the worker,
  // which comes to the same entries, adds nothing.
  let missing: NewActivity[] = []
  const complete = await read(async (sql) => {
    const source = await sourceOf(sql, actor, query)
    const unlisted = await selectUnlisted(sql, source, maxUnlisted)
    // Without a worker the entries stay unlisted: reads that find their rows write nothing.
    missing = await selectMissing(
      sql,
      unlisted.flatMap((entry) => activityOf(entry) ?? []),
    )
    return missing.length === 0 ? list(sql, source) : null
  })
  if (complete) return complete
  await calls.transact((tx) => insertActivities(tx, missing))
  return read(async (sql) => list(sql, await sourceOf(sql, actor, query)))
}

const sourceOf = async (
  sql: Queryable,
  actor: Actor,
  { projectId, taskId }: ActivityQuery,
): Promise<ActivitySource> => {
  if (taskId === undefined) {
    if (projectId === undefined) return { kind: 'own', userId: actor.userId }
    await authorizeProject(sql, actor, projectId, 'read')
    return { kind: 'project', projectId }
  }
  if (projectId === undefined) {
    const access = await authorizeTask(sql, actor, taskId, 'read')
    return { kind: 'task', taskId, projectId: access.projectId }
  }
  // A member of the project also reads of tasks that are not in it any more.
  const access = await selectTaskAccess(sql, actor.userId, taskId)
  const isHere = access?.projectId === projectId && access.share !== null && can(actor, access, 'read')
  if (!isHere) await authorizeProject(sql, actor, projectId, 'read')
  return { kind: 'task', taskId, projectId }
}
