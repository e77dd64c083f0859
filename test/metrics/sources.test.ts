// What each part counts appears under its own name. Every figure here is a number of its own: two that are exchanged, or
// one that is shown under another name, change a line.
import { expect, test } from 'bun:test'
import { serverMetrics } from '../../src/app/server-metrics.ts'
import type { FeedParts } from '../../src/changelog/feed-sources.ts'
import { newLiveStats } from '../../src/changelog/live-stats.ts'
import type { Database } from '../../src/db/client.ts'
import { RouteMeters } from '../../src/http/route-meters.ts'
import type { Exposition } from '../../src/metrics/exposition.ts'
import { newFeedStages } from '../../src/metrics/feed-stages.ts'
import { Histogram } from '../../src/metrics/histogram.ts'
import { newStats } from '../../src/worker/engine/consumer.ts'
import { newJobStatsByQueue } from '../../src/worker/jobs/attempt.ts'
import { workerMetrics } from '../../src/worker/metrics.ts'

let last = 100
const next = (): number => (last += 1)

/** The same record with a number of its own for each figure. */
const numbered = <T extends object>(record: T): T => {
  const entries = Object.entries(record).map(([name, value]): [string, unknown] => [
    name,
    typeof value === 'number' ? next() : value?.constructor === Object ? numbered(value) : value,
  ])
  return Object.fromEntries(entries) as T
}

/** A histogram that has counted so many values. */
const histogramOf = (count: number): Histogram => {
  const histogram = new Histogram([1])
  for (let n = 0; n < count; n += 1) histogram.record(0)
  return histogram
}

type Pool = Pick<Database, 'calls' | 'poolUse'>
const poolOf = (): Pool => {
  const use = numbered({ calls: { owing: 0, idle: 0, other: 0 }, batches: { owing: 0, idle: 0, other: 0 } })
  return { calls: { ...numbered({ size: 0, running: 0 }), waitingOf: () => 0 }, poolUse: () => use }
}

const feedParts = () => ({
  follower: {
    stats: numbered({
      fromStream: 0,
      fromLog: 0,
      fromCommit: 0,
      streamReads: 0,
      gapFills: 0,
      contiguityViolations: 0,
    }),
    lags: [next(), next()],
    confirmedAt: Date.now() - 7_000_000,
  },
  pushes: numbered({ pushed: 0, pushes: 0, refused: 0, failed: 0, dropped: 0 }),
  replays: numbered({ ring: 0, stream: 0, log: 0, shared: 0 }),
  stages: Object.fromEntries(
    Object.keys(newFeedStages()).map((stage) => [stage, histogramOf(next())]),
  ) as unknown as FeedParts['stages'],
})

/** Every series of the program's own parts with its value; of histograms the count alone. */
const seriesOf = async (exposition: Exposition): Promise<Record<string, number>> => {
  const lines = (await exposition.text()).split('\n')
  const isOwn = (line: string): boolean =>
    line.startsWith('tasktide_') && !/^\w+_(?:bucket|sum)\b|^tasktide_build_info/.test(line)
  return Object.fromEntries(
    lines.filter(isOwn).map((line): [string, number] => {
      const [, series, value] = /^(.*) (\S+)$/.exec(line)!
      return [series!, Number(value)]
    }),
  )
}

const feedSeries = ({
  follower: { stats, lags },
  pushes,
  replays,
  stages,
}: ReturnType<typeof feedParts>) => ({
  'tasktide_feed_stage_seconds_count{stage="commit_to_stream"}': stages.commitToStream.count,
  'tasktide_feed_stage_seconds_count{stage="stream_to_hub"}': stages.streamToHub.count,
  'tasktide_feed_stage_seconds_count{stage="hub_to_socket"}': stages.hubToSocket.count,
  'tasktide_feed_stage_seconds_count{stage="commit_to_hub"}': stages.commitToHub.count,
  'tasktide_feed_lag_entries{shard="0"}': lags[0]!,
  'tasktide_feed_lag_entries{shard="1"}': lags[1]!,
  'tasktide_feed_entries_total{source="stream"}': stats.fromStream,
  'tasktide_feed_entries_total{source="log"}': stats.fromLog,
  'tasktide_feed_entries_total{source="commit"}': stats.fromCommit,
  tasktide_feed_gap_fills_total: stats.gapFills,
  tasktide_feed_contiguity_violations_total: stats.contiguityViolations,
  'tasktide_feed_pushes_total{outcome="sent"}': pushes.pushes,
  'tasktide_feed_pushes_total{outcome="refused"}': pushes.refused,
  'tasktide_feed_pushes_total{outcome="failed"}': pushes.failed,
  tasktide_feed_push_dropped_total: pushes.dropped,
  'tasktide_feed_replays_total{source="ring"}': replays.ring,
  'tasktide_feed_replays_total{source="stream"}': replays.stream,
  'tasktide_feed_replays_total{source="log"}': replays.log,
  'tasktide_feed_replays_total{source="shared"}': replays.shared,
})

