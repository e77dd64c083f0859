// What resuming needs to know of one scope, read in the caller's snapshot transaction, so that all of it is true
// at the same number of the log.
import type { Scope } from '../model/event.ts'
import type { Tx } from './client.ts'

export interface Missed {
  /** Entries of the scope in (after, upTo], counted to at most `cap`. */
  count: number
  /** Whether one of them took the scope from this person. */
  revoked: boolean
  /** Whether the shard still holds every entry after `after`. */
  complete: boolean
}

/** What a reader at `after` has missed of a scope. */
export const selectMissed = async (
  tx: Tx,
  missed: { scope: Scope; shard: number; after: number; upTo: number; userId: string; cap: number },
): Promise<Missed> => {
  const { scope, shard, after, upTo, userId, cap } = missed
  if (after === upTo) return { count: 0, revoked: false, complete: true }
  const [row] = await tx<Missed[]>`
    select
      (select count(*)::int from (
        select from feed where scope = ${scope} and seq > ${after} and seq <= ${upTo} limit ${cap}) as capped) as count,
      exists (
        select from feed
        where scope = ${scope} and seq > ${after} and seq <= ${upTo} and control is not null
          and (control->>'kind' = 'delete' or control->>'kind' = 'revoke' and control->>'userId' = ${userId})) as revoked,
      exists (select from feed where shard = ${shard} and seq = ${after} + 1) as complete`
  return row!
}
