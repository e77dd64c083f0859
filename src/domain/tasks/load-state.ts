// Locks and reads what a batch of writes needs, and stores what its members decided. About four statements each,
// however many members there are.
import type { Tx } from '../../db/client.ts'
import { insertComments, selectAuthors } from '../../db/comments/comments.ts'
import {
  lockProjects,
  lockTasksWithSubtrees,
  selectAncestors,
  selectHomes,
  selectMembershipsByHome,
  selectMembershipsByTask,
  selectTasksForWrite,
  type Home,
  type LockMode,
  type ProjectLock,
} from '../../db/tasks/task-loads.ts'
import {
  deleteTasks,
  insertTasks,
  selectTakenIds,
  selectTombstones,
  updateTasks,
} from '../../db/tasks/tasks.ts'
import { AppError } from '../../errors.ts'
import type { HomeNeed, TaskNeeds } from './task-needs.ts'
import type { Locks } from './loaded-rows.ts'
import { homeKey, memberKey, TaskState } from './task-state.ts'

/** Trees to lock, and the tasks whose subtrees change. */
export interface TreeLocks {
  projects: Set<string>
  roots: Set<string>
}

/** Whether the trees to lock are only known once the tasks or the project have been read. */
export const hasTrees = ({ trees, homes }: TaskNeeds): boolean =>
  trees.length > 0 || homes.some(({ isTreeWanted }) => isTreeWanted !== null)

/** The trees that a write locks. @param seen read without locks. May throw the AppError that ends the request. */
export const treesOf = (seen: TaskState, { trees, homes }: TaskNeeds): TreeLocks => {
  const locks: TreeLocks = { projects: new Set(), roots: new Set() }
  for (const { userId, projectId, isTreeWanted } of homes) {
    const home = isTreeWanted && seen.home(userId, projectId)
    if (home && isTreeWanted(home)) locks.projects.add(home.projectId)
  }
  for (const { userId, taskId, isWanted } of trees) {
    const access = seen.access(userId, taskId)
    if (!isWanted(access)) continue
    locks.projects.add(access!.task.projectId)
    locks.roots.add(taskId)
  }
  return locks
}

const noTrees: TreeLocks = { projects: new Set(), roots: new Set() }

const byKey = <T>(values: T[], keyOf: (value: T) => string): T[] => [
  ...new Map(values.map((value) => [keyOf(value), value])).values(),
]

/** No statement for nothing. */
const some = <T, R>(values: T[], run: (values: T[]) => Promise<R[]>): Promise<R[]> =>
  values.length > 0 ? run(values) : Promise.resolve([])

/** Reads what decides which trees to lock. Locks nothing. */
export const readState = (tx: Tx, needs: TaskNeeds): Promise<TaskState> => load(tx, needs, noTrees, null)

/** Locks and reads. The statements are sent together and run in order: each read takes its snapshot after the locks. */
export const lockAndReadState = (
  tx: Tx,
  needs: TaskNeeds,
  trees: TreeLocks,
  mode: LockMode,
): Promise<TaskState> => load(tx, needs, trees, mode)

const projectLocks = (homes: HomeNeed[], trees: ReadonlySet<string>): ProjectLock[] => {
  const ids = new Set(trees)
  for (const { projectId } of homes) if (projectId !== null) ids.add(projectId)
  return [...ids].map((id) => ({ id, tree: trees.has(id) }))
}

