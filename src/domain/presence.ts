// Where people can be present: at a project or a task they may read.
import type { CallerDatabase } from '../db/client.ts'
import { selectProjectAccess } from '../db/projects/projects.ts'
import { selectTaskAccess } from '../db/tasks/shares.ts'
import { idOf, isTaskKey, type PresenceKey } from '../model/scope.ts'
import { forRequest, type Actor } from '../model/actor.ts'
import { authorize, can } from './actor.ts'
import type { OverrideReads } from './activity/override-reads.ts'

export interface PlaceDeps {
  db: CallerDatabase
  overrideReads: Pick<OverrideReads, 'note'>
}

/** Id of the project the place belongs to, if the actor may read it now; null otherwise. Notes a read by the right of admins. */
export const findPlace = async (
  { db, overrideReads }: PlaceDeps,
  actor: Actor,
  key: PresenceKey,
): Promise<string | null> => {
  const reader = forRequest(actor)
  const projectId = await db.of(actor.userId).read(async (sql) => {
    const id = idOf(key)
    const access = isTaskKey(key)
      ? await selectTaskAccess(sql, actor.userId, id)
      : await selectProjectAccess(sql, actor.userId, id)
    if (!access || !can(reader, access, 'read')) return null
    authorize(reader, access, 'read')
    return access.projectId
  })
  if (reader.overrides?.size) await overrideReads.note(reader)
  return projectId
}
