// Who may read a snapshot, when, and which read answers it. Invariant: one snapshot of a user is read at a time, and a
// shared one is never older than the caller's own last write or last change of access. snapshot-pages.ts reads them.
import { BoundedCache } from '../async/bounded-cache.ts'
import { HeldBytesStore, type HeldBytes } from '../async/held-bytes.ts'
import type { LiveStats } from '../changelog/live-stats.ts'
import type { CallerDatabase } from '../db/client.ts'
import { isOutdatedFor } from '../db/log/snapshot.ts'
import { notFound, overloaded } from '../errors.ts'
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
  type UserSnapshotPage,
} from './snapshot-pages.ts'

interface Read {
  startedAt: number
  page: Promise<SnapshotPage>
}

const sharedForMs = 2_000
/** Cached reads, and bytes of tasks in all of them. */
const maxReads = 64
const maxCachedBytes = 8 * 1024 * 1024
/** Concurrent reads, one of each user. */
const snapshotsAtOnce = 8
const maxWaiting = 512
/**
 * What one user reads from PostgreSQL for as long as it goes on; the first page does not wait, and a cached one does not
 * count. Two cores make some 90 MB/s. When one user had all of that, requests of others took three times as long (p99)
 * for as long as it read; at half of it the same, at this pace less than twice.
 */
const bytesPerSecond = 24_000_000
/** Answers being read or sent: a user with a slow connection can read on a second one meanwhile. */
const answersPerUser = 2
const answersAtOnce = 1_024
/** Bytes of all pages of the process, cached, read or being sent; equal requests share one page. */
const maxHeldBytes = 128 * 1024 * 1024

interface Made<Page> {
  page: Page
  /** Bytes of tasks that were read for it; 0 for a cached page. */
  readBytes: number
}

/** A page that is in memory until `release` is called, once. */
interface Held<Page> {
  page: Page
  release: () => void
}

interface SnapshotDeps {
  db: CallerDatabase
  stats: Pick<LiveStats, 'snapshotsRead' | 'snapshotsShared'>
}

/**
 * Reads snapshots, one at a time for each user. A thousand clients of a project that reconnect at once would each read
 * the whole project. Equal requests therefore share one read for up to two seconds. Each request is authorized on its
 * own first, and none receives a state older than the caller's own last write or last change of access, nor one whose
 * cursor belongs to an earlier epoch.
 *
 * A page is in memory until its last reader has received it, which a slow client delays as it likes. A user's turn
 * therefore ends with the answer, not with the read, and pages are not read while those of all users fill their bound.
 */
