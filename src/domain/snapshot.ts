// Everything a client needs to show a scope, and the exact place in the log it is true at. The first page fixes the
// cursor in one REPEATABLE READ read; later pages are read later and keep it: what changed meanwhile is in the log
// after the cursor, and the version rule makes applying it twice harmless.
import type { Database } from '../db/client.ts'
import { readHead } from '../db/feed.ts'
import { selectMembers } from '../db/members.ts'
import { countNotifications, selectNotifications } from '../db/notifications.ts'
import { selectProject, selectProjects } from '../db/projects.ts'
import { isOutdatedFor, selectSharedTasks, selectTasksAfter, type TaskPlace } from '../db/snapshot.ts'
import { selectUser } from '../db/users.ts'
import { notFound } from '../errors.ts'
import type { LiveStats } from '../events/stats.ts'
import { formatCursor, parseCursor, projectScope, shardOf, userScope } from '../model/event.ts'
import type { ProjectSnapshot, UserSnapshot } from '../model/snapshot.ts'
import type { Slice } from '../model/page.ts'
import { demandProject } from './access.ts'
import { effectiveRole, type Actor } from './actor.ts'
import { toMember } from './members.ts'
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

export type SnapshotPage = Omit<ProjectSnapshot, 'nextAfter'> & { next: SnapshotPlace | null }

interface Read {
  startedAt: number
  page: Promise<SnapshotPage>
  /** Known once it was read. */
  tasks: number
}

const sharedForMs = 2_000
/** Reads kept at once, and tasks in all of them; one alone may have more. */
const maxReads = 64
const maxTasks = 20_000

/**
 * Reads snapshots of projects. Equal requests share one read for up to two seconds, so that a thousand clients that
 * come back at once cost one; each is let in by itself first, and never gets a state from before what it did or what
 * was done to its access, nor one whose cursor is void.
 */
export class ProjectSnapshots {
  readonly #reads = new Map<string, Read>()

  constructor(
    private readonly deps: { db: Database; stats: Pick<LiveStats, 'snapshotsRead' | 'snapshotsShared'> },
  ) {}

  /** @param place null for the first page. @param limit tasks a page. 404 for who may not read the project. */
  async read(
    actor: Actor,
    projectId: string,
    place: SnapshotPlace | null,
    limit: number,
  ): Promise<SnapshotPage> {
    await this.deps.db.read((sql) => demandProject(sql, actor, projectId, 'read'))
    const page = await this.#shared(actor, projectId, place, limit)
    // What was read is from before or after the look above: it says itself who may have it.
    const member = page.members.find(({ userId }) => userId === actor.userId)?.role ?? null
    const role = effectiveRole(actor, { member })
    if (role === null) throw notFound()
    return { ...page, project: { ...page.project, role } }
  }

  async #shared(
    actor: Actor,
    projectId: string,
    place: SnapshotPlace | null,
    limit: number,
  ): Promise<SnapshotPage> {
    const { db, stats } = this.deps
    const key = [projectId, limit, place?.cursor, place?.createdAt, place?.id].join(' ')
    const held = this.#reads.get(key)
    if (held && Date.now() - held.startedAt < sharedForMs) {
      const page = await held.page
      const at = parseCursor(page.cursor)!
      const isStale = await db.read((sql) => isOutdatedFor(sql, actor.userId, projectScope(projectId), at))
      if (!isStale) {
        stats.snapshotsShared += 1
        return page
      }
    }
    stats.snapshotsRead += 1
    const read: Read = {
      startedAt: Date.now(),
      page: readPage(db, actor.userId, projectId, place, limit),
      tasks: 0,
    }
    this.#keep(key, read)
    try {
      const page = await read.page
      read.tasks = page.tasks.length
      this.#makeRoom()
      return page
    } catch (error) {
      this.#forget(key, read)
      throw error
    }
  }

  #keep(key: string, read: Read): void {
    this.#reads.delete(key) // the newest stands last
    this.#reads.set(key, read)
    setTimeout(() => this.#forget(key, read), sharedForMs).unref()
    this.#makeRoom()
  }

  #forget(key: string, read: Read): void {
    if (this.#reads.get(key) === read) this.#reads.delete(key)
  }

  #makeRoom(): void {
    let tasks = 0
    for (const read of this.#reads.values()) tasks += read.tasks
    for (const [key, read] of this.#reads) {
      if (this.#reads.size === 1 || (tasks <= maxTasks && this.#reads.size <= maxReads)) return
      this.#reads.delete(key)
      tasks -= read.tasks
    }
  }
}

const readPage = (
  db: Database,
  userId: string,
  projectId: string,
  place: SnapshotPlace | null,
  limit: number,
): Promise<SnapshotPage> =>
  db.snapshot(
    async (tx) => {
      const shard = shardOf(projectScope(projectId))
      const { epoch, seq } = await readHead(tx, shard)
      const row = await selectProject(tx, userId, projectId)
      if (!row) throw notFound()
      const members = await selectMembers(tx, projectId, everybody)
      const tasks = await selectTasksAfter(tx, projectId, place, limit + 1)
      const cursor = place?.cursor ?? formatCursor({ epoch, shard, seq })
      const page = tasks.slice(0, limit)
      const last = page.at(-1)
      return {
        project: toProject(row, 'viewer'), // replaced for each caller
        members: members.map(toMember), // one read is shared by all readers, so that no address is in it
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
