// Runs faults against uploads and deletions of real processes on an S3 server, then compares the store with the rows by
// listing both. Invariant that is checked: no object without a row, no row without an object, no delivery done twice.
import { openDatabase, type Database } from '../../../src/db/client.ts'
import { openRedis, type Redis } from '../../../src/redis/connection.ts'
import { createLog } from '../../../src/log.ts'
import { s3Storage } from '../../../src/storage/s3.ts'
import type { Storage } from '../../../src/storage/storage.ts'
import { createApi, expectStatus, type Api } from '../../oracle/api.ts'
import { createRandom, type Random } from '../../oracle/random.ts'
import { startCluster, type Cluster, type Role } from '../../support/cluster.ts'
import { eventually } from '../../support/eventually.ts'
import { startS3Server } from '../../support/s3-server.ts'
import { ExitWatch } from '../exit-watch.ts'
import { variantEnvironment } from '../variants.ts'
import { storageProxy, type StorageProxy } from './storage-proxy.ts'

export interface FilesFault {
  name: string
  title: string
  /** Until `signal` aborts. @returns how many faults were injected. */
  disturb(arena: FilesArena, signal: AbortSignal): Promise<number>
}

export interface FilesCounts {
  injected: number
  uploads: number
  /** Attachments, tasks and projects that were deleted. */
  deletions: number
  objects: number
  /** Objects without a row, and rows without an object. */
  orphans: number
  missing: number
  /** Completions of deliveries beyond the first. */
  repeated: number
}

export interface FilesOutcome {
  name: string
  title: string
  counts: FilesCounts
  violations: string[]
}

interface FilesOptions {
  seed: number
  /** Of `variants.ts`; `failpoints` by default. */
  variant?: string
  /** Longest wait for the end of all jobs. */
  settleMs?: number
  report: (line: string) => void
}

const lanes = 4

export class FilesArena implements AsyncDisposable {
  readonly #exits = new ExitWatch()
  #runs = 0

  private constructor(
    private readonly options: FilesOptions,
    readonly cluster: Cluster,
    readonly store: StorageProxy,
    /** Past the proxy. */
    readonly storage: Storage,
    readonly db: Database,
    readonly redis: Redis,
    readonly api: Api,
    readonly token: string,
    private readonly stack: AsyncDisposableStack,
  ) {}

  static async open(options: FilesOptions): Promise<FilesArena> {
    await using stack = new AsyncDisposableStack()
    const s3 = stack.use(await startS3Server())
    const store = stack.use(await storageProxy(s3.port))
    const environment = {
      ...variantEnvironment(options.variant ?? 'failpoints'),
      ...s3.environment(store.port),
    }
    const { report } = options
    const cluster = stack.use(await startCluster({ servers: 1, workers: 2, environment, report }))
    const log = createLog('chaos', 'silent')
    const url = cluster.databaseUrl
    const db = stack.use(openDatabase({ url, max: 2, applicationName: 'chaos', log, deadlineMs: 30_000 }))
    const redis = stack.use(openRedis(cluster.redisUrl, 'request', log)).client
    const storage = stack.use(s3Storage(s3.settings(), '/tmp', log))
    // A second completion of a delivery is a second row.
    await db.transact(async (tx) => {
      await tx`create table completions (delivery_id uuid not null)`
      await tx`
        create function note_completion() returns trigger language plpgsql as $$
        begin
          insert into completions values (new.id);
          return null;
        end $$`
      await tx`
        create trigger note_completion after update on deliveries
        for each row when (new.state = 'done') execute function note_completion()`
    })
    const api = createApi(cluster)
    const person = { name: 'Person', email: 'person@example.com', password: 'a storm of many files' }
    const session = expectStatus(await api.call('POST', '/api/auth/register', null, person), 201, 'register')
    return new FilesArena(options, cluster, store, storage, db, redis, api, session.accessToken, stack.move())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stack.disposeAsync()
  }

  /** Exits of the role while `work` runs are expected. */
  down(role: Role, work: () => Promise<unknown>): Promise<void> {
    return this.#exits.expected(role, work)
  }