export class Snapshots {
  readonly #bytes = new HeldBytesStore()
  readonly #reads = new BoundedCache<string, Read>({
    maxEntries: maxReads,
    maxWeight: maxCachedBytes,
    ttlMs: sharedForMs,
    onDrop: (_key, { page }) =>
      void page.then(
        ({ tasks }) => tasks.release(),
        () => {},
      ),
  })
  readonly #turns = new FairQueue({ atOnce: snapshotsAtOnce, perCaller: 1, maxWaiting })
  readonly #answers = new FairQueue({ atOnce: answersAtOnce, perCaller: answersPerUser, maxWaiting })

  constructor(private readonly deps: SnapshotDeps) {}

  /** Bytes of tasks cached for equal requests. */
  get keptBytes(): number {
    return this.#reads.weight
  }

  /** Bytes of tasks in memory: cached, being read or being sent. */
  get heldBytes(): number {
    return this.#bytes.held
  }

  /**
   * @param place null for the first page. @param limit tasks a page, which may have fewer: see `pageBytes`.
   * @throws AppError 404 for a project the actor may not read; 429 or 503 when too many of its snapshots wait, 503 when
   *   the pages of all users fill their bound.
   */
  ofProject(
    actor: Actor,
    projectId: string,
    place: SnapshotPlace | null,
    limit: number,
  ): Promise<Held<SnapshotPage>> {
    return this.#held(
      actor,
      () => this.#ofProject(actor, projectId, place, limit),
      ({ tasks }) => tasks,
    )
  }

  /** @throws AppError as `ofProject`. */
  ofUser(actor: Actor): Promise<Held<UserSnapshotPage>> {
    const { db } = this.deps
    return this.#held(
      actor,
      async () => {
        this.#requireRoom()
        const page = await readUserSnapshot({ db, bytes: this.#bytes }, actor)
        return { page, readBytes: page.sharedTasks.length }
      },
      ({ sharedTasks }) => sharedTasks,
    )
  }

  async #held<Page>(
    { userId }: Actor,
    make: () => Promise<Made<Page>>,
    tasksOf: (page: Page) => HeldBytes,
  ): Promise<Held<Page>> {
    const endsAt = performance.now() + snapshotDeadlineMs
    const answer = await this.#answers.begin(userId, snapshotDeadlineMs)
    try {
      const leftMs = Math.max(1, endsAt - performance.now())
      const page = await this.#inTurn(userId, make, leftMs)
      return {
        page,
        release: () => {
          tasksOf(page).release()
          answer.leave()
        },
      }
    } catch (error) {
      answer.leave()
      throw error
    }
  }

  /** A page made in the user's turn, which is held for the time that the pace gives what was read. */
  async #inTurn<Page>(userId: string, make: () => Promise<Made<Page>>, leftMs: number): Promise<Page> {
    const turn = await this.#turns.begin(userId, leftMs)
    const startedAt = performance.now()
    let heldMs = 0
    try {
      const { page, readBytes } = await make()
      heldMs = (readBytes / bytesPerSecond) * 1_000
      return page
    } finally {
      const restMs = startedAt + heldMs - performance.now()
      if (restMs > 0) setTimeout(() => turn.leave(), restMs)
      else turn.leave()
    }
  }

  #requireRoom(): void {
    if (this.#bytes.held >= maxHeldBytes) throw overloaded('Too many snapshots are being sent')
  }

  async #ofProject(
    actor: Actor,
    projectId: string,
    place: SnapshotPlace | null,
    limit: number,
  ): Promise<Made<SnapshotPage>> {
    await this.deps.db.of(actor.userId).read((sql) => authorizeProject(sql, actor, projectId, 'read'))
    const { page, readBytes } = await this.#shared(actor, projectId, place, limit)
    // The read may be older or newer than the authorization above, so it carries its own list of readers.
    const member = page.members.find(({ userId }) => userId === actor.userId)?.role ?? null
    const role = effectiveRole(actor, { member })
    if (role === null) {
      page.tasks.release()
      throw notFound()
    }
    return { page: { ...page, project: { ...page.project, role } }, readBytes }
  }

  /** A page that the caller holds. */
  async #shared(
    actor: Actor,
    projectId: string,
    place: SnapshotPlace | null,
    limit: number,
  ): Promise<Made<SnapshotPage>> {
    const { stats } = this.deps
    const key = [projectId, limit, place?.cursor, place?.createdAt, place?.id].join(' ')
    const cached = this.#reads.peek(key)
    if (cached && Date.now() - cached.startedAt < sharedForMs) {
      const page = await cached.page
      if (page.tasks.hold()) {
        if (!(await this.#isOutdated(actor, projectId, page))) {
          stats.snapshotsShared += 1
          return { page, readBytes: 0 }
        }
        page.tasks.release()
      }
    }
    this.#requireRoom()
    stats.snapshotsRead += 1
    const read: Read = { startedAt: Date.now(), page: this.#read(actor, projectId, place, limit) }
    this.#reads.set(key, read)
    try {
      const page = await read.page
      this.#reads.reweigh(key, read, page.tasks.length)
      return { page, readBytes: page.tasks.length }
    } catch (error) {
      this.#reads.delete(key, read)
      throw error
    }
  }

  /** A new page with two holders: the cache, until it drops the read, and the caller. */
  async #read(
    { userId }: Actor,
    projectId: string,
    place: SnapshotPlace | null,
    limit: number,
  ): Promise<SnapshotPage> {
    const deps = { db: this.deps.db, bytes: this.#bytes }
    const page = await readProjectPage(deps, userId, projectId, place, limit)
    page.tasks.hold()
    return page
  }

  async #isOutdated({ userId }: Actor, projectId: string, { cursor, tasks }: SnapshotPage): Promise<boolean> {
    const at = parseCursor(cursor)!
    try {
      return await this.deps.db
        .of(userId)
        .read((sql) => isOutdatedFor(sql, userId, projectScope(projectId), at))
    } catch (error) {
      tasks.release()
      throw error
    }
  }
}
