// The metrics of a server process: every name of the server with the part that counts it.
import packageJson from '../../package.json' with { type: 'json' }
import { feedSources, samplesBy, type FeedParts } from '../changelog/feed-sources.ts'
import type { LiveStats } from '../changelog/live-stats.ts'
import type { Config } from '../config.ts'
import type { Database } from '../db/client.ts'
import { poolSources } from '../db/pool-sources.ts'
import type { BodyBudget } from '../http/body/body-budget.ts'
import type { KeptAnswers } from '../http/kept-answers.ts'
import type { RouteMeters } from '../http/route-meters.ts'
import type { UnsentAnswers } from '../http/unsent-answers.ts'
import type { RateLimiter } from '../limits/window.ts'
import { createExposition, type Exposition, type Source } from '../metrics/exposition.ts'
import { serveInternally, type InternalServer } from '../metrics/internal-server.ts'
import type { ServerMetric } from '../metrics/names.ts'
import { processSources } from '../metrics/process-sources.ts'

export interface ServerParts extends FeedParts {
  db: Pick<Database, 'calls' | 'poolUse'>
  tailDb: Pick<Database, 'calls' | 'poolUse'>
  meters: Pick<RouteMeters, 'samples'>
  kept: Pick<KeptAnswers, 'bytes' | 'counts'>
  bodies: Pick<BodyBudget, 'taken'>
  unsent: Pick<UnsentAnswers, 'bytes'>
  limiter: Pick<RateLimiter, 'misses'>
  stats: LiveStats
}

/** The internal server, where the configuration has one. */
export const serveMetrics = (
  { metricsPort: port, internalHost: host }: Pick<Config, 'metricsPort' | 'internalHost'>,
  metrics: () => Promise<string>,
): InternalServer | null => {
  if (port === null) return null
  const internal = serveInternally({ host, port, setting: 'METRICS_PORT' })
  internal.answer({ metrics })
  return internal
}

export const serverMetrics = (parts: ServerParts): Exposition => {
  const { meters, kept, bodies, unsent, limiter, stats } = parts
  return createExposition({
    ...processSources(packageJson.version),
    ...poolSources({ main: parts.db, tail: parts.tailDb }),
    ...feedSources(parts),
    tasktide_http_request_duration_seconds: () => meters.samples(),
    tasktide_kept_answers_total: () => {
      const { built, hits, taken } = kept.counts
      return samplesBy('outcome', { built, hit: hits, shared: taken })
    },
    tasktide_kept_answers_bytes: () => kept.bytes,
    tasktide_request_body_bytes: () => bodies.taken,
    tasktide_unsent_answer_bytes: () => unsent.bytes,
    tasktide_limiter_without_redis_total: () => limiter.misses,
    tasktide_sockets: () => stats.sockets,
    tasktide_socket_frames_total: () => {
      const { sent, signals, presence, signalsDropped } = stats
      return samplesBy('kind', { event: sent, signal: signals, presence, signal_dropped: signalsDropped })
    },
    tasktide_socket_resyncs_total: () => samplesBy('reason', stats.resyncs),
    tasktide_sockets_parked_total: () => stats.parked,
    tasktide_sockets_dropped_total: () =>
      samplesBy('reason', { slow_consumer: stats.dropped, overloaded: stats.overloaded }),
    tasktide_snapshots_total: () =>
      samplesBy('outcome', { read: stats.snapshotsRead, shared: stats.snapshotsShared }),
  } satisfies Record<ServerMetric, Source>)
}
