// The members of a project. Every write locks the project's row first, so that one owner always remains; the control
// entry of a removal ends the user's subscriptions before any later entry of the project reaches them.
import type { Tx } from '../../db/client.ts'
import {
  countMembers,
  deleteMember,
  hasOtherOwner,
  insertMember,
  selectMember,
  selectMembers,
  sharesProject,
  updateMemberRole,
  type MemberRow,
} from '../../db/projects/members.ts'
import { updateMemberCount, type ProjectRow } from '../../db/projects/projects.ts'
import { projectScope, userScope } from '../../model/scope.ts'
import { AppError, notFound } from '../../errors.ts'
import { type Entry, type EventType } from '../../model/event.ts'
import type { Member, MemberRole, NewMember } from '../../model/project.ts'
import type { Slice } from '../../model/page.ts'
import { requireNotArchived, requireNotInbox, authorizeProject, lockProjectFor } from '../access.ts'
import { findUser, userNotFound } from '../users/find-user.ts'
import { headsOf, readList, type ListDeps, type ListedAt } from '../list.ts'
import { accessGranted, accessRevoked, projectUpdated } from './project-entries.ts'
import { removeSharesOfPerson } from '../shares/shares.ts'
import { ownSubject, projectSubject } from '../subject.ts'
import { write, type WriteResult, type WriteRequest, type WriteDeps } from '../write.ts'
import type { Actor } from '../../model/actor.ts'

/** In the order they joined. */
export const listMembers = (
  deps: ListDeps,
  actor: Actor,
  projectId: string,
  slice: Slice,
): Promise<ListedAt<Member>> =>
  readList(deps, actor.userId, slice, {
    // Members and roles change with `member.*` in the project's scope, the caller's access also with `access.*` in the
    // caller's own. Name, avatar and address change with `user.updated` in the scope of each member.
    heads: () => headsOf(deps, actor, [projectScope(projectId)]),
    rowHead: ({ userId, userHead }: MemberRow & { userHead: string }) => [userScope(userId), userHead],
    select: async (sql) => {
      await authorizeProject(sql, actor, projectId, 'read')
      return selectMembers(sql, projectId, slice)
    },
    count: (sql) => countMembers(sql, projectId),
    item: (row) => memberFor(actor, row),
    key: (row) => [row.createdAt, row.userId],
  })

/**
 * Adds a person at once; single shares with that person in the project end. 422 `user_not_found`, 409
 * `already_member`, `inbox_fixed`, `project_archived`.
 */
export const addMember = (
  deps: WriteDeps,
  request: WriteRequest<Member>,
  projectId: string,
  input: NewMember,
): Promise<WriteResult<Member>> =>
  write(deps, request, async (tx) => {
    const { actor } = request
    const project = await lockProjectToChange(tx, actor, projectId)
    const userId = await findMemberToBe(tx, actor, input)
    const row = await insertMember(tx, { projectId, userId, role: input.role })
    const after = await updateMemberCount(tx, projectId, 1)
    return {
      value: memberFor(actor, row),
      entries: [
        memberEntry('member.added', projectId, row, null, actor.userId),
        // A member reads the project's tasks as such: a task has no single share with a member.
        ...(await removeSharesOfPerson(tx, projectId, userId, actor.userId)),
        ...projectUpdated(project, after, actor.userId),
        accessGranted(projectId, userId, input.role, actor.userId),
      ],
      cursorScope: projectScope(projectId),
      subject: projectSubject(projectId),
    }
  })

/** Raises the project's version, as every change of its members. 409 `last_owner` where it would be left without one. */
export const changeMember = (
  deps: WriteDeps,
  request: WriteRequest<Member>,
  projectId: string,
  userId: string,
  role: MemberRole,
): Promise<WriteResult<Member>> =>
  write(deps, request, async (tx) => {
    const { actor } = request
    const project = await lockProjectToChange(tx, actor, projectId)
    const before = await selectMember(tx, projectId, userId)
    if (!before) throw notFound()
    if (before.role === role)
      return { value: memberFor(actor, before), entries: [], subject: projectSubject(projectId) }
    await requireOtherOwner(tx, projectId, before)
    await updateMemberRole(tx, { projectId, userId, role })
    const projectAfter = await updateMemberCount(tx, projectId, 0)
    const after = { ...before, role }
    return {
      value: memberFor(actor, after),
      entries: [
        memberEntry('member.updated', projectId, after, before.role, actor.userId),
        ...projectUpdated(project, projectAfter, actor.userId),
        accessGranted(projectId, userId, role, actor.userId),
      ],
      cursorScope: projectScope(projectId),
      subject: projectSubject(projectId),
    }
  })

