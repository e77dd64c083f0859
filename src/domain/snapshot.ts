// Snapshots: the full state of a scope and the cursor at which it is exact. The first page fixes the cursor in one
// REPEATABLE READ read. Later pages are read later under the same cursor: changes between are in the log after the
// cursor, and by the version rule applying one twice has no effect. One snapshot of a user is read at a time, and a page
// is bounded in bytes.
import { BoundedCache } from '../async/bounded-cache.ts'
import type { CallerDatabase } from '../db/client.ts'
import { readHead } from '../db/log/feed.ts'
import { selectMembers } from '../db/projects/members.ts'
import { countNotifications, selectNotifications } from '../db/notifications/notifications.ts'
import { selectProject, selectProjects } from '../db/projects/projects.ts'
import {
  isOutdatedFor,
  selectSharedTasks,
  selectTasksAfter,
  type PagedTask,
  type TaskPlace,
} from '../db/log/snapshot.ts'
import { selectUser } from '../db/users/users.ts'
import { projectScope, shardOf, userScope } from '../model/scope.ts'
import { notFound } from '../errors.ts'
import type { LiveStats } from '../changelog/live-stats.ts'
import { FairQueue } from '../limits/fair-queue.ts'
import { formatCursor, parseCursor } from '../model/event.ts'
import type { ProjectSnapshot, UserSnapshot } from '../model/snapshot.ts'
import type { Slice } from '../model/page.ts'
import { authorizeProject } from './access.ts'
import { effectiveRole } from './actor.ts'
import { toMember } from './projects/members.ts'
import { toNotification } from './notifications/entries.ts'
import { toProject } from './projects/projects.ts'
import type { Actor } from '../model/actor.ts'

/** For the whole call, waiting included: a snapshot is read completely before its first byte is sent. */
const deadlineMs = 10_000
const newestNotifications = 100
const unpaged: Slice = { limit: 10_000, after: null, page: null }

/** Where the next page starts: the cursor of the first page and the last task. */
export interface SnapshotPlace extends TaskPlace {
  cursor: string
}

export interface SnapshotPage extends Omit<ProjectSnapshot, 'tasks' | 'nextAfter'> {
  /** Each task as JSON. */
  tasks: string[]
  /** Of the tasks, in UTF-8. */
  bytes: number
  next: SnapshotPlace | null
}

interface Read {
  startedAt: number
  page: Promise<SnapshotPage>
}

/** A page as JSON is no longer than this, unless its first task makes it so. */
export const pageBytes = 4 * 1024 * 1024
/** Reserved in a page for what is neither project, member nor task. */
const frameBytes = 1024

const sharedForMs = 2_000
/** Cached reads, and bytes of tasks in all of them. */
const maxReads = 64
const maxCachedBytes = 8 * 1024 * 1024
/** Concurrent reads: while a page is built it is in memory as rows, as JSON and as a response. */
const snapshotsAtOnce = 8
const maxWaiting = 512

interface SnapshotDeps {
  db: CallerDatabase
  stats: Pick<LiveStats, 'snapshotsRead' | 'snapshotsShared'>
}

/**
 * Reads snapshots, one at a time for each user. A thousand clients of a project that reconnect at once would each read
 * the whole project. Equal requests therefore share one read for up to two seconds. Each request is authorized on its
 * own first, and none receives a state older than the caller's own last write or last change of access, nor one whose
 * cursor belongs to an earlier epoch.
 */
