// Where people can be present: at a project or a task, whoever may read it.
import type { CallerDatabase } from '../db/client.ts'
import { selectProjectAccess } from '../db/projects/projects.ts'
import { selectTaskAccess } from '../db/tasks/shares.ts'
import { parseNamed } from '../model/scalar.ts'
import { can } from './actor.ts'
import type { Actor } from '../model/actor.ts'

export type PresenceKey = `project:${string}` | `task:${string}`

/** Null for what is no place. */
export const parsePresenceKey = (text: string): PresenceKey | null => {
  const named = parseNamed(text)
  return named && (named.kind === 'project' || named.kind === 'task') ? `${named.kind}:${named.id}` : null
}

/** Id of the project the place is in, if the actor may read it now; null otherwise. */
export const findPlace = (
  { db }: { db: CallerDatabase },
  actor: Actor,
  key: PresenceKey,
): Promise<string | null> =>
  db.of(actor.userId).read(async (sql) => {
    const id = key.slice(key.indexOf(':') + 1)
    const access = key.startsWith('task:')
      ? await selectTaskAccess(sql, actor.userId, id)
      : await selectProjectAccess(sql, actor.userId, id)
    return access && can(actor, access, 'read') ? access.projectId : null
  })
