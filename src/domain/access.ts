// From an id to the actor's access: one query, and the same 404 for what does not exist and for what the actor may not
// read. Inside a write, call these only after the row they depend on is locked.
import type { Queryable, Tx } from '../db/client.ts'
import {
  lockProject,
  selectProjectAccess,
  type ProjectAccessRow,
  type ProjectRow,
} from '../db/projects/projects.ts'
import { selectTaskAccess, type TaskAccessRow } from '../db/tasks/shares.ts'
import { AppError, notFound } from '../errors.ts'
import { authorize, type Action } from './actor.ts'
import type { Actor } from '../model/actor.ts'

/** The actor's access to a project. 404 where it may not read, 403 where it may read but not do this. */
export const authorizeProject = async (
  sql: Queryable,
  actor: Actor,
  projectId: string,
  action: Action,
): Promise<ProjectAccessRow> => {
  const access = await selectProjectAccess(sql, actor.userId, projectId)
  return permitted(actor, access, action)
}

/** The actor's access to a task, as member or by share. 404 where it may not read, 403 where it may read but not do this. */
export const authorizeTask = async (
  sql: Queryable,
  actor: Actor,
  taskId: string,
  action: Action,
): Promise<TaskAccessRow> => {
  const access = await selectTaskAccess(sql, actor.userId, taskId)
  return permitted(actor, access, action)
}

/** Locks the project, then reads the actor's access: the first step of every write to a project or its members. */
export const lockProjectFor = async (
  tx: Tx,
  actor: Actor,
  projectId: string,
  action: Action,
): Promise<{ project: ProjectRow; access: ProjectAccessRow }> => {
  const project = await lockProject(tx, projectId)
  if (!project) throw notFound()
  return { project, access: await authorizeProject(tx, actor, projectId, action) }
}

const permitted = <T extends ProjectAccessRow | TaskAccessRow>(
  actor: Actor,
  access: T | null,
  action: Action,
): T => {
  authorize(actor, access, action)
  return access!
}

/** 409 where the project is archived and so read-only. */
export const requireNotArchived = ({ archivedAt }: { archivedAt: string | null }): void => {
  if (archivedAt !== null) throw new AppError('project_archived')
}

/** 409 for an Inbox: its members are fixed, and it is neither archived nor deleted. */
export const requireNotInbox = ({ kind }: { kind: ProjectRow['kind'] }): void => {
  if (kind === 'inbox') throw new AppError('inbox_fixed')
}
