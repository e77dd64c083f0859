// Who may read a snapshot, when, and which read answers it. Invariant: one snapshot of a user is read at a time, and a
// shared one is never older than the caller's own last write or last change of access. snapshot-pages.ts reads them.
import { BoundedCache } from '../async/bounded-cache.ts'
import type { LiveStats } from '../changelog/live-stats.ts'
import type { CallerDatabase } from '../db/client.ts'
import { isOutdatedFor } from '../db/log/snapshot.ts'
import { notFound } from '../errors.ts'
import { FairQueue } from '../limits/fair-queue.ts'
import type { Actor } from '../model/actor.ts'
import { parseCursor } from '../model/event.ts'
import { projectScope } from '../model/scope.ts'
import { authorizeProject } from './access.ts'
import { effectiveRole } from './actor.ts'
import {
  readProjectPage,
  readUserSnapshot,
  snapshotDeadlineMs,
  type SnapshotPage,
  type SnapshotPlace,
  type UserSnapshotTexts,
} from './snapshot-pages.ts'

interface Read {
  startedAt: number
  page: Promise<SnapshotPage>
}

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
    return this.#turns.run(
      actor.userId,
      () => this.#ofProject(actor, projectId, place, limit),
      snapshotDeadlineMs,
    )
  }

  /** @throws AppError as `ofProject`. */
  ofUser(actor: Actor): Promise<UserSnapshotTexts> {
    return this.#turns.run(actor.userId, () => readUserSnapshot(this.deps.db, actor), snapshotDeadlineMs)
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
      page: readProjectPage(db, actor.userId, projectId, place, limit),
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
