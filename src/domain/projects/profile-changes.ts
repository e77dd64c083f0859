// Profile changes: a user's name or avatar changes in the user's own scope; the members of the user's projects learn
// of it by a `member.updated` in each project's scope.
import type { Tx } from '../../db/client.ts'
import { lockProjectsOf, selectMemberships } from '../../db/projects/members.ts'
import type { Entry, LogEntry } from '../../model/event.ts'
import { projectScope } from '../../model/scope.ts'
import { toMember } from './members.ts'

/** The profile fields that a membership shows to all members; the e-mail address is not one of them. */
const memberFields = ['name', 'avatarUrl']

export const isProfileChange = (entry: LogEntry): boolean => changedFields(entry).length > 0

/**
 * One `member.updated` for each profile change and project of its user. Share-locks these projects until commit, so
 * that the roles in the entries are the current ones.
 */
export const memberUpdates = async (tx: Tx, profileChanges: LogEntry[]): Promise<Entry[]> => {
  if (profileChanges.length === 0) return []
  const userIds = profileChanges.map(({ entityId }) => entityId!)
  await lockProjectsOf(tx, userIds)
  const memberships = await selectMemberships(tx, userIds)
  return profileChanges.flatMap((profileChange) => {
    const changed = changedFields(profileChange)
    const changes = Object.fromEntries(changed.map((field) => [field, profileChange.changes![field]!]))
    return memberships
      .filter(({ userId }) => userId === profileChange.entityId)
      .map((membership) => ({
        scope: projectScope(membership.projectId),
        type: 'member.updated' as const,
        id: membership.userId,
        data: toMember(membership),
        changed,
        changes,
        actorId: profileChange.actorId,
      }))
  })
}

const changedFields = (entry: LogEntry): string[] => {
  // Other properties than the type are parsed on first access.
  const changes = entry.type === 'user.updated' ? entry.changes : null
  return changes ? memberFields.filter((field) => field in changes) : []
}
