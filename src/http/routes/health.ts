// Liveness, readiness, health and version for load balancers, supervisors and people. A process is unready without
// PostgreSQL or its migrations and while it drains, because no request works without them; every other fault only
// degrades it. Concurrent probes share one database read, at most two a second, and each ends at its deadline.
import packageJson from '../../../package.json' with { type: 'json' }
import type { DatabaseCalls } from '../../db/client.ts'
import { readMigrations } from '../../db/migrations/migration-files.ts'
import { selectReadiness } from '../../db/readiness.ts'
import { withTimeout } from '../../async/timeout.ts'
import { AppError, messageOf } from '../../errors.ts'
import type { RedisProbe } from '../../redis/redis-check.ts'
import type { StorageProbe } from '../../storage/open.ts'
import type { Log } from '../../log.ts'
import { Health, Liveness, Readiness, Version } from '../../model/health.ts'
import { ok } from '../response.ts'
import { RouteGroup } from '../route-group.ts'
import { describedIn } from '../route.ts'

/** Sources of the probes, read at each request. */
export interface HealthDeps {
  systemDb: DatabaseCalls
  log: Log
  redisHealth: RedisProbe
  storageHealth: StorageProbe
  draining: { readonly aborted: boolean }
  /** `confirmedAt`: epoch milliseconds of the last check that found no undelivered entry. */
  follower: { readonly confirmedAt: number }
}

const cacheMs = 500
const deadlineMs = 1_500
/** Positions are confirmed every 250 ms; beyond this lag the live data of this process is late. */
const maxFeedLagMs = 2_000

const startedAt = Date.now()
const detail = describedIn('Operations')
const traits = { access: 'public', rateLimit: 'none' } as const

const fresh = { 'Cache-Control': 'no-store' }

export const healthRoutes = (deps: HealthDeps) => {
  let versions: Promise<number[]> | undefined // of the migration files, which do not change while the process runs
  const probe = cached(() => probeDatabase(deps, () => (versions ??= knownVersions())))

  const examine = async (): Promise<Health> => {
    const [database, redis, storage] = await Promise.all([probe(), deps.redisHealth(), deps.storageHealth()])
    const lagMs = Math.max(0, Date.now() - deps.follower.confirmedAt)
    const parts: Health['parts'] = {
      process: { status: deps.draining.aborted ? 'down' : 'up' },
      postgres: database.postgres,
      migrations: database.migrations,
      redis,
      storage: { status: storage.status, ...(storage.reason !== undefined && { reason: storage.reason }) },
      feed: { status: lagMs <= maxFeedLagMs ? 'up' : 'degraded', lagMs },
    }
    const statuses = new Set(Object.values(parts).map((part) => part.status))
    return {
      status: statuses.has('down') ? 'down' : statuses.has('degraded') ? 'degraded' : 'up',
      version: packageJson.version,
      uptimeSeconds: Math.floor((Date.now() - startedAt) / 1000),
      parts,
    }
  }

  const requireReady = async (): Promise<Health> => {
    const health = await examine()
    const down = Object.entries(health.parts).find(([, part]) => part.status === 'down')
    if (down)
      throw new AppError('unavailable', undefined, {
        retryAfter: 1,
        extra: { part: down[0], parts: health.parts },
      })
    return health
  }

  return new RouteGroup()
    .get('/livez', () => ok({ status: 'up' }, fresh), {
      response: { 200: Liveness },
      detail: { ...detail('Whether the process answers at all', traits), operationId: 'livez' },
    })
    .get(
      '/readyz',
      async () => {
        const { status, parts } = await requireReady()
        const reasons = reasonsOf(parts)
        const body: Readiness = { status, parts: statusesOf(parts), ...(reasons && { reasons }) }
        return ok(body, fresh)
      },
      {
        response: { 200: Readiness },
        detail: {
          ...detail('Whether the process should be given requests; 503 names the part that is down', traits),
          operationId: 'readyz',
        },
      },
    )
    .get('/health', async () => ok(await requireReady(), fresh), {
      response: { 200: Health },
      detail: {
        ...detail('The state of each part; 503 names the part that is down', traits),
        operationId: 'health',
      },
    })
    .get('/version', () => ok(version, fresh), {
      response: { 200: Version },
      detail: { ...detail('What is running', traits), operationId: 'version' },
    })
}

const version: Version = {
  name: packageJson.name,
  version: packageJson.version,
  runtime: `bun ${Bun.version}`,
}

const statusesOf = (parts: Health['parts']): Readiness['parts'] => ({
  process: parts.process.status,
  postgres: parts.postgres.status,
  migrations: parts.migrations.status,
  redis: parts.redis.status,
  storage: parts.storage.status,
  feed: parts.feed.status,
})

const reasonsOf = ({ postgres, redis, storage }: Health['parts']): Readiness['reasons'] | null => {
  const reasons = {
    ...(postgres.reason !== undefined && { postgres: postgres.reason }),
    ...(redis.reason !== undefined && { redis: redis.reason }),
    ...(storage.reason !== undefined && { storage: storage.reason }),
  }
  return Object.keys(reasons).length === 0 ? null : reasons
}

type DatabaseParts = Pick<Health['parts'], 'postgres' | 'migrations'>

const knownVersions = async (): Promise<number[]> => (await readMigrations()).map(({ version }) => version)

const probeDatabase = async (
  { systemDb, log }: HealthDeps,
  known: () => Promise<number[]>,
): Promise<DatabaseParts> => {
  const startedReadingAt = performance.now()
  try {
    // The call keeps its own, longer deadline: a result too late for this probe may still arrive.
    const read = await withTimeout(deadlineMs, 'PostgreSQL', systemDb.read(selectReadiness))
    const applied = new Set(read.versions)
    const reason = read.isReadOnly ? 'PostgreSQL only reads' : systemDb.refusedWrite()
    const latencyMs = Math.round((performance.now() - startedReadingAt) * 100) / 100
    const pending = (await known()).filter((version) => !applied.has(version)).length
    return {
      postgres: {
        status: reason === null ? 'up' : 'degraded',
        latencyMs,
        ...(reason !== null && { reason }),
      },
      migrations: { status: pending === 0 ? 'up' : 'down', pending },
    }
  } catch (error) {
    const fields = { cause: messageOf(error), oncePerMinute: 'postgres is away' }
    log.warn(fields, 'PostgreSQL does not answer the readiness probe')
    return { postgres: { status: 'down' }, migrations: { status: 'unknown' } }
  }
}

/** One probe at a time, shared by concurrent requests; its result is kept for `cacheMs`. */
const cached = <T>(probe: () => Promise<T>): (() => Promise<T>) => {
  let current: Promise<T> | null = null
  return () => {
    current ??= probe().finally(() => {
      setTimeout(() => (current = null), cacheMs).unref()
    })
    return current
  }
}