export class Snapshots {
  readonly #reads = new BoundedCache<string, Read>({
    maxEntries: maxReads,
    maxWeight: maxCachedBytes,
    ttlMs: sharedForMs,
  })
  readonly #turns = new FairQueue({ atOnce: snapshotsAtOnce, perCaller: 1, maxWaiting })

  constructor(private readonly deps: SnapshotDeps) {}

  /** Bytes of tasks cached for equal requests. */
  get keptBytes(): number {
    return this.#reads.weight
  }

  /**
   * @param place null for the first page. @param limit tasks a page, which may have fewer: see `pageBytes`.
   * @throws AppError 404 for a project the actor may not read; 429 or 503 when too many of its snapshots wait.
   */
  ofProject(
    actor: Actor,
    projectId: string,
    place: SnapshotPlace | null,
    limit: number,
  ): Promise<SnapshotPage> {
    return this.#turns.run(actor.userId, () => this.#ofProject(actor, projectId, place, limit), deadlineMs)
  }

  /** @throws AppError as `ofProject`. */
  ofUser(actor: Actor): Promise<UserSnapshot> {
    return this.#turns.run(actor.userId, () => readUserSnapshot(this.deps, actor), deadlineMs)
  }

  async #ofProject(
    actor: Actor,
    projectId: string,
    place: SnapshotPlace | null,
    limit: number,
  ): Promise<SnapshotPage> {
    await this.deps.db.of(actor.userId).read((sql) => authorizeProject(sql, actor, projectId, 'read'))
    const page = await this.#shared(actor, projectId, place, limit)
    // The read may be older or newer than the authorization above, so it carries its own list of readers.
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
    const held = this.#reads.peek(key)
    if (held && Date.now() - held.startedAt < sharedForMs) {
      const page = await held.page
      const at = parseCursor(page.cursor)!
      const isStale = await db
        .of(actor.userId)
        .read((sql) => isOutdatedFor(sql, actor.userId, projectScope(projectId), at))
      if (!isStale) {
        stats.snapshotsShared += 1
        return page
      }
    }
    stats.snapshotsRead += 1
    const read: Read = {
      startedAt: Date.now(),
      page: readPage(db, actor.userId, projectId, place, limit),
    }
    this.#reads.set(key, read)
    try {
      const page = await read.page
      this.#reads.reweigh(key, read, page.bytes)
      return page
    } catch (error) {
      this.#reads.delete(key, read)
      throw error
    }
  }
}

const readPage = (
  db: CallerDatabase,
  userId: string,
  projectId: string,
  place: SnapshotPlace | null,
  limit: number,
): Promise<SnapshotPage> =>
  db.of(userId).snapshot(
    async (tx) => {
      const shard = shardOf(projectScope(projectId))
      const { epoch, seq } = await readHead(tx, shard)
      const row = await selectProject(tx, userId, projectId)
      if (!row) throw notFound()
      const members = await selectMembers(tx, projectId, unpaged)
      const rows = await selectTasksAfter(tx, projectId, place, { limit, maxBytes: pageBytes })
      const cursor = place?.cursor ?? formatCursor({ epoch, shard, seq })
      const head = {
        project: toProject(row, 'viewer'), // replaced for each reader
        members: members.map(toMember), // one read is shared by all readers, so it has no e-mail addresses
      }
      const { tasks, bytes, last } = fitting(rows, pageBytes - frameBytes - jsonBytesOf(head))
      return {
        ...head,
        tasks,
        bytes,
        cursor,
        next: last && { cursor, ...last },
      }
    },
    { deadlineMs },
  )

const jsonBytesOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value))

/** As many tasks as fit into `room`, and the position of the last where more follow. */
const fitting = (
  rows: PagedTask[],
  room: number,
): { tasks: string[]; bytes: number; last: TaskPlace | null } => {
  const tasks: string[] = []
  let bytes = 0
  for (const [index, { hasNext, ...task }] of rows.entries()) {
    const json = JSON.stringify(task)
    const size = Buffer.byteLength(json) + 1 // and a comma
    if (index > 0 && bytes + size > room) return { tasks, bytes, last: placeOf(rows[index - 1]!) }
    tasks.push(json)
    bytes += size
    if (index === rows.length - 1 && hasNext) return { tasks, bytes, last: placeOf(task) }
  }
  return { tasks, bytes, last: null }
}

const placeOf = ({ createdAt, id }: TaskPlace): TaskPlace => ({ createdAt, id })

const readUserSnapshot = ({ db }: { db: CallerDatabase }, actor: Actor): Promise<UserSnapshot> =>
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
      const sharedTasks = await selectSharedTasks(tx, userId, {
        limit: unpaged.limit,
        maxBytes: pageBytes,
      })
      return {
        user,
        projects: projects.map((row) => toProject(row, effectiveRole(actor, { member: row.role })!)),
        sharedTasks: sharedTasks.map(({ isCut, ...task }) =>
          isCut ? { ...task, omitted: ['description'] } : task,
        ),
        notifications: notifications.slice(0, newestNotifications).map(toNotification),
        unreadCount: await countNotifications(tx, userId, true),
        cursor: formatCursor({ epoch, shard, seq }),
      }
    },
    { deadlineMs },
  )
