// The metrics of a worker: every name of the worker with the part that counts it.
import packageJson from '../../package.json' with { type: 'json' }
import { feedSources, type FeedParts } from '../changelog/feed-sources.ts'
import type { SweeperStats } from '../changelog/sweeper.ts'
import type { Database } from '../db/client.ts'
import { poolSources } from '../db/pool-sources.ts'
import { createExposition, type Exposition, type Sample, type Source } from '../metrics/exposition.ts'
import type { WorkerMetric } from '../metrics/names.ts'
import { processSources } from '../metrics/process-sources.ts'
import type { ConsumerStats } from './engine/consumer.ts'
import type { Jobs } from './jobs/runner.ts'
import type { DueStats } from './loops/due.ts'
import type { MaintenanceStats } from './loops/maintenance.ts'
import type { StatisticsStats } from './loops/statistics.ts'
import type { WorkloadProbe } from './workload.ts'
import { workloadSources } from './workload-sources.ts'

export interface WorkerParts extends FeedParts {
  db: Pick<Database, 'calls' | 'poolUse'>
  tailDb: Pick<Database, 'calls' | 'poolUse'>
  sweeper: SweeperStats
  maintenance: MaintenanceStats
  shards: { readonly held: readonly number[] }
  stats: ReadonlyMap<string, ConsumerStats>
  /** Entries of the shards of this worker that the consumer has not read. */
  lagOf: (consumer: string) => number
  overdue: DueStats
  statistics: StatisticsStats
  jobs: Pick<Jobs, 'statsByQueue' | 'running'>
  workload: Pick<WorkloadProbe, 'last'>
}

export const workerMetrics = (parts: WorkerParts): Exposition => {
  const { shards, stats, lagOf, overdue, statistics, jobs } = parts
  const ofConsumers = (read: (counted: ConsumerStats) => number) => (): Sample[] =>
    Array.from(stats, ([consumer, counted]) => ({ labels: { consumer }, value: read(counted) }))
  return createExposition({
    ...processSources(packageJson.version),
    ...poolSources({ main: parts.db, tail: parts.tailDb }),
    ...feedSources(parts),
    tasktide_sweeper_repairs_total: () => parts.sweeper.repairs,
    tasktide_log_losses_total: () => parts.sweeper.losses,
    tasktide_log_stray_entries: () => parts.maintenance.strayEntries,
    tasktide_worker_shards: () => shards.held.length,
    tasktide_consumer_lag_entries: () =>
      Array.from(stats.keys(), (consumer) => ({ labels: { consumer }, value: lagOf(consumer) })),
    tasktide_consumer_entries_total: ofConsumers(({ entries }) => entries),
    tasktide_consumer_handled_total: ofConsumers(({ handled }) => handled),
    tasktide_consumer_failures_total: ofConsumers(({ failures }) => failures),
    tasktide_dead_letters_total: ofConsumers(({ deadLetters }) => deadLetters),
    tasktide_jobs_total: () =>
      Object.entries(jobs.statsByQueue).flatMap(([queue, counts]) =>
        Object.entries(counts).map(([outcome, value]) => ({ labels: { queue, outcome }, value })),
      ),
    tasktide_jobs_running: () => jobs.running,
    ...workloadSources(parts.workload),
    tasktide_overdue_lateness_seconds: () => overdue.lateness,
    tasktide_overdue_tasks_total: () => overdue.tasks,
    tasktide_statistics_checked_total: () => statistics.checked,
    tasktide_statistics_drift_total: () => statistics.drifted,
  } satisfies Record<WorkerMetric, Source>)
}
