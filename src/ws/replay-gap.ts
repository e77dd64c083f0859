// What a subscription has still to read, and by which index. Invariant: a gap ends at the follower's position or beyond,
// so that a subscription which has read it has reached the follower.
import type { Gap } from '../changelog/follower/history.ts'
import type { Scope } from '../model/scope.ts'

/** Above this many numbers of the shard, when few of them are of the scope, reading by the scope's index is cheaper. */
const maxShardReplay = 2_000
const sparseShare = 1 / 8

/** Where a subscription begins, as read from PostgreSQL in one statement. */
export interface ReplayStart {
  scope: Scope
  shard: number
  epoch: string
  /** The client has everything up to this number. */
  from: number
  /** Everything up to this number is visible in PostgreSQL: catching up has to reach it. */
  head: number
  /** Events of the scope in (from, head]. */
  events: number
}

/** The numbers above `after`. @param positions of the follower, by shard. */
export const gapAbove = (after: number, positions: readonly number[], start: ReplayStart): Gap => {
  const { scope, shard, epoch, from, head, events } = start
  const upTo = Math.max(head, positions[shard]!)
  const isSparse = upTo - after > maxShardReplay && events < sparseShare * (head - from)
  return { scope, shard, epoch, after, upTo, isSparse }
}
