// Projects: creating, changing, archiving and deleting them. Every write locks the project's row first; a project's
// deletion is the last entry of its scope.
import type { Tx } from '../../db/client.ts'
import { insertMember, selectMemberIds } from '../../db/projects/members.ts'
import { selectReadableHeads } from '../../db/log/scope-heads.ts'
import type { Reads } from '../../db/reads.ts'
import {
  countProjects,
  deleteProject as deleteProjectRows,
  insertProject,
  selectProjects,
  updateArchived,
  updateProject as updateProjectRow,
  type ProjectRow,
} from '../../db/projects/projects.ts'
import { projectScope, userScope } from '../../model/scope.ts'
import { lockProjectTasks, selectSharesOfProject } from '../../db/tasks/shares.ts'
import type { Entry } from '../../model/event.ts'
import {
  toColor,
  type MemberRole,
  type NewProject,
  type Project,
  type ProjectPatch,
} from '../../model/project.ts'
import type { Slice } from '../../model/page.ts'
import { newId } from '../../model/scalar.ts'
import { canonicalText, composedText } from '../../model/text-form.ts'
import { requireNotArchived, requireNotInbox, lockProjectFor } from '../access.ts'
import { authorize, effectiveRole } from '../actor.ts'
import { maxScopes, readList, type ListedAt } from '../list.ts'
import {
  accessGranted,
  accessRevoked,
  changesOf,
  projectCreated,
  projectUpdated,
  toEntry,
  writable,
} from './project-entries.ts'
import { shareRemoved } from '../shares/shares.ts'
import { ownSubject, projectSubject } from '../subject.ts'
import { requireSeen, type SeenVersions } from '../version.ts'
import { write, type WriteResult, type WriteRequest, type WriteDeps } from '../write.ts'
import type { Actor } from '../../model/actor.ts'

/** Of a deletion: a second removes 20,000 to 40,000 tasks (measured on 2 cores). Below the server's 30 s for a request. */
const deletionDeadlineMs = 25_000

export const getProject = async (
  { reads }: { reads: Pick<Reads, 'project'> },
  actor: Actor,
  id: string,
): Promise<Project> => {
  const row = await reads.project(actor.userId, id)
  authorize(actor, row && { member: row.role, projectId: row.id }, 'read')
  return toProject(row!, effectiveRole(actor, { member: row!.role })!)
}

/** The actor's own projects, also an admin's: the Inbox, then by creation. */
export const listProjects = (
  deps: Pick<WriteDeps, 'db'>,
  actor: Actor,
  isArchived: boolean,
  slice: Slice,
): Promise<ListedAt<Project>> =>
  readList(deps, actor.userId, slice, {
    // Each field changes with a `project.*` entry in the project's scope, `role` and which projects with `access.*`.
    heads: (sql) => selectReadableHeads(sql, actor.userId, maxScopes),
    select: (sql) => selectProjects(sql, actor.userId, isArchived, slice),
    count: (sql) => countProjects(sql, actor.userId, isArchived),
    item: (row) => toProject(row, effectiveRole(actor, { member: row.role })!),
    key: (row) => [row.kind, row.createdAt, row.id],
  })

export const createProject = (
  deps: WriteDeps,
  request: WriteRequest<Project>,
  input: NewProject,
): Promise<WriteResult<Project>> =>
  write(deps, request, async (tx) => {
    const { userId } = request.actor
    const project = await insertProject(tx, {
      id: newId(),
      inboxOf: null,
      name: canonicalText(input.name),
      description: composedText(input.description ?? ''),
      color: input.color ? toColor(input.color) : null,
    })
    await insertMember(tx, { projectId: project.id, userId, role: 'owner' })
    return {
      value: toProject(project, 'owner'),
      entries: [projectCreated(project, userId), accessGranted(project.id, userId, 'owner', userId)],
      cursorScope: projectScope(project.id),
      subject: projectSubject(project.id),
    }
  })

