// Deleting an account, by its owner or by an admin. Projects without other members are deleted with it; shared ones stay,
// without its name. Every scope in which something changed gets its entries, and every process drops the account's
// tokens and sockets.
import type { Tx } from '../../db/client.ts'
import { releaseComments } from '../../db/comments/comments.ts'
import { hasOtherOwner, selectMember } from '../../db/projects/members.ts'
import { lockProject, type ProjectRow } from '../../db/projects/projects.ts'
import { lockTasks, selectLockedTasks, type LockedTaskRow } from '../../db/tasks/tasks.ts'
import { releaseTasks, selectProjectIdsOf, selectTaskIdsNaming } from '../../db/users/account.ts'
import { deleteUser, selectCredentialsById, type Credentials } from '../../db/users/users.ts'
import { commentUpdated } from '../comments/comment-entries.ts'
import { dropMember } from '../projects/members.ts'
import { dissolveProject } from '../projects/projects.ts'
import { shareRemoved } from '../shares/shares.ts'
import { taskUpdated } from '../tasks/task-effects.ts'
import { ownSubject } from '../subject.ts'
import { lockAdmins, requireOtherAdmin } from './last-admin.ts'
import { controlEntry } from './sessions.ts'
import { requirePassword, lockUnchangedAccount, type UserDeps } from './users.ts'
import { write, type WriteDeps, type WriteRequest, type WriteResult } from '../write.ts'
import { AppError, notFound } from '../../errors.ts'
import { projectScope, userScope } from '../../model/scope.ts'
import type { Actor } from '../../model/actor.ts'
import type { Comment } from '../../model/comment.ts'
import type { Entry } from '../../model/event.ts'
import type { MemberRole } from '../../model/project.ts'
import type { Task } from '../../model/task.ts'

/** Deletes whole projects, of up to tens of thousands of tasks. */
const deadlineMs = 25_000

interface OwnedMembership {
  project: ProjectRow
  role: MemberRole
  hasOtherOwner: boolean
}

/** Of the actor, without a claim: it would go with the account. 422 for a wrong password; otherwise as `removeAccount`. */
export const deleteAccount = async (
  deps: UserDeps,
  actor: Actor,
  password: string,
): Promise<WriteResult<null>> => {
  const seen = await requirePassword(deps, actor.userId, password, { pointer: '/password' })
  return removeAccount(deps, { actor, claim: null }, actor.userId, seen)
}

/**
 * 404; 409 `sole_owner` with the projects that would be left without an owner, 409 `last_admin`.
 * @param seen the account for which something was checked before; null where nothing was.
 */
export const removeAccount = (
  deps: WriteDeps,
  request: WriteRequest<null>,
  userId: string,
  seen: Credentials | null,
): Promise<WriteResult<null>> =>
  write(
    deps,
    request,
    async (tx) => {
      const actorId = request.actor.userId
      const account = seen ?? (await selectCredentialsById(tx, userId))
      if (!account) throw notFound()
      if (account.user.role === 'admin') await lockAdmins(tx)
      const memberships = await lockMemberships(tx, userId)
      requireNoSoleOwnership(memberships)
      const [alone, shared] = [memberships.filter(isAlone), memberships.filter((one) => !isAlone(one))]
      const goneIds = alone.map(({ project }) => project.id)
      const taskIds = await selectTaskIdsNaming(tx, userId, goneIds)
      await lockTasks(tx, taskIds)
      const { user, isDisabled } = await lockUnchangedAccount(tx, userId, seen)
      if (user.role !== account.user.role) throw changedMeanwhile()
      if (user.role === 'admin' && !isDisabled) await requireOtherAdmin(tx, userId)
      // From here no new row can name the account; rows that were added since the locks were taken are a conflict.
      await requireComplete(tx, userId, memberships, goneIds, taskIds)
      const entries = [
        ...(await releaseFrom(tx, userId, taskIds, actorId)),
        ...(await inSequence(alone, ({ project }) => dissolveProject(tx, project, actorId))),
        ...(await inSequence(shared, ({ project, role }) =>
          dropMember(tx, project, { userId, role }, actorId),
        )),
        controlEntry(userId, { kind: 'disabled' }, actorId),
      ]
      await deleteUser(tx, userId)
      return { value: null, entries, cursorScope: userScope(userId), subject: ownSubject }
    },
    { deadlineMs },
  )

