// What a process that follows the log and pushes to the streams exposes of both.
import type { Sample } from '../metrics/exposition.ts'
import { stageSamples, type FeedStages } from '../metrics/feed-stages.ts'
import type { LogFollower } from './follower/log-follower.ts'
import type { LiveStats } from './live-stats.ts'
import type { PublisherStats } from './publisher.ts'

export interface FeedParts {
  follower: Pick<LogFollower, 'stats' | 'lags' | 'confirmedAt'>
  pushes: PublisherStats
  replays: LiveStats['replays']
  stages: FeedStages
}

/** One sample for each member of a record of counters. */
export const samplesBy = (label: string, counts: Readonly<Record<string, number>>): Sample[] =>
  Object.entries(counts).map(([name, value]) => ({ labels: { [label]: name }, value }))

export const feedSources = ({ follower, pushes: pushed, replays, stages }: FeedParts) => ({
  tasktide_feed_stage_seconds: () => stageSamples(stages),
  tasktide_feed_lag_entries: () => follower.lags.map((value, shard) => ({ labels: { shard }, value })),
  tasktide_feed_confirmed_age_seconds: () => Math.max(0, Date.now() - follower.confirmedAt) / 1000,
  tasktide_feed_entries_total: () => {
    const { fromStream, fromLog, fromCommit } = follower.stats
    return samplesBy('source', { stream: fromStream, log: fromLog, commit: fromCommit })
  },
  tasktide_feed_gap_fills_total: () => follower.stats.gapFills,
  tasktide_feed_contiguity_violations_total: () => follower.stats.contiguityViolations,
  tasktide_feed_pushes_total: () => {
    const { pushes, refused, failed } = pushed
    return samplesBy('outcome', { sent: pushes, refused, failed })
  },
  tasktide_feed_push_dropped_total: () => pushed.dropped,
  tasktide_feed_replays_total: () => samplesBy('source', replays),
})
