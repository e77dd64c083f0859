// What a role permits: one table of rights, through which every permission is decided.
import { AppError, notFound } from '../errors.ts'
import { memberRoles, type MemberRole } from '../model/project.ts'
import type { Actor } from '../model/actor.ts'

/** The least project role each action needs. */
const leastRole = {
  read: 'viewer',
  comment: 'viewer',
  write: 'editor',
  move: 'editor',
  delete: 'editor',
  share: 'editor',
  manage: 'owner',
} as const satisfies Record<string, MemberRole>

export type Action = keyof typeof leastRole

/** A user's access to one task or project: as member, by a single share, or none. */
export interface Access {
  member: MemberRole | null
  share?: 'view' | 'edit' | null
  /** The project, directly or as that of the task. */
  projectId?: string
  task?: { projectId: string }
}

/** An admin who names something by id acts as its owner. */
export const effectiveRole = (actor: Actor, access: Access): MemberRole | null =>
  actor.role === 'admin' ? 'owner' : access.member

/** 404 where the actor may not even read, 403 where it may read but not do this. Notes an admin's override. */
export const authorize = (actor: Actor, access: Access | null, action: Action): void => {
  if (!access) throw notFound()
  if (isPermitted(access, action)) return
  if (actor.role === 'admin') return noteOverride(actor, access)
  throw access.member !== null || access.share ? new AppError('forbidden') : notFound()
}

/** 403 for everyone but admins: for what concerns the instance, not one project. */
export const requireAdmin = ({ role }: Pick<Actor, 'role'>): void => {
  if (role !== 'admin') throw new AppError('forbidden', 'Only administrators may do this')
}

/** Whether `authorize` would pass. */
export const can = (actor: Actor, access: Access | null, action: Action): boolean =>
  access !== null && (actor.role === 'admin' || isPermitted(access, action))

/** Whether member role or share permit the action, without the right of admins. */
const isPermitted = ({ member, share }: Access, action: Action): boolean => {
  if (member !== null && memberRoles.indexOf(member) >= memberRoles.indexOf(leastRole[action])) return true
  if (share === 'edit' && action === 'write') return true
  return Boolean(share) && (action === 'read' || action === 'comment')
}

const noteOverride = ({ overrides }: Actor, { projectId, task }: Access): void => {
  const id = projectId ?? task?.projectId
  if (id === undefined) throw new Error('an access without its project')
  overrides?.add(id)
}

/** 403 `insufficient_scope` where a personal access token authenticated the actor: for what only a session may do. */
export const requireSession = ({ credential }: Actor): void => {
  if (credential.kind === 'token')
    throw new AppError('insufficient_scope', 'Personal access tokens do not permit this')
}
