// Runs faults against uploads and deletions of real processes on an S3 server, then compares the store with the rows by
// listing both. Invariant that is checked: no object without a row, no row without an object or with another one than was
// uploaded, no delivery done twice, nothing acknowledged that is gone, no request without an answer.
import { openDatabase, type Database, type Tx } from '../../../src/db/client.ts'
import { openRedis, type Redis } from '../../../src/redis/connection.ts'
import { createLog } from '../../../src/log.ts'
import { s3Storage } from '../../../src/storage/s3.ts'
import type { Storage } from '../../../src/storage/storage.ts'
import { createApi, expectStatus } from '../../oracle/api.ts'
import { createRandom } from '../../oracle/random.ts'
import { startCluster, type Cluster, type Role } from '../../support/cluster.ts'
import { eventually } from '../../support/eventually.ts'
import { startS3Server } from '../../support/s3-server.ts'
import { ExitWatch } from '../exit-watch.ts'
import { addedLines, unhandled } from '../log-lines.ts'
import { variantEnvironment } from '../variants.ts'
import { findingNames, findings, noCounts, type FilesCounts } from './counts.ts'
import { compare, settle } from './end-state.ts'
import { FilesClient } from './files-client.ts'
import { storageProxy, type StorageProxy } from './storage-proxy.ts'
import { FilesTraffic, usualLanes, type Lanes } from './traffic.ts'

export interface FilesFault {
  name: string
  title: string
  /** Where they are not the usual ones. Without any, nothing but the fault itself uploads and deletes. */
  lanes?: Lanes
  /** Attempts may still run after another one has done their work. */
  leavesAttempts?: boolean
  /** Until `signal` aborts, and longer where it takes longer to inject each part once. @returns how many were injected. */
  disturb(arena: FilesArena, signal: AbortSignal): Promise<number>
}

export interface FilesOutcome {
  name: string
  title: string
  counts: FilesCounts
  violations: string[]
  notes: string[]
  /** The run ended before its counts. */
  isOver?: boolean
}

export interface FilesOptions {
  seed: number
  /** Of `variants.ts`; the points alone by default. */
  variant?: string
  /** Changes the schema before there is anything in it. */
  migrate?: (tx: Tx) => Promise<unknown>
  /** Ends with the first part of a fault where its time is over. */
  isShort?: boolean
  /** Longest wait for the end of all jobs. */
  settleMs?: number
  report: (line: string) => void
}

/** A second completion of a delivery is a second row. */
const prepare = async (tx: Tx, migrate: FilesOptions['migrate']): Promise<void> => {
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
  await migrate?.(tx)
}

export class FilesArena implements AsyncDisposable {
  readonly #exits = new ExitWatch()
  #runs = 0
  /** Of the current run. */
  counts = noCounts()
  violations: string[] = []
  notes: string[] = []

  private constructor(
    private readonly options: FilesOptions,
    readonly cluster: Cluster,
    readonly store: StorageProxy,
    /** Past the proxy. */
    readonly storage: Storage,
    readonly db: Database,
    readonly redis: Redis,
    readonly client: FilesClient,
    private readonly stack: AsyncDisposableStack,
  ) {}

