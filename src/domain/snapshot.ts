// Everything a client needs to show a scope, and the exact place in the log it is true at. The first page fixes the
// cursor in one REPEATABLE READ read; later pages are read later and keep it: what changed meanwhile is in the log
// after the cursor, and the version rule makes applying it twice harmless.
import type { Database } from '../db/client.ts'
import { readHead } from '../db/feed.ts'
import { selectMembers } from '../db/members.ts'
import { countNotifications, selectNotifications } from '../db/notifications.ts'
import { selectProject, selectProjects } from '../db/projects.ts'
import { selectSharedTasks, selectTasksAfter, type TaskPlace } from '../db/snapshot.ts'
import { selectUser } from '../db/users.ts'
import { notFound } from '../errors.ts'
import { formatCursor, projectScope, shardOf, userScope } from '../model/event.ts'
import type { ProjectSnapshot, UserSnapshot } from '../model/snapshot.ts'
import type { Slice } from '../model/page.ts'
import { demand, effectiveRole, type Actor } from './actor.ts'
import { toNotification } from './notifications.ts'
import { toProject } from './projects.ts'

/** A snapshot may be long; it is read at full speed and ends before the first byte is sent. */
const deadlineMs = 10_000
const newestNotifications = 100
const everybody: Slice = { limit: 10_000, after: null, page: null }

/** Where a snapshot goes on: the cursor of its first page and the last task. */
export interface SnapshotPlace extends TaskPlace {
  cursor: string
}

/** @param place null for the first page. @param limit tasks a page. 404 for who may not read the project. */
export const readProjectSnapshot = (
  { db }: { db: Database },
  actor: Actor,
  projectId: string,
  place: SnapshotPlace | null,
  limit: number,
): Promise<Omit<ProjectSnapshot, 'nextAfter'> & { next: SnapshotPlace | null }> =>
  db.snapshot(
    async (tx) => {
      const shard = shardOf(projectScope(projectId))
      const { epoch, seq } = await readHead(tx, shard)
      const row = await selectProject(tx, actor.userId, projectId)
      demand(actor, row && { member: row.role }, 'read')
      const members = await selectMembers(tx, projectId, everybody)
      const tasks = await selectTasksAfter(tx, projectId, place, limit + 1)
      const cursor = place?.cursor ?? formatCursor({ epoch, shard, seq })
      const page = tasks.slice(0, limit)
      const last = page.at(-1)
      return {
        project: toProject(row!, effectiveRole(actor, { member: row!.role })!),
        members,
        tasks: page,
        cursor,
        next: tasks.length > limit ? { cursor, createdAt: last!.createdAt, id: last!.id } : null,
      }
    },
    { deadlineMs },
  )

export const readUserSnapshot = ({ db }: { db: Database }, actor: Actor): Promise<UserSnapshot> =>
  db.snapshot(
    async (tx) => {
      const { userId } = actor
      const shard = shardOf(userScope(userId))
      const { epoch, seq } = await readHead(tx, shard)
      const user = await selectUser(tx, userId)
      if (!user) throw notFound()
      const projects = [
        ...(await selectProjects(tx, userId, false, everybody)),
        ...(await selectProjects(tx, userId, true, everybody)),
      ]
      const notifications = await selectNotifications(tx, userId, null, {
        ...everybody,
        limit: newestNotifications,
      })
      return {
        user,
        projects: projects.map((row) => toProject(row, effectiveRole(actor, { member: row.role })!)),
        sharedTasks: await selectSharedTasks(tx, userId, everybody.limit),
        notifications: notifications.slice(0, newestNotifications).map(toNotification),
        unreadCount: await countNotifications(tx, userId, true),
        cursor: formatCursor({ epoch, shard, seq }),
      }
    },
    { deadlineMs },
  )
