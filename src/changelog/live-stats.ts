// Counters of the live data of a process since its start: plain numbers, read by metrics and tests.
import type { ResyncReason } from '../model/frames.ts'

export interface LiveStats {
  /** Sockets open now; all other numbers only grow. */
  sockets: number
  /** Pages of history by source; `shared`: served from another reader's read. */
  replays: Record<'ring' | 'stream' | 'log' | 'shared', number>
  /** Cursors that could not be resumed, by reason. */
  resyncs: Record<ResyncReason, number>
  /** Times a connection was parked, and connections closed for it. */
  parked: number
  dropped: number
  /** Connections closed with 1013 because too many handshakes were in flight. */
  overloaded: number
  /** Event frames sent live and in replays. */
  sent: number
  /** Signals and presence frames sent in rooms; signals dropped because a room had too many. */
  signals: number
  presence: number
  signalsDropped: number
  /** Snapshots read, and responses served from another caller's read. */
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