  static async open(options: FilesOptions): Promise<FilesArena> {
    await using stack = new AsyncDisposableStack()
    const s3 = stack.use(await startS3Server())
    const store = stack.use(await storageProxy(s3.port))
    const environment = {
      ...variantEnvironment(options.variant ?? 'files'),
      ...s3.environment(store.port),
    }
    const { report } = options
    const cluster = stack.use(await startCluster({ servers: 1, workers: 2, environment, report }))
    const log = createLog('chaos', 'silent')
    const url = cluster.databaseUrl
    const db = stack.use(openDatabase({ url, max: 4, applicationName: 'chaos', log, deadlineMs: 30_000 }))
    const redis = stack.use(openRedis(cluster.redisUrl, 'request', log)).client
    const storage = stack.use(s3Storage(s3.settings(), '/tmp', log))
    // The lock of a table in use is waited for in tries, each of which the pool cuts off.
    await eventually(() => db.transact((tx) => prepare(tx, options.migrate)), { timeoutMs: 60_000 })
    const person = { name: 'Person', email: 'person@example.com', password: 'a storm of many files' }
    const session = expectStatus(
      await createApi(cluster).call('POST', '/api/auth/register', null, person),
      201,
      'register',
    )
    const client = new FilesClient(cluster.servers[0]!.url, session.accessToken)
    return new FilesArena(options, cluster, store, storage, db, redis, client, stack.move())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stack.disposeAsync()
  }

  get isShort(): boolean {
    return this.options.isShort ?? false
  }

  /** Exits of the role while `work` runs are expected. */
  down(role: Role, work: () => Promise<unknown>): Promise<void> {
    return this.#exits.expected(role, work)
  }

  async run(fault: FilesFault, seconds: number): Promise<FilesOutcome> {
    this.#runs += 1
    const counts = (this.counts = noCounts())
    const violations = (this.violations = [])
    const notes = (this.notes = [])
    const stopWatching = this.#exits.watch(this.cluster, (line) => this.violations.push(line))
    const { client, db } = this
    client.counts = { hung: 0, leaking: 0 }
    const errorsBefore = await this.cluster.errorsLogged()
    const random = createRandom(this.options.seed * 31 + this.#runs)
    const traffic = new FilesTraffic({ client, db, random, counts })
    const end = new AbortController()
    const lanes = fault.lanes ?? usualLanes
    const running = traffic.run(lanes, end.signal)
    try {
      counts.injected = await fault.disturb(this, AbortSignal.timeout(seconds * 1_000))
      this.store.mode = 'healthy'
      await this.untilTraffic(lanes)
      end.abort()
      await running
      counts.unsettled = await this.#settle(fault)
      Object.assign(counts, await compare(this, traffic.kept), client.counts)
      this.violations.push(...unhandled(addedLines(errorsBefore, await this.cluster.errorsLogged())))
    } finally {
      end.abort()
      stopWatching()
    }
    if (counts.injected === 0) this.violations.push('nothing was injected')
    for (const name of findingNames)
      if (counts[name] > 0) this.violations.push(`${counts[name]} ${findings[name]}`)
    return { name: fault.name, title: fault.title, counts, violations, notes }
  }

  /** At least one of each: a run without them shows nothing. */
  async untilTraffic({ uploads, direct }: Lanes): Promise<void> {
    const { counts } = this
    const wanted = [
      ...(uploads > 0 ? (['uploads', 'deletions'] as const) : []),
      ...(direct > 0 ? (['verified', 'overwrites'] as const) : []),
    ]
    const done = (): number => wanted.reduce((sum, name) => sum + counts[name], 0)
    const look = (): void => {
      const none = wanted.filter((name) => counts[name] === 0)
      if (none.length > 0) throw new Error(`no ${none.join(', ')}`)
    }
    await eventually(look, { timeoutMs: 60_000, everyMs: 50, progress: done }).catch((error: unknown) =>
      this.violations.push(String(error)),
    )
  }

  /** @returns what does not end. */
  async #settle({ leavesAttempts = false }: FilesFault): Promise<number> {
    const timeoutMs = this.options.settleMs ?? 60_000
    const open = await settle(this.db, { timeoutMs, isLater: false })
    if (open > 0) return open
    // An attempt that goes on may store a copy later than it is deleted for the second time here, but not in two hours.
    if (leavesAttempts)
      await Promise.all(
        this.cluster.workers.map((worker) =>
          this.down(worker, async () => {
            await worker.stop()
            await worker.start()
          }),
        ),
      )
    return settle(this.db, { timeoutMs, isLater: true })
  }
}