/**
 * Owners remove any member, every member may leave; also from an archived project. Single shares with that user in the
 * project end too. 409 `last_owner`.
 */
export const removeMember = (
  deps: WriteDeps,
  request: WriteRequest<null>,
  projectId: string,
  userId: string,
): Promise<WriteResult<null>> =>
  write(deps, request, async (tx) => {
    const { actor } = request
    const action = userId === actor.userId ? 'read' : 'manage'
    const { project } = await lockProjectFor(tx, actor, projectId, action)
    requireNotInbox(project)
    const member = await selectMember(tx, projectId, userId)
    if (!member) throw notFound()
    await requireOtherOwner(tx, projectId, member)
    // The revocation comes first: no entry after it reaches that person by the project's scope.
    const [revoked, ...entries] = await dropMember(tx, project, member, actor.userId)
    return {
      value: null,
      entries: [revoked!, ...(await removeSharesOfPerson(tx, projectId, userId, actor.userId)), ...entries],
      cursorScope: projectScope(projectId),
      // Who leaves may read the project no longer because of this very request.
      subject: userId === actor.userId ? ownSubject : projectSubject(projectId),
    }
  })

/** Adding people and changing their role: for owners, not in an Inbox and not in an archived project. */
const lockProjectToChange = async (tx: Tx, actor: Actor, projectId: string): Promise<ProjectRow> => {
  const { project } = await lockProjectFor(tx, actor, projectId, 'manage')
  requireNotInbox(project)
  requireNotArchived(project)
  return project
}

/** Deletes a member of a locked project, without authorization, and returns the entries. */
export const dropMember = async (
  tx: Tx,
  project: ProjectRow,
  { userId, role }: Pick<Member, 'userId' | 'role'>,
  actorId: string,
): Promise<Entry[]> => {
  await deleteMember(tx, project.id, userId)
  const after = await updateMemberCount(tx, project.id, -1)
  return [
    {
      scope: projectScope(project.id),
      type: 'member.removed',
      id: userId,
      data: { userId },
      actorId,
      control: { kind: 'revoke', userId },
      changes: { role: { from: role, to: null } },
    },
    ...projectUpdated(project, after, actorId),
    accessRevoked(project.id, userId, actorId),
  ]
}

/** An id names only a person the actor shares a project with, so that ids cannot be tried out. Admins see all people. */
const findMemberToBe = async (tx: Tx, actor: Actor, input: NewMember): Promise<string> => {
  const userId = await findUser(tx, input)
  if (input.userId === undefined || actor.role === 'admin') return userId
  if (await sharesProject(tx, actor.userId, userId)) return userId
  throw userNotFound('/userId')
}

/** The row as an actor may see it: `email` is for admins. */
export const memberFor = (actor: Pick<Actor, 'role'>, row: MemberRow): Member =>
  actor.role === 'admin' ? { ...toMember(row), email: row.email } : toMember(row)

/** The row as all members may see it, and so the log. */
export const toMember = ({ userId, name, avatarUrl, role, createdAt }: MemberRow): Member => ({
  userId,
  name,
  avatarUrl,
  role,
  createdAt,
})

const requireOtherOwner = async (
  tx: Tx,
  projectId: string,
  member: Pick<Member, 'role' | 'userId'>,
): Promise<void> => {
  if (member.role === 'owner' && !(await hasOtherOwner(tx, projectId, member.userId)))
    throw new AppError('last_owner')
}

const memberEntry = (
  type: EventType,
  projectId: string,
  member: MemberRow,
  roleBefore: MemberRole | null,
  actorId: string,
): Entry => ({
  scope: projectScope(projectId),
  type,
  id: member.userId,
  data: toMember(member),
  ...(roleBefore !== null && { changed: ['role'] }),
  changes: { role: { from: roleBefore, to: member.role } },
  actorId,
})
