// Reading snapshots: the full state of a scope and the cursor at which it is exact. The first page fixes the cursor in
// one REPEATABLE READ read. Later pages are read later under the same cursor: changes between are in the log after the
// cursor, and by the version rule applying one twice has no effect. Invariant: a page is bounded in bytes.
import type { HeldBytes, HeldBytesStore } from '../async/held-bytes.ts'
import type { CallerDatabase } from '../db/client.ts'
import { readHead } from '../db/log/feed.ts'
import { selectSharedTasks, selectTasksAfter, type TaskPlace } from '../db/log/snapshot.ts'
import { countNotifications, selectNotifications } from '../db/notifications/notifications.ts'
import { selectMembers } from '../db/projects/members.ts'
import { selectProject, selectProjects } from '../db/projects/projects.ts'
import { selectUser } from '../db/users/users.ts'
import { notFound } from '../errors.ts'
import type { Actor } from '../model/actor.ts'
import { formatCursor } from '../model/event.ts'
import type { Slice } from '../model/page.ts'
import { projectScope, shardOf, userScope } from '../model/scope.ts'
import type { ProjectSnapshot, UserSnapshot } from '../model/snapshot.ts'
import { effectiveRole } from './actor.ts'
import { toNotification } from './notifications/entries.ts'
import { toMember } from './projects/members.ts'
import { toProject } from './projects/projects.ts'

/** For the whole call, waiting included: a snapshot is read completely before its first byte is sent. */
export const snapshotDeadlineMs = 10_000
const newestNotifications = 100
const unpaged: Slice = { limit: 10_000, after: null, page: null }

/** Where the next page starts: the cursor of the first page and the last task. */
export interface SnapshotPlace extends TaskPlace {
  cursor: string
}

export interface SnapshotPage extends Omit<ProjectSnapshot, 'tasks' | 'nextAfter'> {
  /** The tasks as JSON, separated by commas. Its first holder is the caller. */
  tasks: HeldBytes
  next: SnapshotPlace | null
}

/** A user's snapshot with the shared tasks as JSON, separated by commas. Their first holder is the caller. */
export type UserSnapshotPage = Omit<UserSnapshot, 'sharedTasks'> & { sharedTasks: HeldBytes }

export interface PageDeps {
  db: CallerDatabase
  bytes: HeldBytesStore
}

/** A page as JSON is no longer than this, unless its first task makes it so. */
export const pageBytes = 4 * 1024 * 1024
/** Reserved in a page for what is neither project, member nor task. */
const frameBytes = 1024

/** One page of a project; its role is replaced for each reader. */
export const readProjectPage = async (
  { db, bytes: store }: PageDeps,
  userId: string,
  projectId: string,
  place: SnapshotPlace | null,
  limit: number,
): Promise<SnapshotPage> => {
  const { bytes: tasks, value } = await store.fill((open) =>
    db.of(userId).snapshot(
      async (tx) => {
        const shard = shardOf(projectScope(projectId))
        const { epoch, seq } = await readHead(tx, shard)
        const row = await selectProject(tx, userId, projectId)
        if (!row) throw notFound()
        const members = await selectMembers(tx, projectId, unpaged)
        const cursor = place?.cursor ?? formatCursor({ epoch, shard, seq })
        const head = {
          project: toProject(row, 'viewer'), // replaced for each reader
          members: members.map(toMember), // one read is shared by all readers, so it has no e-mail addresses
        }
        const maxBytes = pageBytes - frameBytes - jsonBytesOf(head)
        const last = await selectTasksAfter(tx, projectId, place, { limit, maxBytes }, joinedIn(open()))
        return { ...head, cursor, last }
      },
      { deadlineMs: snapshotDeadlineMs },
    ),
  )
  const { last, ...rest } = value
  return { ...rest, tasks, next: last && { cursor: rest.cursor, ...last } }
}

const jsonBytesOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value))

const comma = Buffer.from(',')

/** Appends items of a list, which are separated by commas. */
const joinedIn =
  (list: HeldBytes) =>
  (items: Uint8Array): void => {
    if (list.length > 0) list.append(comma)
    list.append(items)
  }

/** The user's own scope: profile, projects, shared tasks and newest notifications. */
export const readUserSnapshot = async (
  { db, bytes: store }: PageDeps,
  actor: Actor,
): Promise<UserSnapshotPage> => {
  const { bytes: sharedTasks, value } = await store.fill((open) =>
    db.of(actor.userId).snapshot(
      async (tx) => {
        const { userId } = actor
        const shard = shardOf(userScope(userId))
        const { epoch, seq } = await readHead(tx, shard)
        const user = await selectUser(tx, userId)
        if (!user) throw notFound()
        const projects = [
          ...(await selectProjects(tx, userId, false, unpaged)),
          ...(await selectProjects(tx, userId, true, unpaged)),
        ]
        const notifications = await selectNotifications(tx, userId, null, {
          ...unpaged,
          limit: newestNotifications,
        })
        const bounds = { limit: unpaged.limit, maxBytes: pageBytes }
        await selectSharedTasks(tx, userId, bounds, joinedIn(open()))
        return {
          user,
          projects: projects.map((row) => toProject(row, effectiveRole(actor, { member: row.role })!)),
          notifications: notifications.slice(0, newestNotifications).map(toNotification),
          unreadCount: await countNotifications(tx, userId, true),
          cursor: formatCursor({ epoch, shard, seq }),
        }
      },
      { deadlineMs: snapshotDeadlineMs },
    ),
  )
  return { ...value, sharedTasks }
}
