// Every metric: its name, what it counts, its labels, and which role has it. Invariant: labels have few values, all known to
// the program (route patterns, shards, reasons), never ids, paths or addresses. docs/metrics.md lists the same; a test
// compares them.

import { logMetrics } from './log-names.ts'
import type { MetricDefinition } from './metric-definition.ts'

export const metrics = {
  // HTTP
  tasktide_http_request_duration_seconds: {
    type: 'histogram',
    help: 'Requests by route, from the arrival of the headers to the answer',
    labels: ['method', 'route', 'status'],
    role: 'server',
  },
  tasktide_kept_answers_total: {
    type: 'counter',
    help: 'Answers of lists and statistics that were built, sent again because nothing had changed (hit), or built by another process (shared)',
    labels: ['outcome'],
    role: 'server',
  },
  tasktide_kept_answers_bytes: {
    type: 'gauge',
    help: 'Memory of kept answers',
    labels: [],
    role: 'server',
  },
  tasktide_request_body_bytes: {
    type: 'gauge',
    help: 'Request bodies being read now',
    labels: [],
    role: 'server',
  },
  tasktide_unsent_answer_bytes: {
    type: 'gauge',
    help: 'Large answers that are not sent yet',
    labels: [],
    role: 'server',
  },
  tasktide_limiter_without_redis_total: {
    type: 'counter',
    help: 'Rate limit decisions that the process made alone because Redis did not answer',
    labels: [],
    role: 'server',
  },

  // PostgreSQL
  tasktide_db_calls_running: {
    type: 'gauge',
    help: 'Database calls of callers in flight',
    labels: [],
    role: 'every',
  },
  tasktide_db_callers: {
    type: 'gauge',
    help: 'Callers with a database call in flight or waiting',
    labels: [],
    role: 'every',
  },
  tasktide_db_pool_connections: {
    type: 'gauge',
    help: 'Connections of the pools by state; owing ones have a statement without an answer',
    labels: ['pool', 'state'],
    role: 'every',
  },

  ...logMetrics,

  // Sockets
  tasktide_sockets: { type: 'gauge', help: 'Open sockets', labels: [], role: 'server' },
  tasktide_socket_frames_total: {
    type: 'counter',
    help: 'Frames sent by kind',
    labels: ['kind'],
    role: 'server',
  },
  tasktide_socket_resyncs_total: {
    type: 'counter',
    help: 'Cursors that could not be continued, by reason',
    labels: ['reason'],
    role: 'server',
  },
  tasktide_sockets_parked_total: {
    type: 'counter',
    help: 'Times a socket had too much unsent and received nothing until it drained',
    labels: [],
    role: 'server',
  },
  tasktide_sockets_dropped_total: {
    type: 'counter',
    help: 'Sockets that were closed because they did not read (slow_consumer) or because the server had too much to do (overloaded); the log has a line with the code for every socket',
    labels: ['reason'],
    role: 'server',
  },
  tasktide_snapshots_total: {
    type: 'counter',
    help: 'Snapshots that were read, or shared with another caller',
    labels: ['outcome'],
    role: 'server',
  },

  // The worker
  tasktide_worker_shards: { type: 'gauge', help: 'Shards this worker handles', labels: [], role: 'worker' },
  tasktide_consumer_lag_entries: {
    type: 'gauge',
    help: 'Entries of the shards of this worker that a consumer has not read',
    labels: ['consumer'],
    role: 'worker',
  },
  tasktide_consumer_entries_total: {
    type: 'counter',
    help: 'Entries passed, with and without effect',
    labels: ['consumer'],
    role: 'worker',
  },
  tasktide_consumer_handled_total: {
    type: 'counter',
    help: 'Entries with an effect',
    labels: ['consumer'],
    role: 'worker',
  },
  tasktide_consumer_failures_total: {
    type: 'counter',
    help: 'Failed attempts',
    labels: ['consumer'],
    role: 'worker',
  },
  tasktide_dead_letters_total: {
    type: 'counter',
    help: 'Entries this worker gave up on',
    labels: ['consumer'],
    role: 'worker',
  },
  tasktide_jobs_total: {
    type: 'counter',
    help: 'Attempts of jobs by queue and outcome: done, retried, failed for good, superseded by another worker',
    labels: ['queue', 'outcome'],
    role: 'worker',
  },
  tasktide_jobs_running: { type: 'gauge', help: 'Attempts that run now', labels: [], role: 'worker' },
  tasktide_deliveries: {
    type: 'gauge',
    help: 'Deliveries of all workers that have not ended (open), of these running, and failed permanently',
    labels: ['kind', 'state'],
    role: 'worker',
    aggregator: 'max',
  },
  tasktide_deliveries_oldest_seconds: {
    type: 'gauge',
    help: 'For how long the oldest delivery that is due has waited',
    labels: ['kind'],
    role: 'worker',
    aggregator: 'max',
  },
  tasktide_dead_letters: {
    type: 'gauge',
    help: 'Entries in dead_letter, of all workers; 10,000 means at least as many',
    labels: [],
    role: 'worker',
    aggregator: 'max',
  },
  tasktide_files: {
    type: 'gauge',
    help: 'Attachments that are shown, and avatars; counted once a minute',
    labels: ['kind'],
    role: 'worker',
    aggregator: 'max',
  },
  tasktide_files_bytes: {
    type: 'gauge',
    help: 'Bytes of the attachments that are shown',
    labels: [],
    role: 'worker',
    aggregator: 'max',
  },
  tasktide_files_missing: {
    type: 'gauge',
    help: 'Attachments without their objects: must be 0',
    labels: [],
    role: 'worker',
    aggregator: 'max',
  },
  tasktide_files_deletions: {
    type: 'gauge',
    help: 'Objects whose deletion is due',
    labels: [],
    role: 'worker',
    aggregator: 'max',
  },
  tasktide_files_disk_bytes: {
    type: 'gauge',
    help: 'The disk of the files: its size (total), and what may still be written (free); absent with an object store',
    labels: ['state'],
    role: 'worker',
    aggregator: 'max',
  },
  tasktide_overdue_lateness_seconds: {
    type: 'histogram',
    help: 'Time between the due time of a task and its notification',
    labels: [],
    role: 'worker',
  },
  tasktide_overdue_tasks_total: {
    type: 'counter',
    help: 'Tasks that fell due and were handled',
    labels: [],
    role: 'worker',
  },
  tasktide_statistics_checked_total: {
    type: 'counter',
    help: 'Projects whose counters were compared with their rows',
    labels: [],
    role: 'worker',
  },
  tasktide_statistics_drift_total: {
    type: 'counter',
    help: 'Projects whose counters differed and were repaired: must be 0',
    labels: [],
    role: 'worker',
  },

  // The process
  process_cpu_seconds_total: {
    type: 'counter',
    help: 'CPU time of the process by mode',
    labels: ['mode'],
    role: 'every',
  },
  process_resident_memory_bytes: {
    type: 'gauge',
    help: 'Resident memory',
    labels: [],
    role: 'every',
  },
  process_start_time_seconds: {
    type: 'gauge',
    help: 'When the process started, in seconds since 1970',
    labels: [],
    role: 'every',
    aggregator: 'min',
  },
  tasktide_build_info: {
    type: 'gauge',
    help: 'Version and runtime; the value is the number of processes',
    labels: ['version', 'runtime'],
    role: 'every',
  },
} as const satisfies Record<string, MetricDefinition>

export type MetricName = keyof typeof metrics

type OfRole<R> = {
  [N in MetricName]: (typeof metrics)[N]['role'] extends R | 'every' ? N : never
}[MetricName]

export type ServerMetric = OfRole<'server'>
export type WorkerMetric = OfRole<'worker'>
