// The metrics of the log and its way to subscribers; names.ts has the others.
import type { MetricDefinition } from './metric-definition.ts'

export const logMetrics = {
  tasktide_feed_stage_seconds: {
    type: 'histogram',
    help: 'Stages of an entry: commit_to_stream, stream_to_hub, hub_to_socket, and commit_to_hub by the clocks of both ends',
    labels: ['stage'],
    role: 'every',
  },
  tasktide_feed_lag_entries: {
    type: 'gauge',
    help: 'Entries of a shard between the last known head and the position of this process',
    labels: ['shard'],
    role: 'every',
    aggregator: 'max',
  },
  tasktide_feed_confirmed_age_seconds: {
    type: 'gauge',
    help: 'Time since the positions were last confirmed by the heads in PostgreSQL',
    labels: [],
    role: 'every',
    aggregator: 'max',
  },
  tasktide_feed_entries_total: {
    type: 'counter',
    help: 'Entries admitted, by where they came from first',
    labels: ['source'],
    role: 'every',
  },
  tasktide_feed_gap_fills_total: {
    type: 'counter',
    help: 'Gaps of streams that were filled from PostgreSQL',
    labels: [],
    role: 'every',
  },
  tasktide_feed_contiguity_violations_total: {
    type: 'counter',
    help: 'Gaps inside one answer of a stream or of the log: must be 0',
    labels: [],
    role: 'every',
  },
  tasktide_feed_pushes_total: {
    type: 'counter',
    help: 'Pushes of committed entries to the streams that were sent; of these refused (a gap, repaired) and failed',
    labels: ['outcome'],
    role: 'every',
  },
  tasktide_feed_push_dropped_total: {
    type: 'counter',
    help: 'Committed entries that this process left to the sweeper',
    labels: [],
    role: 'every',
  },
  tasktide_feed_replays_total: {
    type: 'counter',
    help: 'Pages of missed entries by where they were found',
    labels: ['source'],
    role: 'every',
  },
  tasktide_sweeper_repairs_total: {
    type: 'counter',
    help: 'Streams that the sweeper found behind the log and filled',
    labels: [],
    role: 'worker',
  },
  tasktide_log_losses_total: {
    type: 'counter',
    help: 'Losses of commits by PostgreSQL that the sweeper met: a new epoch began each time',
    labels: [],
    role: 'worker',
  },
  tasktide_log_stray_entries: {
    type: 'gauge',
    help: 'Entries of the log that are in no daily partition (counted hourly; 10,000 means at least as many); 0 is right',
    labels: [],
    role: 'worker',
  },
} as const satisfies Record<string, MetricDefinition>
