// Reads by the right of admins, noted in the activity of the project: once per admin, project and hour. The row is
// committed before the read is answered.
import { BoundedCache } from '../../async/bounded-cache.ts'
import { insertOverrideRead } from '../../db/activity/activity.ts'
import type { CallerDatabase } from '../../db/client.ts'
import type { Actor } from '../../model/actor.ts'
import { newId } from '../../model/scalar.ts'

const maxRemembered = 10_000
const hourMs = 60 * 60_000

export class OverrideReads {
  /** The hour that was noted last, by admin and project. */
  readonly #noted = new BoundedCache<string, number>({ maxEntries: maxRemembered })

  constructor(private readonly db: CallerDatabase) {}

  /** Notes the projects that the actor has read by the right of admins. @throws AppError 503 where that fails. */
  async note({ userId, overrides }: Actor): Promise<void> {
    const hour = Math.floor(Date.now() / hourMs)
    const keyOf = (projectId: string): string => `${userId} ${projectId}`
    const projectIds = [...(overrides ?? [])].filter((id) => this.#noted.get(keyOf(id)) !== hour).sort()
    if (projectIds.length === 0) return
    await this.db.of(userId).transact(async (tx) => {
      for (const projectId of projectIds)
        await insertOverrideRead(tx, { id: newId(), actorId: userId, projectId })
    })
    for (const projectId of projectIds) this.#noted.set(keyOf(projectId), hour)
  }
}