/** Creates the Inbox of a new user: part of registration. Returns the entries. */
export const createInbox = async (tx: Tx, userId: string): Promise<Entry[]> => {
  const inbox = await insertProject(tx, {
    id: newId(),
    inboxOf: userId,
    name: 'Inbox',
    description: '',
    color: null,
  })
  await insertMember(tx, { projectId: inbox.id, userId, role: 'owner' })
  return [projectCreated(inbox, userId), accessGranted(inbox.id, userId, 'owner', userId)]
}

/** @param ifMatch the versions the caller saw: 412 when a writable field changed after it. */
export const updateProject = (
  deps: WriteDeps,
  request: WriteRequest<Project>,
  id: string,
  patch: ProjectPatch,
  ifMatch: SeenVersions,
): Promise<WriteResult<Project>> =>
  change(deps, request, id, async (tx, project) => {
    requireSeen(ifMatch, project)
    requireNotArchived(project)
    const wanted = {
      name: patch.name === undefined ? project.name : canonicalText(patch.name),
      description:
        patch.description === undefined ? project.description : composedText(patch.description ?? ''),
      color: patch.color === undefined ? project.color : patch.color && toColor(patch.color),
    }
    return writable.some((field) => wanted[field] !== project[field])
      ? updateProjectRow(tx, id, wanted)
      : project
  })

/** Archives or revives. What is so already stays as it is. */
export const setArchived = (
  deps: WriteDeps,
  request: WriteRequest<Project>,
  id: string,
  isArchived: boolean,
): Promise<WriteResult<Project>> =>
  change(deps, request, id, async (tx, project) => {
    requireNotInbox(project)
    return (project.archivedAt !== null) === isArchived ? project : updateArchived(tx, id, isArchived)
  })

/** Also of an archived project. */
export const deleteProject = (
  deps: WriteDeps,
  request: WriteRequest<null>,
  id: string,
  ifMatch: SeenVersions,
): Promise<WriteResult<null>> =>
  write(
    deps,
    request,
    async (tx) => {
      const { project } = await lockProjectFor(tx, request.actor, id, 'manage')
      requireNotInbox(project)
      requireSeen(ifMatch, project)
      return {
        value: null,
        entries: await dissolveProject(tx, project, request.actor.userId),
        subject: ownSubject, // nothing is left to read
        cursorScope: projectScope(id),
      }
    },
    { deadlineMs: deletionDeadlineMs },
  )

/** Deletes a locked project, without authorization, and returns the entries. */
export const dissolveProject = async (tx: Tx, project: ProjectRow, actorId: string): Promise<Entry[]> => {
  await lockProjectTasks(tx, project.id)
  const shares = await selectSharesOfProject(tx, project.id)
  const memberIds = await selectMemberIds(tx, project.id)
  await deleteProjectRows(tx, project.id)
  return [
    ...shares.map((share) => shareRemoved(userScope(share.userId), share, actorId)),
    ...memberIds.map((userId) => accessRevoked(project.id, userId, actorId)),
    {
      scope: projectScope(project.id),
      type: 'project.deleted',
      id: project.id,
      version: project.version + 1,
      actorId,
      control: { kind: 'delete' },
      changes: changesOf(project, null, writable),
    },
  ]
}

/** A write that leaves the project there: `work` returns it as it is afterwards. */
const change = (
  deps: WriteDeps,
  request: WriteRequest<Project>,
  id: string,
  work: (tx: Tx, project: ProjectRow) => Promise<ProjectRow>,
): Promise<WriteResult<Project>> =>
  write(deps, request, async (tx) => {
    const { actor } = request
    const { project, access } = await lockProjectFor(tx, actor, id, 'manage')
    const after = await work(tx, project)
    return {
      value: toProject(after, effectiveRole(actor, access)!),
      entries: projectUpdated(project, after, actor.userId),
      cursorScope: projectScope(id),
      subject: projectSubject(id),
    }
  })

/** As one person sees it. */
export const toProject = (row: ProjectRow, role: MemberRole): Project => ({ ...toEntry(row), role })
