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
}

/** An admin who names something by id acts as its owner. */
export const effectiveRole = (actor: Actor, access: Access): MemberRole | null =>
  actor.role === 'admin' ? 'owner' : access.member

/** 404 where the actor may not even read, 403 where it may read but not do this. */
export const authorize = (actor: Actor, access: Access | null, action: Action): void => {
  if (!access) throw notFound()
  const role = effectiveRole(actor, access)
  if (role !== null && memberRoles.indexOf(role) >= memberRoles.indexOf(leastRole[action])) return
  if (access.share === 'edit' && action === 'write') return
  if (access.share && (action === 'read' || action === 'comment')) return
  throw role !== null || access.share ? new AppError('forbidden') : notFound()
}

/** 403 for everyone but admins: for what concerns the instance, not one project. */
export const requireAdmin = ({ role }: Pick<Actor, 'role'>): void => {
  if (role !== 'admin') throw new AppError('forbidden', 'Only administrators may do this')
}

/** Whether `authorize` would pass. */
export const can = (actor: Actor, access: Access | null, action: Action): boolean => {
  try {
    authorize(actor, access, action)
    return true
  } catch (error) {
    if (error instanceof AppError) return false
    throw error
  }
}

/** 403 `insufficient_scope` where a personal access token authenticated the actor: for what only a session may do. */
export const requireSession = ({ credential }: Actor): void => {
  if (credential.kind === 'token')
    throw new AppError('insufficient_scope', 'Personal access tokens do not permit this')
}