const poolSeries = (main: Pool, tail: Pool): Record<string, number> => {
  const { calls, batches } = main.poolUse()
  const pools = { calls, batches, tail: tail.poolUse().calls }
  return {
    tasktide_db_calls_running: main.calls.running,
    tasktide_db_callers: main.calls.size,
    ...Object.fromEntries(
      Object.entries(pools).flatMap(([pool, use]) =>
        Object.entries(use).map(([state, value]): [string, number] => [
          `tasktide_db_pool_connections{pool="${pool}",state="${state}"}`,
          value,
        ]),
      ),
    ),
  }
}

/** How long ago the positions were confirmed, rounded: it moves while the test runs. */
const takeAge = (series: Record<string, number>): number => {
  const { tasktide_feed_confirmed_age_seconds: age = Number.NaN } = series
  delete series['tasktide_feed_confirmed_age_seconds']
  return Math.round(age / 100) * 100
}

test('every figure of a server appears under its own name', async () => {
  const [db, tailDb, feed] = [poolOf(), poolOf(), feedParts()]
  const stats = numbered({ ...newLiveStats() })
  const counts = numbered({ built: 0, hits: 0, taken: 0 })
  const parts = { bytes: next(), taken: next(), unsent: next(), misses: next() }
  const meters = new RouteMeters()
  meters.of('GET', '/api/tasks').record(200, 5)
  const series = await seriesOf(
    serverMetrics({
      ...feed,
      db,
      tailDb,
      meters,
      kept: { counts, bytes: parts.bytes },
      bodies: { taken: parts.taken },
      unsent: { bytes: parts.unsent },
      limiter: { misses: parts.misses },
      stats,
    }),
  )
  expect(takeAge(series)).toBe(7_000)
  expect(series).toEqual({
    ...poolSeries(db, tailDb),
    ...feedSeries(feed),
    'tasktide_http_request_duration_seconds_count{method="GET",route="/api/tasks",status="2xx"}': 1,
    'tasktide_kept_answers_total{outcome="built"}': counts.built,
    'tasktide_kept_answers_total{outcome="hit"}': counts.hits,
    'tasktide_kept_answers_total{outcome="shared"}': counts.taken,
    tasktide_kept_answers_bytes: parts.bytes,
    tasktide_request_body_bytes: parts.taken,
    tasktide_unsent_answer_bytes: parts.unsent,
    tasktide_limiter_without_redis_total: parts.misses,
    tasktide_sockets: stats.sockets,
    'tasktide_socket_frames_total{kind="event"}': stats.sent,
    'tasktide_socket_frames_total{kind="signal"}': stats.signals,
    'tasktide_socket_frames_total{kind="presence"}': stats.presence,
    'tasktide_socket_frames_total{kind="signal_dropped"}': stats.signalsDropped,
    'tasktide_socket_resyncs_total{reason="too_old"}': stats.resyncs.too_old,
    'tasktide_socket_resyncs_total{reason="epoch"}': stats.resyncs.epoch,
    'tasktide_socket_resyncs_total{reason="ahead"}': stats.resyncs.ahead,
    'tasktide_socket_resyncs_total{reason="gap"}': stats.resyncs.gap,
    'tasktide_socket_resyncs_total{reason="access"}': stats.resyncs.access,
    tasktide_sockets_parked_total: stats.parked,
    'tasktide_sockets_dropped_total{reason="slow_consumer"}': stats.dropped,
    'tasktide_sockets_dropped_total{reason="overloaded"}': stats.overloaded,
    'tasktide_snapshots_total{outcome="read"}': stats.snapshotsRead,
    'tasktide_snapshots_total{outcome="shared"}': stats.snapshotsShared,
  })
})