const load = async (
  tx: Tx,
  needs: TaskNeeds,
  trees: TreeLocks,
  mode: LockMode | null,
): Promise<TaskState> => {
  const homes = byKey(needs.homes, ({ userId, projectId }) => homeKey(userId, projectId))
  const taskUsers = byKey(needs.taskUsers, ({ taskId, userId }) => `${taskId} ${userId}`)
  const homeUsers = byKey(
    needs.homeUsers.map(({ home, userId }) => ({
      creatorId: home.userId,
      projectId: home.projectId,
      userId,
    })),
    ({ creatorId, projectId, userId }) => `${homeKey(creatorId, projectId)} ${userId}`,
  )
  const roots = [...trees.roots]
  const { tasks: ids, parents, newIds, authors: authorIds } = needs
  const locks = mode === null ? [] : projectLocks(homes, trees.projects)
  const [lockedProjects, lockedTasks, homeRows, tasks, ofTasks, ofHomes, ancestors, taken, authors] =
    await Promise.all([
      some(locks, (all) => lockProjects(tx, all, mode!)),
      mode === null ? [] : some(ids, (all) => lockTasksWithSubtrees(tx, all, roots, mode)),
      some(homes, (all) => selectHomes(tx, all)),
      some(ids, (all) => selectTasksForWrite(tx, all, roots)),
      some(taskUsers, (all) => selectMembershipsByTask(tx, all)),
      some(homeUsers, (all) => selectMembershipsByHome(tx, all)),
      some(parents, (all) => selectAncestors(tx, all)),
      some(newIds, (all) => selectTakenIds(tx, all)),
      some(authorIds, (all) => selectAuthors(tx, all)),
    ])
  const homesByKey = new Map(homeRows.map((home) => [homeKey(home.userId, home.givenId), home]))
  const projectOf = new Map(tasks.map(({ task }) => [task.id, task.projectId]))
  const memberships = new Map<string, Home['member']>()
  const expect = (projectId: string | undefined, userId: string): void => {
    if (projectId !== undefined) memberships.set(memberKey(projectId, userId), null)
  }
  for (const { taskId, userId } of taskUsers) expect(projectOf.get(taskId), userId)
  for (const { creatorId, projectId, userId } of homeUsers)
    expect(homesByKey.get(homeKey(creatorId, projectId))?.projectId, userId)
  for (const { projectId, userId, member } of homeRows) memberships.set(memberKey(projectId, userId), member)
  for (const { projectId, userId, role } of [...ofTasks, ...ofHomes])
    memberships.set(memberKey(projectId, userId), role)
  const held: Omit<Locks, 'mode'> = {
    projects: new Set(lockedProjects),
    trees: trees.projects,
    tasks: new Set(lockedTasks),
  }
  return new TaskState({
    homes: new Map(
      homes.map(({ userId, projectId }) => {
        const key = homeKey(userId, projectId)
        return [key, homesByKey.get(key) ?? null]
      }),
    ),
    taskIds: new Set(ids),
    tasks,
    memberships,
    parentIds: new Set(parents),
    ancestors,
    newIds: new Set(newIds),
    takenIds: new Set(taken),
    authors: new Map(authorIds.map((id) => [id, authors.find((one) => one.id === id) ?? null])),
    roots,
    locks: mode === null ? null : { mode, ...held },
  })
}

/**
 * Sends the statements that store what was decided. Resolves once they were sent, or, where a client chose an id, once it
 * is known that the id is free: a deletion that was in flight may have left a tombstone that no earlier statement saw.
 * Errors of statements that were only sent reject `sent`.
 */
export const storeState = async (
  tx: Tx,
  state: TaskState,
  newIds: string[],
): Promise<{ sent: Promise<unknown> }> => {
  const { inserted, rewritten, updated, deleted, comments } = state.changes()
  const chosen = new Set(newIds)
  const checked = inserted.map(({ task }) => task.id).filter((id) => chosen.has(id))
  const sent = Promise.all([
    some(inserted, async (all) => {
      await insertTasks(tx, all)
      return []
    }),
    updateTasks(tx, rewritten, true),
    updateTasks(tx, updated, false),
    comments.length > 0 ? insertComments(tx, comments) : undefined, // after the tasks they refer to
    deleted.length > 0 ? deleteTasks(tx, deleted) : undefined,
  ])
  if (checked.length === 0) return { sent }
  const [tombstones] = await Promise.all([selectTombstones(tx, checked), sent])
  if (tombstones.length > 0) throw new AppError('id_taken')
  return { sent }
}
