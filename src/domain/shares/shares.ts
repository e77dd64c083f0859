// Tasks shared with single users. Every write locks the task's row first, so that the recipients of the task's entries
// are current; each change is an entry of the task's project and of the user it is shared with.
import {
  countShares,
  deleteShare,
  deleteSharesWith,
  insertShare,
  lockTasksSharedWith,
  selectShare,
  selectShares,
  updateSharePermission,
  type TaskAccessRow,
} from '../../db/tasks/shares.ts'
import { selectMember } from '../../db/projects/members.ts'
import { lockProjectForInsert, lockTasks } from '../../db/tasks/tasks.ts'
import type { Tx } from '../../db/client.ts'
import { projectScope, userScope, type Scope } from '../../model/scope.ts'
import { AppError, invalid, notFound } from '../../errors.ts'
import type { Entry } from '../../model/event.ts'
import type { Slice } from '../../model/page.ts'
import type { NewShare, Share } from '../../model/task.ts'
import { requireNotArchived, authorizeTask } from '../access.ts'
import { findUser } from '../users/find-user.ts'
import { withoutUserHead, type ListDeps, type ListedAt } from '../list.ts'
import { readListOfTask } from '../tasks/list-of-task.ts'
import { movedConcurrently } from '../tasks/task-decisions.ts'
import { taskSubject, type Subject } from '../subject.ts'
import { write, type WriteResult, type WriteRequest, type WriteDeps } from '../write.ts'
import type { Actor } from '../../model/actor.ts'

/** How many users one task may be shared with. */
export const maxShares = 20

/** In the order of creation, for all who may read the task. */
export const listShares = (
  deps: ListDeps,
  actor: Actor,
  taskId: string,
  slice: Slice,
): Promise<ListedAt<Share>> =>
  readListOfTask(deps, actor, taskId, slice, {
    select: (sql) => selectShares(sql, taskId, slice),
    // Name and avatar change with `user.updated` in the scope of each user.
    rowHead: ({ userId, userHead }) => [userScope(userId), userHead],
    count: (sql) => countShares(sql, taskId),
    item: withoutUserHead,
    key: (row) => [row.createdAt, row.userId],
  })

/** 422 `user_not_found` or past `maxShares`, 409 `already_member`, `already_shared`, `project_archived`. */
export const addShare = (
  deps: WriteDeps,
  request: WriteRequest<Share>,
  taskId: string,
  input: NewShare,
): Promise<WriteResult<Share>> =>
  write(deps, request, async (tx) => {
    const { actor } = request
    const { projectId } = await authorizeTask(tx, actor, taskId, 'share')
    await lockProjectForInsert(tx, projectId) // until COMMIT its members do not change
    const access = await lockTaskToShare(tx, actor, taskId)
    if (access.projectId !== projectId) throw movedConcurrently()
    requireNotArchived(access)
    const userId = await findUser(tx, input)
    if (await selectMember(tx, projectId, userId)) throw new AppError('already_member')
    const share = await insertShare(tx, { taskId, userId, permission: input.permission })
    if ((await countShares(tx, taskId)) > maxShares)
      throw invalid({ pointer: '', detail: `would share the task with more than ${maxShares} people` })
    return {
      value: share,
      entries: scopesOf(access, userId).map((scope) => shareAdded(scope, share, null, actor.userId)),
      cursorScope: projectScope(access.projectId),
      subject: subjectOf(access),
    }
  })

/** Logged as another `share.added`, which replaces the earlier one. */
export const changeShare = (
  deps: WriteDeps,
  request: WriteRequest<Share>,
  taskId: string,
  userId: string,
  permission: Share['permission'],
): Promise<WriteResult<Share>> =>
  write(deps, request, async (tx) => {
    const { actor } = request
    const access = await lockTaskToShare(tx, actor, taskId)
    requireNotArchived(access)
    const before = await selectShare(tx, taskId, userId)
    if (!before) throw notFound()
    if (before.permission === permission) return { value: before, entries: [], subject: subjectOf(access) }
    await updateSharePermission(tx, { taskId, userId, permission })
    const after = { ...before, permission }
    return {
      value: after,
      entries: scopesOf(access, userId).map((scope) =>
        shareAdded(scope, after, before.permission, actor.userId),
      ),
      cursorScope: projectScope(access.projectId),
      subject: subjectOf(access),
    }
  })

/** Also in an archived project: access can always be taken away. */
export const removeShare = (
  deps: WriteDeps,
  request: WriteRequest<null>,
  taskId: string,
  userId: string,
): Promise<WriteResult<null>> =>
  write(deps, request, async (tx) => {
    const { actor } = request
    const access = await lockTaskToShare(tx, actor, taskId)
    const share = await selectShare(tx, taskId, userId)
    if (!share) throw notFound()
    await deleteShare(tx, taskId, userId)
    return {
      value: null,
      entries: scopesOf(access, userId).map((scope) => shareRemoved(scope, share, actor.userId)),
      cursorScope: projectScope(access.projectId),
      subject: subjectOf(access),
    }
  })

/**
 * Ends every share of a project's tasks with a user who joins or leaves it, and returns the entries. The project must be
 * locked for update: no task moves in or out and no share of its tasks is added.
 */
export const removeSharesOfPerson = async (
  tx: Tx,
  projectId: string,
  userId: string,
  actorId: string,
): Promise<Entry[]> => {
  const taskIds = await lockTasksSharedWith(tx, projectId, userId)
  const shares = await deleteSharesWith(tx, taskIds, [userId])
  return shares.flatMap((share) =>
    scopesOf({ projectId }, userId).map((scope) => shareRemoved(scope, share, actorId)),
  )
}

const lockTaskToShare = async (tx: Tx, actor: Actor, taskId: string): Promise<TaskAccessRow> => {
  await lockTasks(tx, [taskId])
  return authorizeTask(tx, actor, taskId, 'share')
}

const subjectOf = ({ taskId, projectId }: TaskAccessRow): Subject => taskSubject({ id: taskId, projectId })

const scopesOf = ({ projectId }: Pick<TaskAccessRow, 'projectId'>, userId: string): Scope[] => [
  projectScope(projectId),
  userScope(userId),
]

const shareAdded = (
  scope: Scope,
  share: Share,
  before: Share['permission'] | null,
  actorId: string,
): Entry => ({
  scope,
  type: 'share.added',
  id: share.taskId,
  data: share,
  ...(before !== null && { changed: ['permission'] }),
  changes: {
    ...(before === null && { userId: { from: null, to: share.userId } }),
    permission: { from: before, to: share.permission },
  },
  actorId,
})

/** The end of a share, as an entry of one scope. */
export const shareRemoved = (
  scope: Scope,
  { taskId, userId, permission }: Pick<Share, 'taskId' | 'userId' | 'permission'>,
  actorId: string,
): Entry => ({
  scope,
  type: 'share.removed',
  id: taskId,
  data: { taskId, userId },
  changes: { userId: { from: userId, to: null }, permission: { from: permission, to: null } },
  actorId,
})
