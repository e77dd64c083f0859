// The log entries of projects: in their own scope, and of granted and revoked access in the scope of a user.
import type { ProjectRow } from '../../db/projects/projects.ts'
import { projectScope, userScope } from '../../model/scope.ts'
import { type Changes, type Entry, type EventType } from '../../model/event.ts'
import type { MemberRole, ProjectEntry } from '../../model/project.ts'

/** The fields a client can write, in the order of `changed`. */
export const writable = ['name', 'description', 'color'] as const

/** As every member may see it: without the caller's role. */
export const toEntry = (row: ProjectRow): ProjectEntry => ({
  id: row.id,
  name: row.name,
  description: row.description,
  color: row.color,
  kind: row.kind,
  archivedAt: row.archivedAt,
  memberCount: row.memberCount,
  version: row.version,
  createdAt: row.createdAt,
  updatedAt: row.updatedAt,
})

export const projectCreated = (project: ProjectRow, actorId: string): Entry => ({
  ...projectEntry('project.created', project, actorId),
  changes: changesOf(null, project, writable),
})

/** The entry of an update; none without a new version. A member's role raises it and changes no field of the project. */
export const projectUpdated = (before: ProjectRow, after: ProjectRow, actorId: string | null): Entry[] => {
  if (after.version === before.version) return []
  const changed = ([...writable, 'archivedAt', 'memberCount'] as const).filter(
    (field) => before[field] !== after[field],
  )
  return [
    {
      ...projectEntry('project.updated', after, actorId),
      changed,
      changes: changesOf(before, after, changed),
    },
  ]
}

const projectEntry = (type: EventType, project: ProjectRow, actorId: string | null): Entry => ({
  scope: projectScope(project.id),
  type,
  id: project.id,
  version: project.version,
  data: toEntry(project),
  actorId,
})

export const changesOf = (
  before: ProjectRow | null,
  after: ProjectRow | null,
  fields: readonly (keyof ProjectRow)[],
): Changes =>
  Object.fromEntries(
    fields.map((field) => [field, { from: before?.[field] ?? null, to: after?.[field] ?? null }]),
  )

/** Notifies all clients of a user that they may read the project, in this role. */
export const accessGranted = (
  projectId: string,
  userId: string,
  role: MemberRole,
  actorId: string,
): Entry => ({
  scope: userScope(userId),
  type: 'access.granted',
  id: projectId,
  data: { projectId, role },
  actorId,
})

/** Notifies all clients of a user that they may no longer read the project. */
export const accessRevoked = (projectId: string, userId: string, actorId: string): Entry => ({
  scope: userScope(userId),
  type: 'access.revoked',
  id: projectId,
  data: { projectId, role: null },
  actorId,
})
