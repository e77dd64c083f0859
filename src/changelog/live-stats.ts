// What a process counted of its live data since it started: plain numbers, read by the metrics and by tests.
import type { ResyncReason } from '../model/frames.ts'

export interface LiveStats {
  /** Sockets open now; everything else only grows. */
  sockets: number
  /** Pages of history by where they were found; `shared`: with what somebody else read. */
  replays: Record<'ring' | 'stream' | 'log' | 'shared', number>
  /** Cursors that could not be continued, by reason. */
  resyncs: Record<ResyncReason, number>
  /** Times a connection had too much unsent, and connections closed for it. */
  parked: number
  dropped: number
  /** Connections told to come back later, because too many came at once. */
  overloaded: number
  /** Event frames sent live and in replays. */
  sent: number
  /** Signals and news of presence told in a room; signals dropped because a room had too many. */
  signals: number
  presence: number
  signalsDropped: number
  /** Snapshots read, and answered from a read somebody else made. */
  snapshotsRead: number
  snapshotsShared: number
}

export const newReplayCounts = (): LiveStats['replays'] => ({ ring: 0, stream: 0, log: 0, shared: 0 })

export const newLiveStats = (): LiveStats => ({
  sockets: 0,
  replays: newReplayCounts(),
  resyncs: { too_old: 0, epoch: 0, ahead: 0, gap: 0, access: 0 },
  parked: 0,
  dropped: 0,
  overloaded: 0,
  sent: 0,
  signals: 0,
  presence: 0,
  signalsDropped: 0,
  snapshotsRead: 0,
  snapshotsShared: 0,
})
