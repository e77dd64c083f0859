// What a batch of writes locks and reads, for many requests at once: one statement a kind of row, however many requests
// there are. Invariant: locks are taken first, in statements of their own, projects before tasks, each by ascending id;
// what the writes depend on is read after them.
import type { MemberRole } from '../../model/project.ts'
import type { Task } from '../../model/task.ts'
import type { Queryable, Tx } from '../client.ts'
import { taskColumns } from './task-columns.ts'
import type { StoredTask } from './tasks.ts'

/** `skip` leaves out rows that another transaction has locked, `wait` waits for them. */
export type LockMode = 'skip' | 'wait'

const ending = (sql: Queryable, mode: LockMode) => (mode === 'skip' ? sql`skip locked` : sql``)

/** A project to lock. */
export interface ProjectLock {
  id: string
  /** Whether its tree changes; otherwise tasks are created in it, and others may do so as well. */
  tree: boolean
}

/**
 * Locks projects by ascending id and returns those it has locked. Consecutive ids with the same mode share a statement:
 * one for all where none or all of the trees change.
 */
export const lockProjects = async (tx: Tx, locks: ProjectLock[], mode: LockMode): Promise<string[]> => {
  const runs: { tree: boolean; ids: string[] }[] = []
  for (const { id, tree } of locks.toSorted((a, b) => (a.id < b.id ? -1 : 1))) {
    if (runs.at(-1)?.tree === tree) runs.at(-1)!.ids.push(id)
    else runs.push({ tree, ids: [id] })
  }
  const locked = await Promise.all(
    runs.map(
      ({ tree, ids }) => tx<{ id: string }[]>`
        select id from projects
        where id = any(${ids}::uuid[])
        order by id
        for ${tree ? tx`no key update` : tx`key share`} ${ending(tx, mode)}`,
    ),
  )
  return locked.flat().map(({ id }) => id)
}

/** The ids, and those of all tasks below the roots. Roots are in trees that are locked, or the result may be stale. */
const withSubtrees = (sql: Queryable, ids: string[], roots: string[]) =>
  roots.length === 0
    ? sql`${ids}::uuid[]`
    : sql`array(
        with recursive below as (
          select id from tasks where id = any(${roots}::uuid[])
          union
          select t.id from below join tasks t on t.parent_id = below.id
        )
        select id from below
        union
        select unnest(${ids}::uuid[]))`

/** Locks the tasks that exist, with the subtrees of `roots`, by ascending id, and returns those it has locked. */
export const lockTasksWithSubtrees = async (
  tx: Tx,
  ids: string[],
  roots: string[],
  mode: LockMode,
): Promise<string[]> => {
  const rows = await tx<{ id: string }[]>`
    select id from tasks
    where id = any(${withSubtrees(tx, ids, roots)})
    order by id
    for no key update ${ending(tx, mode)}`
  return rows.map(({ id }) => id)
}

/** A task as a batch reads it. */
export interface LoadedTask extends StoredTask {
  /** When its project was archived. */
  archivedAt: string | null
  /** Permissions by user, in the order of their ids. */
  shares: Map<string, 'view' | 'edit'>
  /** When the row was read, by the database's clock. */
  readAt: string
}

type FlatTask = Task & Omit<LoadedTask, 'task' | 'shares'> & { shares: string[] }

const uuidLength = 36

const isPermission = (text: string): text is 'view' | 'edit' => text === 'view' || text === 'edit'

