// The log as consumers read it: known as far as the tail is, read from memory, the stream or PostgreSQL, and
// waited for without asking.
import type { Ring } from '../../changelog/follower/ring.ts'
import { readLog, type ReplayDeps } from '../../changelog/follower/read-log.ts'
import { shardCount } from '../../model/event.ts'
import type { LogSource } from './shard-consumer.ts'

export interface Followed {
  readonly epoch: string
  readonly positions: readonly number[]
}

export interface FedSource extends LogSource {
  /** The tail has more of the shard. */
  arrived(shard: number): void
}

export const createLogSource = (deps: ReplayDeps & { ring: Ring; tail: () => Followed }): FedSource => {
  const waiting = Array.from({ length: shardCount }, () => new Set<() => void>())
  const head = (shard: number): number => deps.tail().positions[shard] ?? 0
  return {
    get epoch() {
      return deps.tail().epoch
    },
    head,
    async read(shard, after, limit) {
      const upTo = head(shard)
      if (upTo <= after) return []
      const { entries } = await readLog(deps, deps.tail().epoch, shard, after, upTo, limit)
      return entries
    },
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
    arrived(shard) {
      for (const wake of waiting[shard]!) wake()
    },
  }
}
