// A worker: consumers on the shards it holds, and the loops that run as long as it does, each under locks in
// PostgreSQL, so that any number of workers may run. Starts its parts in order and disposes them in reverse.
import type { Config } from '../config.ts'
import type { Database } from '../db/client.ts'
import { openLeases } from '../db/leases.ts'
import type { RedisProbe } from '../redis/redis-check.ts'
import type { Redis, RedisConnection } from '../redis/connection.ts'
import { LogFollower } from '../changelog/follower/log-follower.ts'
import { comingDue, overdue, reminded } from '../domain/notifications/due-sources.ts'
import type { StreamPublisher } from '../changelog/publisher.ts'
import { newReplayCounts } from '../changelog/live-stats.ts'
import type { SweeperStats } from '../changelog/sweeper.ts'
import type { Log } from '../log.ts'
import type { Mailer } from '../mail/mailer.ts'
import type { StorageProbe } from '../storage/open.ts'
import type { Storage } from '../storage/storage.ts'
import { consumers } from './all-consumers.ts'
import { processors } from './all-jobs.ts'
import { newStats, type Consumer, type ConsumerStats } from './engine/consumer.ts'
import { createLogSource } from './engine/log-source.ts'
import { PositionStore } from './engine/position-store.ts'
import { ShardConsumer } from './engine/shard-consumer.ts'
import { Shards } from './engine/shards.ts'
import { examineWorker, lagOf, readinessOf } from './health.ts'
import type { JobDeps } from './jobs/processor.ts'
import { startJobs } from './jobs/runner.ts'
import type { FeedStages } from '../metrics/feed-stages.ts'
import type { InternalServer } from '../metrics/internal-server.ts'
import { workerMetrics } from './metrics.ts'
import { expireUploads, queueDeletions, scheduleSweep } from './loops/files.ts'
import { loop } from './loops/loop.ts'
import { maintain, type MaintenanceStats, type Retention } from './loops/maintenance.ts'
import { newDueStats, notifyDue, type DueStats } from './loops/due.ts'
import {
  announceStatistics,
  checkStatisticsNightly,
  newStatisticsStats,
  type StatisticsStats,
} from './loops/statistics.ts'
import { foldNames, normaliseNames, normaliseTasks } from './loops/text-form.ts'
import { WorkloadProbe, workloadLogging } from './workload.ts'

export interface WorkerDeps {
  config: Pick<Config, 'databaseUrl' | 'overdueIntervalMs'> & Retention & JobDeps['config']
  log: Log
  db: Database
  /** A small pool of its own: the follower never waits for a connection behind the work. */
  tailDb: Database
  redis: Redis
  /** Opens a blocking connection for the follower. */
  connect: () => RedisConnection
  /** Opens a connection for the workers of job queues. */
  connectJobs: () => RedisConnection
  publisher: StreamPublisher
  mailer: Mailer
  /** Objects of attachments and avatars. */
  storage: Storage
  storageHealth: StorageProbe
  redisHealth: RedisProbe
  sweeper: SweeperStats
  stages: FeedStages
  internal: InternalServer
}

export interface Worker extends AsyncDisposable {
  /** Shards held now. */
  readonly shards: number[]
  /** By consumer. */
  readonly consumers: ReadonlyMap<string, ConsumerStats>
  readonly overdue: DueStats
  readonly dueSoon: DueStats
  readonly statistics: StatisticsStats
}

const maintainEveryMs = 60 * 60 * 1000
/** How long a task that a server of the previous version wrote is searched by that version's rules. */
const textFormEveryMs = 5_000
const workloadEveryMs = 60_000
const filesEveryMs = 3_000
const announceEveryMs = 1_000
const checkEveryMs = 10 * 60 * 1000
/**
 * Milliseconds between two reads of the streams while entries keep coming; the first after a rest is read at once. Each read
 * wakes every consumer of its shards: at 20 ms that was a third of the worker's CPU time under 1,500 creates a second.
 */
const streamPaceMs = 50
/** Consumers read soon after an entry is admitted; older entries they read from the stream. */
const ring = { maxEntries: 1_000, maxBytes: 1024 * 1024 }

/**
 * Resolves when the worker answers as ready; its shards follow within a second. The consumers must have positions
 * (`installConsumers`).
 */