/** The tasks that exist, with the subtrees of `roots`. */
export const selectTasksForWrite = async (
  sql: Queryable,
  ids: string[],
  roots: string[],
): Promise<LoadedTask[]> => {
  const rows = await sql<FlatTask[]>`
    select ${taskColumns(sql)}, t.content_version as "contentVersion", t.due_rev as "dueRev",
      p.archived_at as "archivedAt", statement_timestamp()::timestamptz(3) as "readAt",
      array(select s.user_id || s.permission from shares s where s.task_id = t.id order by s.user_id) as shares
    from tasks t
    join projects p on p.id = t.project_id
    where t.id = any(${withSubtrees(sql, ids, roots)})`
  return rows.map(({ contentVersion, dueRev, archivedAt, readAt, shares, ...task }) => ({
    task,
    contentVersion,
    dueRev,
    archivedAt,
    readAt,
    shares: new Map(
      shares.flatMap((text): [string, 'view' | 'edit'][] => {
        const permission = text.slice(uuidLength)
        return isPermission(permission) ? [[text.slice(0, uuidLength), permission]] : []
      }),
    ),
  }))
}

/** A project in which a user creates tasks. */
export interface Home {
  userId: string
  /** Null for that user's Inbox. */
  givenId: string | null
  projectId: string
  archivedAt: string | null
  member: MemberRole | null
  /** The rank of the project's last task. */
  lastRank: string | null
  readAt: string
}

/** The projects that exist. @param pairs users, each with a project or, for null, its Inbox. */
export const selectHomes = (
  sql: Queryable,
  pairs: { userId: string; projectId: string | null }[],
): Promise<Home[]> => sql<Home[]>`
  select i.user_id as "userId", i.project_id as "givenId", p.id as "projectId", p.archived_at as "archivedAt",
    m.role as member, statement_timestamp()::timestamptz(3) as "readAt",
    (select t.rank from tasks t where t.project_id = p.id order by t.rank desc, t.id desc limit 1) as "lastRank"
  from unnest(${pairs.map(({ userId }) => userId)}::uuid[], ${pairs.map(({ projectId }) => projectId)}::uuid[])
    as i (user_id, project_id)
  join projects p on p.id = coalesce(i.project_id, (select id from projects where inbox_of = i.user_id))
  left join members m on m.project_id = p.id and m.user_id = i.user_id`

export interface Membership {
  projectId: string
  userId: string
  role: MemberRole
}

/** Memberships of users in the projects of tasks. */
export const selectMembershipsByTask = (
  sql: Queryable,
  pairs: { taskId: string; userId: string }[],
): Promise<Membership[]> => sql<Membership[]>`
  select m.project_id as "projectId", m.user_id as "userId", m.role
  from unnest(${pairs.map(({ taskId }) => taskId)}::uuid[], ${pairs.map(({ userId }) => userId)}::uuid[])
    as i (task_id, user_id)
  join tasks t on t.id = i.task_id
  join members m on m.project_id = t.project_id and m.user_id = i.user_id`

/** Memberships of users in the homes of creators. @param pairs `projectId` null for the creator's Inbox. */
export const selectMembershipsByHome = (
  sql: Queryable,
  pairs: { creatorId: string; projectId: string | null; userId: string }[],
): Promise<Membership[]> => sql<Membership[]>`
  select m.project_id as "projectId", m.user_id as "userId", m.role
  from unnest(
    ${pairs.map(({ creatorId }) => creatorId)}::uuid[], ${pairs.map(({ projectId }) => projectId)}::uuid[],
    ${pairs.map(({ userId }) => userId)}::uuid[]) as i (creator_id, project_id, user_id)
  join members m on m.user_id = i.user_id
    and m.project_id = coalesce(i.project_id, (select id from projects where inbox_of = i.creator_id))`

/** A task's place in its tree. */
export interface TreeNode {
  id: string
  parentId: string | null
  projectId: string
}

/** The tasks that exist with everything above them. */
export const selectAncestors = (sql: Queryable, ids: string[]): Promise<TreeNode[]> => sql<TreeNode[]>`
  with recursive above as (
    select id, parent_id, project_id from tasks where id = any(${ids}::uuid[])
    union
    select t.id, t.parent_id, t.project_id from above join tasks t on t.id = above.parent_id
  )
  select id, parent_id as "parentId", project_id as "projectId" from above`
