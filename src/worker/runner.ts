// A worker: consumers over the shards it holds, and the loops that must never end, each under PostgreSQL's locks
// so that any number of workers may run. Starting is opening one after the other; disposing is that reversed.
import type { Config } from '../config.ts'
import type { Database } from '../db/client.ts'
import { countDeadLetters, insertPositions } from '../db/log/consumers.ts'
import { openLeases } from '../db/leases.ts'
import type { RedisProbe } from '../redis/redis-check.ts'
import type { Redis, RedisConnection } from '../redis/connection.ts'
import { LogFollower } from '../changelog/follower/log-follower.ts'
import type { Log } from '../log.ts'
import {
  ShardConsumer,
  newStats,
  type Consumer,
  type ConsumerStats,
  type Failpoint,
} from './engine/shard-consumer.ts'
import { notifications } from './consumers/notifications.ts'
import { serveHealth, type WorkerHealth } from './http.ts'
import { maintain, type Retention } from './loops/maintenance.ts'
import { newOverdueStats, notifyOverdue, type OverdueStats } from './loops/overdue.ts'
import { bringNamesIntoForm, bringTasksIntoForm } from './loops/text-form.ts'
import { createLogSource } from './engine/log-source.ts'
import { loop } from './loops/loop.ts'
import { Shards } from './engine/shards.ts'
import type { Publisher } from '../changelog/publisher.ts'

export interface WorkerDeps {
  config: Pick<Config, 'databaseUrl' | 'workerPort' | 'overdueIntervalMs'> & Retention
  log: Log
  db: Database
  /** A small pool of its own, so that following the log never waits behind the work. */
  tailDb: Database
  redis: Redis
  /** Opens a blocking connection, for the follower. */
  connect: () => RedisConnection
  publisher: Publisher
  redisHealth: RedisProbe
  /** Tests only. */
  failpoint?: Failpoint
}

export interface Worker extends AsyncDisposable {
  url: string
  port: number
  /** Shards it holds now. */
  readonly shards: number[]
  /** By consumer. */
  readonly consumers: ReadonlyMap<string, ConsumerStats>
  readonly overdue: OverdueStats
}

const consumers: readonly Consumer[] = [notifications]

const maintainEveryMs = 60 * 60 * 1000
/** How long a task that a server of the version before wrote is searched by the rules of that version. */
const textFormEveryMs = 5_000
/** Confirmations come every 250 ms. */
const maxFeedLagMs = 2_000
/** Past this many unread entries something holds a consumer up. */
const maxLag = 10_000
/** Consumers read soon after an entry is admitted; what is older they read from the stream. */
const ring = { maxEntries: 1_000, maxBytes: 1024 * 1024 }

/** Gives a consumer that has none its positions: what is appended from then on will be handled. Before `startWorker`. */
export const installConsumers = (db: Database): Promise<void> =>
  db.transact(async (tx) => {
    for (const { name } of consumers) await insertPositions(tx, name)
  })

/** Resolves when the worker answers on its port; its shards follow within a second. */
export const startWorker = async (deps: WorkerDeps): Promise<Worker> => {
  const { config, log, db, tailDb, redis, publisher } = deps
  await using stack = new AsyncDisposableStack()
  const follower = stack.use(new LogFollower({ connect: deps.connect, redis, db, tailDb, log, ring }))
  const source = stack.use(createLogSource(follower))
  await follower.start()

  const stats = new Map(consumers.map(({ name }) => [name, newStats()]))
  const lanes = new Set<ShardConsumer>()
  const lane = async (consumer: Consumer, shard: number, signal: AbortSignal): Promise<void> => {
    const laneDeps = { db, publisher, source, log, failpoint: deps.failpoint }
    const lane = new ShardConsumer(laneDeps, consumer, shard, stats.get(consumer.name)!)
    lanes.add(lane)
    await lane.run(signal)
    lanes.delete(lane)
  }
  const shards = stack.use(
    new Shards({
      open: () => openLeases({ url: config.databaseUrl, applicationName: 'tasktide worker leases' }),
      log,
      run: async (shard, signal) => {
        await Promise.all(consumers.map((consumer) => lane(consumer, shard, signal)))
      },
    }),
  )

  const overdue = newOverdueStats()
  const stop = new AbortController()
  const { signal } = stop
  const loops = Promise.all([
    loop({
      name: 'overdue',
      everyMs: config.overdueIntervalMs,
      log,
      signal,
      work: () => notifyOverdue({ db, publisher, stats: overdue, signal }),
    }),
    loop({
      name: 'maintenance',
      everyMs: maintainEveryMs,
      log,
      signal,
      work: () => maintain({ db, log, config, signal }),
    }),
    loop({
      name: 'names',
      everyMs: maintainEveryMs,
      log,
      signal,
      work: async () => {
        await bringNamesIntoForm({ db, publisher, log, signal })
      },
    }),
    loop({
      name: 'text',
      everyMs: textFormEveryMs,
      log,
      signal,
      work: async () => {
        await bringTasksIntoForm({ db, publisher, log, signal })
      },
    }),
  ])
  stack.defer(async () => {
    stop.abort()
    await loops
  })

  const examine = async (): Promise<WorkerHealth> => {
    const [deadLetters, redisHealth] = await Promise.all([
      tailDb.read(countDeadLetters).catch(() => null),
      deps.redisHealth(),
    ])
    const refusal = db.refusedWrite()
    const read = [...stats].map(([name, { failures }]) => {
      const lag = [...lanes]
        .filter((lane) => lane.consumer.name === name)
        .reduce((sum, lane) => sum + lane.lag, 0)
      return [name, { lag, failures }] as const
    })
    const isLate = read.some(([, { lag }]) => lag > maxLag)
    return {
      parts: {
        process: signal.aborted ? 'down' : 'up',
        postgres: deadLetters === null ? 'down' : refusal === null ? 'up' : 'degraded',
        redis: redisHealth.status,
        feed: Date.now() - follower.confirmedAt <= maxFeedLagMs ? 'up' : 'degraded',
        consumers: isLate || (deadLetters ?? 0) > 0 ? 'degraded' : 'up',
      },
      reasons: {
        ...(refusal !== null && { postgres: refusal }),
        ...(redisHealth.reason !== undefined && { redis: redisHealth.reason }),
      },
      shards: shards.held,
      consumers: Object.fromEntries(read),
      deadLetters,
      overdue: { tasks: overdue.tasks, lateSecondsMax: overdue.lateness.max },
    }
  }
  const http = stack.use(serveHealth({ port: config.workerPort, examine }))

  const owned = stack.move()
  return {
    url: `http://127.0.0.1:${http.port}`,
    port: http.port,
    get shards() {
      return shards.held
    },
    consumers: stats,
    overdue,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}
