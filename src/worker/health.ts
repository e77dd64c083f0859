// The state of a worker, as /readyz reports it.
import type { Database } from '../db/client.ts'
import { countDeadLetters } from '../db/log/dead-letters.ts'
import type { RedisProbe } from '../redis/redis-check.ts'
import type { Mailer } from '../mail/mailer.ts'
import type { StorageProbe } from '../storage/open.ts'
import type { ConsumerStats } from './engine/consumer.ts'
import type { ShardConsumer } from './engine/shard-consumer.ts'
import type { DueStats } from './loops/due.ts'
import { needsAttention, type Workload, type WorkloadProbe } from './workload.ts'

/** A part that is `down` makes the worker unready; a `degraded` one is a hint for operators. */
export interface WorkerHealth {
  parts: Record<
    'process' | 'postgres' | 'redis' | 'storage' | 'mail' | 'feed' | 'consumers' | 'jobs',
    'up' | 'degraded' | 'down'
  >
  /** Why a part is degraded, where that is known. */
  reasons: { postgres?: string; redis?: string; storage?: string; mail?: string }
  /** Shards that this worker handles. */
  shards: number[]
  /** By consumer; `lag` is the number of entries of those shards not read yet. */
  consumers: Record<string, { lag: number; failures: number }>
  /** Of all workers, at most 10,000; null: unknown. */
  deadLetters: number | null
  /** Deliveries by kind, and the files, of all workers; null: unknown. */
  deliveries: Workload['deliveries'] | null
  files: Workload['files'] | null
  overdue: { tasks: number; lateSecondsMax: number }
  dueSoon: { tasks: number; lateSecondsMax: number }
}

export interface HealthDeps {
  /** The pool of the work, whose last write may have been refused. */
  db: Database
  /** The pool of the follower, which answers while the work has taken all connections of the other. */
  tailDb: Database
  redisHealth: RedisProbe
  storageHealth: StorageProbe
  mailer: { readonly health: Pick<Mailer['health'], 'read'> }
  workload: Pick<WorkloadProbe, 'read'>
  isStopping: () => boolean
  shards: { readonly held: number[] }
  follower: { readonly confirmedAt: number }
  stats: ReadonlyMap<string, ConsumerStats>
  shardConsumers: ReadonlySet<ShardConsumer>
  overdue: DueStats
  dueSoon: DueStats
}

/** The follower confirms its positions every 250 ms. */
const maxFeedLagMs = 2_000
/** A consumer with more unread entries is late. */
const maxLag = 10_000

/** Entries of the shards of this worker that the consumer has not read. */
export const lagOf = (shardConsumers: ReadonlySet<ShardConsumer>, consumer: string): number =>
  [...shardConsumers].filter((one) => one.consumer.name === consumer).reduce((sum, one) => sum + one.lag, 0)

/** The answer of /readyz. */
export const readinessOf = (health: WorkerHealth): { status: 200 | 503; body: object } => {
  const statuses = Object.values(health.parts)
  const status = statuses.includes('down') ? 'down' : statuses.includes('degraded') ? 'degraded' : 'up'
  return { status: status === 'down' ? 503 : 200, body: { status, ...health } }
}

export const examineWorker = async (deps: HealthDeps): Promise<WorkerHealth> => {
  const [deadLetters, redis, storage, workload] = await Promise.all([
    deps.tailDb.read(countDeadLetters).catch(() => null),
    deps.redisHealth(),
    deps.storageHealth(),
    deps.workload.read(),
  ])
  const refusal = deps.db.refusedWrite()
  const mailTrouble = deps.mailer.health.read()
  const consumers = [...deps.stats].map(
    ([name, { failures }]) => [name, { lag: lagOf(deps.shardConsumers, name), failures }] as const,
  )
  const isLate = consumers.some(([, { lag }]) => lag > maxLag)
  return {
    parts: {
      process: deps.isStopping() ? 'down' : 'up',
      postgres: deadLetters === null ? 'down' : refusal === null ? 'up' : 'degraded',
      redis: redis.status,
      storage: storage.status,
      mail: mailTrouble === null ? 'up' : 'degraded',
      feed: Date.now() - deps.follower.confirmedAt <= maxFeedLagMs ? 'up' : 'degraded',
      consumers: isLate || (deadLetters ?? 0) > 0 ? 'degraded' : 'up',
      jobs: workload === null || needsAttention(workload) ? 'degraded' : 'up',
    },
    reasons: {
      ...(refusal !== null && { postgres: refusal }),
      ...(redis.reason !== undefined && { redis: redis.reason }),
      ...(storage.reason !== undefined && { storage: storage.reason }),
      ...(mailTrouble !== null && { mail: mailTrouble }),
    },
    shards: deps.shards.held,
    consumers: Object.fromEntries(consumers),
    deadLetters,
    deliveries: workload?.deliveries ?? null,
    files: workload?.files ?? null,
    overdue: { tasks: deps.overdue.tasks, lateSecondsMax: deps.overdue.lateness.max },
    dueSoon: { tasks: deps.dueSoon.tasks, lateSecondsMax: deps.dueSoon.lateness.max },
  }
}
