// Telling the projects of a person what changed about them: their own scope has heard it, the others in their
// projects have not.
import { selectMemberships } from '../../db/projects/members.ts'
import type { Tx } from '../../db/client.ts'
import { projectScope } from '../../model/scope.ts'
import { toMember } from '../../domain/projects/members.ts'
import { type Entry, type LogEntry } from '../../model/event.ts'

/** What of an account its memberships show to all members: not its address. */
const shown = ['name', 'avatarUrl']

export const isProfileChange = (entry: LogEntry): boolean => changedIn(entry).length > 0

/** Their projects must be locked, so that what is told of their roles is so. */
export const memberUpdatesOf = async (tx: Tx, renames: LogEntry[]): Promise<Entry[]> => {
  if (renames.length === 0) return []
  const memberships = await selectMemberships(tx, renames.map(personIn))
  return renames.flatMap((rename) => {
    const changed = changedIn(rename)
    const changes = Object.fromEntries(changed.map((field) => [field, rename.changes![field]!]))
    return memberships
      .filter(({ userId }) => userId === rename.entityId)
      .map((membership) => ({
        scope: projectScope(membership.projectId),
        type: 'member.updated' as const,
        id: membership.userId,
        data: toMember(membership),
        changed,
        changes,
        actorId: rename.actorId,
      }))
  })
}

export const personIn = ({ entityId }: LogEntry): string => entityId!

const changedIn = ({ type, changes }: LogEntry): string[] =>
  type === 'user.updated' && changes ? shown.filter((field) => field in changes) : []