const isAlone = ({ project }: OwnedMembership): boolean => project.memberCount === 1

/** Every project of which the user is a member, locked by ascending id. */
const lockMemberships = async (tx: Tx, userId: string): Promise<OwnedMembership[]> => {
  const memberships: OwnedMembership[] = []
  for (const id of await selectProjectIdsOf(tx, userId)) {
    const project = await lockProject(tx, id)
    const member = project && (await selectMember(tx, id, userId))
    if (!member) continue
    memberships.push({ project, role: member.role, hasOtherOwner: await hasOtherOwner(tx, id, userId) })
  }
  return memberships
}

const requireNoSoleOwnership = (memberships: OwnedMembership[]): void => {
  const projects = memberships
    .filter((one) => one.role === 'owner' && !one.hasOtherOwner && !isAlone(one))
    .map(({ project: { id, name } }) => ({ id, name }))
  if (projects.length > 0) throw new AppError('sole_owner', undefined, { extra: { projects } })
}

const requireComplete = async (
  tx: Tx,
  userId: string,
  memberships: OwnedMembership[],
  goneIds: string[],
  taskIds: string[],
): Promise<void> => {
  const locked = new Set([...memberships.map(({ project }) => project.id), ...taskIds])
  const named = [
    ...(await selectProjectIdsOf(tx, userId)),
    ...(await selectTaskIdsNaming(tx, userId, goneIds)),
  ]
  if (!named.every((id) => locked.has(id))) throw changedMeanwhile()
}

const changedMeanwhile = (): AppError =>
  new AppError('conflict', 'The account changed while it was deleted; try again')

/** Removes the user from locked tasks that stay. */
const releaseFrom = async (tx: Tx, userId: string, ids: string[], actorId: string): Promise<Entry[]> => {
  const held = new Map((await selectLockedTasks(tx, userId, ids)).map((row) => [row.task.id, row]))
  const released = await releaseTasks(tx, userId, ids)
  const comments = await releaseComments(tx, userId, ids)
  return [
    ...released.flatMap((after) => taskReleased(held.get(after.id)!, after, userId, actorId)),
    ...comments.flatMap((comment) => commentReleased(held.get(comment.taskId)!, comment, userId, actorId)),
    ...[...held.values()].flatMap(({ task, share }) =>
      share === null
        ? []
        : [
            shareRemoved(
              projectScope(task.projectId),
              { taskId: task.id, userId, permission: share },
              actorId,
            ),
          ],
    ),
  ]
}

/** The entries of a comment that lost its author; its content, and so its content version, stays. */
const commentReleased = (
  { task: { projectId }, sharees }: LockedTaskRow,
  comment: Comment,
  userId: string,
  actorId: string,
): Entry[] => {
  const others = sharees.filter((sharee) => sharee !== userId)
  const changes = { author: { from: userId, to: null } }
  return commentUpdated({ projectId, sharees: others }, comment, changes, actorId)
}

/** The entries of an update that, unlike any other, may change the creator. */
const taskReleased = (
  { task, sharees }: LockedTaskRow,
  after: Task,
  userId: string,
  actorId: string,
): Entry[] => {
  const others = sharees.filter((sharee) => sharee !== userId)
  const entries = taskUpdated(task, after, others, actorId)
  if (task.creatorId === after.creatorId) return entries
  return entries.map((entry) => ({
    ...entry,
    changed: [...(entry.changed ?? []), 'creatorId'],
    changes: { ...entry.changes, creatorId: { from: task.creatorId, to: null } },
  }))
}

const inSequence = async <T>(items: T[], work: (item: T) => Promise<Entry[]>): Promise<Entry[]> => {
  const entries: Entry[] = []
  for (const item of items) entries.push(...(await work(item)))
  return entries
}