test('every figure of a worker appears under its own name', async () => {
  const [db, tailDb, feed] = [poolOf(), poolOf(), feedParts()]
  const sweeper = numbered({ ticks: 0, repairs: 0, failures: 0, losses: 0 })
  const maintenance = numbered({ strayEntries: 0 })
  const [notifications, stats] = [numbered(newStats()), numbered(newStats())]
  const consumers = new Map([
    ['notifications', notifications],
    ['stats', stats],
  ])
  const lags: Record<string, number> = { notifications: next(), stats: next() }
  const overdue = { ...numbered({ tasks: 0, transactions: 0, largest: 0 }), lateness: histogramOf(next()) }
  const statistics = numbered({ checked: 0, drifted: 0 })
  const jobs = { statsByQueue: numbered(newJobStatsByQueue()), running: next() }
  const mails = numbered({ open: 0, running: 0, failed: 0, oldestSeconds: 0 })
  const files = {
    ...numbered({ missing: 0, deletions: 0, oldestDeletionSeconds: 0 }),
    lastSweep: null,
    stored: { ...numbered({ attachments: 0, bytes: 0, avatars: 0 }), countedAt: '' },
    disk: numbered({ totalBytes: 0, freeBytes: 0 }),
  }
  const deadLetters = next()
  const series = await seriesOf(
    workerMetrics({
      ...feed,
      db,
      tailDb,
      sweeper,
      maintenance,
      shards: { held: [3, 5, 7] },
      stats: consumers,
      lagOf: (consumer) => lags[consumer]!,
      overdue,
      statistics,
      jobs,
      workload: {
        last: { deliveries: [{ kind: 'mail.notification', ...mails }], deadLetters, files },
      },
    }),
  )
  expect(takeAge(series)).toBe(7_000)
  const ofKinds = (pattern: RegExp): Record<string, number> =>
    Object.fromEntries(Object.entries(series).filter(([name]) => pattern.test(name)))
  const others = ofKinds(/^tasktide_deliveries.*kind="(?!mail\.notification")/)
  expect(new Set(Object.values(others))).toEqual(new Set([0])) // of the other kinds nothing waits
  const outcomes = (queue: keyof typeof jobs.statsByQueue): Record<string, number> =>
    Object.fromEntries(
      Object.entries(jobs.statsByQueue[queue]).map(([outcome, value]) => [
        `tasktide_jobs_total{queue="${queue}",outcome="${outcome}"}`,
        value,
      ]),
    )
  expect(series).toEqual({
    ...others,
    ...poolSeries(db, tailDb),
    ...feedSeries(feed),
    tasktide_sweeper_repairs_total: sweeper.repairs,
    tasktide_log_losses_total: sweeper.losses,
    tasktide_log_stray_entries: maintenance.strayEntries,
    tasktide_worker_shards: 3,
    'tasktide_consumer_lag_entries{consumer="notifications"}': lags['notifications']!,
    'tasktide_consumer_lag_entries{consumer="stats"}': lags['stats']!,
    'tasktide_consumer_entries_total{consumer="notifications"}': notifications.entries,
    'tasktide_consumer_entries_total{consumer="stats"}': stats.entries,
    'tasktide_consumer_handled_total{consumer="notifications"}': notifications.handled,
    'tasktide_consumer_handled_total{consumer="stats"}': stats.handled,
    'tasktide_consumer_failures_total{consumer="notifications"}': notifications.failures,
    'tasktide_consumer_failures_total{consumer="stats"}': stats.failures,
    'tasktide_dead_letters_total{consumer="notifications"}': notifications.deadLetters,
    'tasktide_dead_letters_total{consumer="stats"}': stats.deadLetters,
    ...outcomes('mail'),
    ...outcomes('files'),
    ...outcomes('maintenance'),
    tasktide_jobs_running: jobs.running,
    'tasktide_deliveries{kind="mail.notification",state="open"}': mails.open,
    'tasktide_deliveries{kind="mail.notification",state="running"}': mails.running,
    'tasktide_deliveries{kind="mail.notification",state="failed"}': mails.failed,
    'tasktide_deliveries_oldest_seconds{kind="mail.notification"}': mails.oldestSeconds,
    tasktide_dead_letters: deadLetters,
    'tasktide_files{kind="attachment"}': files.stored.attachments,
    'tasktide_files{kind="avatar"}': files.stored.avatars,
    tasktide_files_bytes: files.stored.bytes,
    tasktide_files_missing: files.missing,
    tasktide_files_deletions: files.deletions,
    'tasktide_files_disk_bytes{state="total"}': files.disk.totalBytes,
    'tasktide_files_disk_bytes{state="free"}': files.disk.freeBytes,
    tasktide_overdue_lateness_seconds_count: overdue.lateness.count,
    tasktide_overdue_tasks_total: overdue.tasks,
    tasktide_statistics_checked_total: statistics.checked,
    tasktide_statistics_drift_total: statistics.drifted,
  })
})
