// Where people can be present: at a project or a task they may read.
import type { CallerDatabase } from '../db/client.ts'
import { selectProjectAccess } from '../db/projects/projects.ts'
import { selectTaskAccess } from '../db/tasks/shares.ts'
import { idOf, isTaskKey, type PresenceKey } from '../model/scope.ts'
import { can } from './actor.ts'
import type { Actor } from '../model/actor.ts'

/** Id of the project the place belongs to, if the actor may read it now; null otherwise. */
export const findPlace = (
  { db }: { db: CallerDatabase },
  actor: Actor,
  key: PresenceKey,
): Promise<string | null> =>
  db.of(actor.userId).read(async (sql) => {
    const id = idOf(key)
    const access = isTaskKey(key)
      ? await selectTaskAccess(sql, actor.userId, id)
      : await selectProjectAccess(sql, actor.userId, id)
    return access && can(actor, access, 'read') ? access.projectId : null
  })
