// Workers that tests start, crash and stop beside a world, and what the workers left in the inboxes and in the log.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openDatabase, type Database } from '../../src/db/client.ts'
import { createPublisher } from '../../src/changelog/publisher.ts'
import { createRedisProbe } from '../../src/redis/redis-check.ts'
import { serveInternally } from '../../src/metrics/internal-server.ts'
import { openMailer } from '../../src/mail/open-mailer.ts'
import { openRedis } from '../../src/redis/connection.ts'
import { newFeedStages } from '../../src/metrics/feed-stages.ts'
import { startSweeper } from '../../src/changelog/sweeper.ts'
import { createLog } from '../../src/log.ts'
import { createStorageProbe } from '../../src/storage/open.ts'
import { diskStorage } from '../../src/storage/disk.ts'
import { startWorker, type Worker } from '../../src/worker/runner.ts'
import { testKeys, type World } from '../support/world.ts'

export const testRetention = {
  feedRetentionDays: 7,
  idempotencyRetentionHours: 24,
  sessionRetentionDays: 30,
  notificationRetentionDays: 90,
  deadLetterRetentionDays: 90,
  deliveryRetentionDays: 7,
}

/** Where links in mails of test workers lead, and the key of a world. */
export const linkConfig = {
  publicUrl: 'https://tasks.example.com',
  host: '127.0.0.1',
  port: 0,
  jwtKeys: testKeys,
}

export interface WorkerSettings {
  databaseUrl: string
  redisUrl: string
  overdueIntervalMs: number
  logLevel?: string
  /** Where mails go; files in the folder by default. */
  smtpUrl?: string
  /** Folder of files; one of its own that stays empty by default. */
  dataDir?: string
}

export interface TestWorker extends Worker {
  readonly url: string
  readonly port: number
}

/** A worker with connections of its own, as its process has. */
export const openWorker = async (settings: WorkerSettings): Promise<TestWorker> => {
  const { databaseUrl, redisUrl, overdueIntervalMs, logLevel = 'silent' } = settings
  const log = createLog('worker', logLevel)
  await using stack = new AsyncDisposableStack()
  const open = (max: number, applicationName: string): Database =>
    stack.use(openDatabase({ url: databaseUrl, max, applicationName, log }))
  const db = open(8, 'worker')
  const tailDb = open(3, 'worker tail')
  const redis = stack.use(openRedis(redisUrl, 'request', log))
  const internal = stack.use(serveInternally({ host: '127.0.0.1', port: 0, setting: 'WORKER_PORT' }))
  const publisher = stack.use(createPublisher({ redis: redis.client, db, log }))
  const dataDir = settings.dataDir ?? (await mkdtemp(join(tmpdir(), 'tide-data-')))
  if (settings.dataDir === undefined) stack.defer(() => rm(dataDir, { recursive: true, force: true }))
  const { smtpUrl = null } = settings
  const mailer = stack.use(openMailer({ smtpUrl, dataDir, mailFrom: 'Tasktide <tasks@example.com>' }, log))
  const storage = stack.use(diskStorage(join(dataDir, 'files')))
  const sweeper = stack.use(startSweeper({ redis: redis.client, db: tailDb, log, onLost: async () => {} }))
  const worker = stack.use(
    await startWorker({
      config: {
        databaseUrl,
        overdueIntervalMs,
        ...testRetention,
        ...linkConfig,
      },
      log,
      db,
      tailDb,
      redis: redis.client,
      connect: () => openRedis(redisUrl, 'blocking', log),
      connectJobs: () => openRedis(redisUrl, 'jobs', log),
      publisher,
      mailer,
      storage,
      storageHealth: createStorageProbe(storage),
      sweeper: sweeper.stats,
      stages: newFeedStages(),
      redisHealth: createRedisProbe(redis),
      internal,
    }),
  )
  const owned = stack.move()
  const { port } = internal
  const own: Partial<Record<string | symbol, unknown>> = {
    url: `http://127.0.0.1:${port}`,
    port,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
  return new Proxy(worker, {
    get: (target, key) => own[key] ?? Reflect.get(target, key),
  }) as TestWorker
}

/** A worker in a process of its own. @param environment over that of the test. */
export const spawnWorker = (settings: WorkerSettings, environment: Record<string, string> = {}) =>
  Bun.spawn([process.execPath, join(import.meta.dir, 'child.ts'), JSON.stringify(settings)], {
    env: { ...process.env, ...environment },
    stdout: 'pipe',
    stderr: 'inherit',
  })

/** Resolves when the spawned worker runs. @returns the port of its probes. */
export const readyPort = async ({ stdout }: ReturnType<typeof spawnWorker>): Promise<string> =>
  /^ready (\d+)/.exec(new TextDecoder().decode((await stdout.getReader().read()).value))![1]!

/** Runs `work` while `count` workers run. */
export const withWorkers = async (
  count: number,
  settings: WorkerSettings,
  work: () => Promise<unknown>,
): Promise<void> => {
  await using workers = new AsyncDisposableStack()
  for (let n = 0; n < count; n += 1) workers.use(await openWorker(settings))
  await work()
}

/** The contents of all inboxes: kind, task, user; sorted, so that exactly once is equality. */
export const inboxes = async (world: World): Promise<string[]> => {
  const rows = await world.server.deps.db.read(
    (sql) => sql<{ kind: string; taskId: string | null; userId: string }[]>`
      select kind, task_id as "taskId", user_id as "userId" from notifications`,
  )
  return rows.map(({ kind, taskId, userId }) => `${kind} ${taskId} ${userId}`).sort()
}

/** The same from the log: every `notification.created`, by the notification it carries. */
export const announced = async (world: World): Promise<string[]> => {
  const rows = await world.server.deps.db.read(
    (sql) => sql<{ scope: string; frame: string | null }[]>`
      select scope, frame from feed where type = 'notification.created'`,
  )
  return rows
    .map(({ scope, frame }) => {
      const { data } = JSON.parse(frame!) as { data: { kind: string; taskId: string | null } }
      return `${data.kind} ${data.taskId} ${scope.slice('user:'.length)}`
    })
    .sort()
}