  async run(fault: FilesFault, seconds: number): Promise<FilesOutcome> {
    this.#runs += 1
    const violations: string[] = []
    const stopWatching = this.#exits.watch(this.cluster, (line) => violations.push(line))
    const counts = { injected: 0, uploads: 0, deletions: 0, objects: 0, orphans: 0, missing: 0, repeated: 0 }
    const random = createRandom(this.options.seed * 31 + this.#runs)
    const signal = AbortSignal.timeout(seconds * 1_000)
    const end = new AbortController()
    const traffic = Array.from({ length: lanes }, () => this.#lane(random, end.signal, counts))
    try {
      counts.injected = await fault.disturb(this, signal)
      this.store.mode = 'healthy'
      await eventually(
        () => {
          if (counts.uploads === 0 || counts.deletions === 0) throw new Error('no traffic')
        },
        { timeoutMs: 30_000, everyMs: 50 },
      ).catch((error: unknown) => violations.push(String(error)))
      end.abort()
      await Promise.all(traffic)
      await this.settle().catch((error: unknown) => violations.push(`does not settle: ${String(error)}`))
      Object.assign(counts, await this.compare())
    } finally {
      end.abort()
      stopWatching()
    }
    if (counts.orphans > 0) violations.push(`${counts.orphans} objects without a row`)
    if (counts.missing > 0) violations.push(`${counts.missing} rows without an object`)
    if (counts.repeated > 0) violations.push(`${counts.repeated} deliveries done twice`)
    return { name: fault.name, title: fault.title, counts, violations }
  }

  /** Adds projects with files, and removes attachments, tasks and projects again. What fails is tried no more. */
  async #lane(random: Random, signal: AbortSignal, counts: FilesCounts): Promise<void> {
    while (!signal.aborted) {
      const project = await this.ask('POST', '/api/projects', { name: 'Files' })
      if (!project) continue
      for (let n = 0; n < 4 && !signal.aborted; n += 1) {
        const task = await this.ask('POST', '/api/tasks', { projectId: project.id, title: `Task ${n}` })
        if (!task) continue
        const attachments = await Promise.all(Array.from({ length: 3 }, () => this.upload(task.id)))
        counts.uploads += attachments.filter(Boolean).length
        const [first] = attachments
        if (first && random.between(0, 1) === 0)
          counts.deletions += await this.remove(`/api/attachments/${first}`)
        if (random.between(0, 2) === 0) counts.deletions += await this.remove(`/api/tasks/${task.id}`)
      }
      if (random.between(0, 2) > 0) counts.deletions += await this.remove(`/api/projects/${project.id}`)
    }
  }

  /** The body of an answer with 2xx; null for any other end. */
  async ask(method: string, path: string, body?: object): Promise<any> {
    return this.#send(method, path, body && JSON.stringify(body), { 'Content-Type': 'application/json' })
  }

  /** @returns the id of the attachment, null where it was not acknowledged. */
  async upload(taskId: string, text = crypto.randomUUID()): Promise<string | null> {
    const form = new FormData()
    form.append('file', new File([`note ${text}\n`], 'note.txt', { type: 'text/plain' }))
    return (await this.#send('POST', `/api/tasks/${taskId}/attachments`, form))?.id ?? null
  }

  async remove(path: string): Promise<number> {
    return (await this.#send('DELETE', path)) === null ? 0 : 1
  }

  async #send(
    method: string,
    path: string,
    body?: string | FormData,
    headers: Record<string, string> = {},
  ): Promise<any> {
    const url = this.cluster.servers[0]!.url + path
    try {
      const response = await fetch(url, {
        method,
        headers: { Authorization: `Bearer ${this.token}`, ...(body !== undefined && headers) },
        ...(body !== undefined && { body }),
        signal: AbortSignal.timeout(15_000),
      })
      const text = await response.text()
      return response.ok ? (text === '' ? {} : JSON.parse(text)) : null
    } catch {
      await Bun.sleep(100) // the server is being started again
      return null
    }
  }

  /** Waits until uploads that were cut off have expired and every job is done. */
  async settle(): Promise<void> {
    let left = 0
    await eventually(
      async () => {
        await this.db.transact(
          (tx) =>
            tx`update attachments set expires_at = now() - interval '1 second' where expires_at > now()`,
        )
        const [row] = await this.db.read(
          (sql) => sql<{ open: number }[]>`
            select (select count(*) from deliveries where state not in ('done', 'failed') and next_at < now() + interval '1 hour')
              + (select count(*) from file_deletions where created_at <= now())
              + (select count(*) from attachments where state <> 'ready') as open`,
        )
        left = row!.open
        if (left > 0) throw new Error(`${left} deliveries, deletions and uploads are open`)
      },
      { timeoutMs: this.options.settleMs ?? 60_000, everyMs: 250, progress: () => left },
    )
  }

  /** Lists the store and the rows. */
  async compare(): Promise<Pick<FilesCounts, 'objects' | 'orphans' | 'missing' | 'repeated'>> {
    const stored = new Set((await Array.fromAsync(this.storage.list('attachments/'))).map(({ key }) => key))
    const rows = await this.db.read(
      (sql) => sql<{ key: string }[]>`
        select storage_key as key from attachments
        union select upload_key from attachments where upload_key is not null
        union select key from file_deletions`,
    )
    const owned = new Set(rows.map(({ key }) => key))
    const [done] = await this.db.read(
      (sql) => sql<{ repeated: number }[]>`
        select count(*) - count(distinct delivery_id) as repeated from completions`,
    )
    return {
      objects: stored.size,
      orphans: [...stored].filter((key) => !owned.has(key)).length,
      missing: [...owned].filter((key) => !stored.has(key)).length,
      repeated: done!.repeated,
    }
  }
}