export const startWorker = async (deps: WorkerDeps): Promise<Worker> => {
  const { config, log, db, tailDb, redis, publisher, stages } = deps
  await using stack = new AsyncDisposableStack()
  const replays = newReplayCounts()
  const follower = stack.use(
    new LogFollower({
      connect: deps.connect,
      redis,
      db,
      tailDb,
      log,
      stats: { replays },
      ring,
      stages,
      paceMs: streamPaceMs,
    }),
  )
  const source = stack.use(createLogSource(follower))
  await follower.start()
  const positions = new PositionStore(db)

  const maintenance: MaintenanceStats = { strayEntries: 0 }
  const stats = new Map(consumers.map(({ name }) => [name, newStats()]))
  const shardConsumers = new Set<ShardConsumer>()
  const consume = async (consumer: Consumer, shard: number, signal: AbortSignal): Promise<void> => {
    const own = new ShardConsumer(
      { db, publisher, source, positions, log },
      consumer,
      shard,
      stats.get(consumer.name)!,
    )
    shardConsumers.add(own)
    await own.run(signal)
    shardConsumers.delete(own)
  }
  const shards = stack.use(
    new Shards({
      open: () => openLeases({ url: config.databaseUrl, applicationName: 'tasktide worker leases' }),
      log,
      run: async (shard, signal) => {
        await Promise.all(consumers.map((consumer) => consume(consumer, shard, signal)))
      },
    }),
  )

  const { mailer, storage } = deps
  const jobs = stack.use(
    startJobs({
      deps: { db, publisher, storage, mailer, config, log },
      processors,
      redis,
      connect: deps.connectJobs,
    }),
  )

  const overdueStats = newDueStats()
  const dueSoonStats = newDueStats()
  const statistics = newStatisticsStats()
  const stop = new AbortController()
  const { signal } = stop
  const workload = new WorkloadProbe({ db, tailDb, storage })
  const loops = Promise.all([
    loop({
      name: 'overdue',
      everyMs: config.overdueIntervalMs,
      log,
      signal,
      work: () => notifyDue({ db, publisher, stats: overdueStats, signal }, overdue),
    }),
    loop({
      name: 'due-soon',
      everyMs: config.overdueIntervalMs,
      log,
      signal,
      work: async () => {
        await notifyDue({ db, publisher, stats: dueSoonStats, signal }, comingDue)
        await notifyDue({ db, publisher, stats: dueSoonStats, signal }, reminded)
      },
    }),
    loop({
      name: 'maintenance',
      everyMs: maintainEveryMs,
      log,
      signal,
      work: async () => {
        await maintain({ db, log, config, stats: maintenance, signal })
        await scheduleSweep({ db })
      },
    }),
    loop({
      name: 'names',
      everyMs: maintainEveryMs,
      log,
      signal,
      work: async () => {
        await normaliseNames({ db, publisher, log, signal })
        await foldNames({ db, publisher, log, signal })
      },
    }),
    loop({
      name: 'text',
      everyMs: textFormEveryMs,
      log,
      signal,
      work: async () => {
        await normaliseTasks({ db, publisher, log, signal })
      },
    }),
    loop({
      name: 'workload',
      everyMs: workloadEveryMs,
      log,
      signal,
      work: workloadLogging(workload, log),
    }),
    loop({
      name: 'files',
      everyMs: filesEveryMs,
      log,
      signal,
      work: async () => {
        await expireUploads({ db, signal })
        await queueDeletions({ db, signal })
      },
    }),
    loop({
      name: 'statistics',
      everyMs: announceEveryMs,
      log,
      signal,
      work: () => announceStatistics({ db, publisher, signal }),
    }),
    loop({
      name: 'statistics check',
      everyMs: checkEveryMs,
      log,
      signal,
      work: () => checkStatisticsNightly({ db, log, stats: statistics, signal }),
    }),
  ])
  stack.defer(async () => {
    stop.abort()
    await loops
  })

  const health = {
    db,
    tailDb,
    storageHealth: deps.storageHealth,
    mailer: deps.mailer,
    workload,
    redisHealth: deps.redisHealth,
    shards,
    follower,
    stats,
    shardConsumers,
    overdue: overdueStats,
    dueSoon: dueSoonStats,
  }
  const examine = () => examineWorker({ ...health, isStopping: () => signal.aborted })
  const metrics = workerMetrics({
    ...health,
    pushes: publisher.stats,
    replays,
    stages,
    sweeper: deps.sweeper,
    maintenance,
    lagOf: (consumer) => lagOf(shardConsumers, consumer),
    statistics,
    jobs,
  })
  deps.internal.answer({
    metrics: async () => {
      await workload.read()
      return metrics.text()
    },
    readiness: async () => readinessOf(await examine()),
  })
  const owned = stack.move()
  return {
    get shards() {
      return shards.held
    },
    consumers: stats,
    overdue: overdueStats,
    dueSoon: dueSoonStats,
    statistics,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}
