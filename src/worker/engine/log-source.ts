// The log as consumers read it: known up to the follower's positions, read from memory, the stream or PostgreSQL, and
// awaited without polling.
import { shardCount } from '../../model/scope.ts'
import type { LogFollower } from '../../changelog/follower/log-follower.ts'
import type { LogEntry } from '../../model/event.ts'

export interface LogSource {
  /** The epoch of the positions; another one means that entries may have been lost. */
  readonly epoch: string
  /** The last known number of the shard. */
  head(shard: number): number
  /** Entries (after, head], ascending, at most `limit`. */
  read(shard: number, after: number, limit: number): Promise<LogEntry[]>
  /** Resolves when the shard's head is above `after`, after `ms`, or when `signal` aborts. */
  wait(shard: number, after: number, ms: number, signal: AbortSignal): Promise<void>
}

export type Followed = Pick<LogFollower, 'epoch' | 'onAdvance' | 'positions' | 'read'>

export const createLogSource = (follower: Followed): LogSource & Disposable => {
  const waiting = Array.from({ length: shardCount }, () => new Set<() => void>())
  const head = (shard: number): number => follower.positions[shard] ?? 0
  const stopListening = follower.onAdvance((shard) => {
    for (const wake of waiting[shard]!) wake()
  })
  return {
    get epoch() {
      return follower.epoch
    },
    head,
    read: (shard, after, limit) => follower.read(shard, after, limit),
    async wait(shard, after, ms, signal) {
      if (signal.aborted || head(shard) > after) return
      const { promise, resolve } = Promise.withResolvers<void>()
      const wake = () => resolve()
      const timer = setTimeout(wake, ms)
      waiting[shard]!.add(wake)
      signal.addEventListener('abort', wake)
      await promise
      clearTimeout(timer)
      waiting[shard]!.delete(wake)
      signal.removeEventListener('abort', wake)
    },
    [Symbol.dispose]: stopListening,
  }
}
