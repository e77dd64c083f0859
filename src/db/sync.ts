// What resuming needs to know of one scope, read in the caller's snapshot transaction, so that all of it is true
// at the same number of the log.
import type { Scope } from '../model/event.ts'
import type { Tx } from './client.ts'

export interface Missed {
  /** Entries of the scope in (after, upTo], counted to at most `cap`. */
  entries: number
  /** How many of those are events for sockets. */
  events: number
  /** Whether one of them gave or took the scope: not all of them are this person's to read. */
  changedHands: boolean
  /** Whether the shard still holds every entry after `after`. */
  complete: boolean
}

/** What a reader at `after` has missed of a scope. */
export const selectMissed = async (
  tx: Tx,
  missed: { scope: Scope; shard: number; after: number; upTo: number; userId: string; cap: number },
): Promise<Missed> => {
  const { scope, shard, after, upTo, userId, cap } = missed
  if (after === upTo) return { entries: 0, events: 0, changedHands: false, complete: true }
  const [row] = await tx<Missed[]>`
    select count(*)::int as entries, count(frame)::int as events,
      exists (
        select from feed
        where scope = ${scope} and seq > ${after} and seq <= ${upTo}
          and (control is not null or type = 'member.added')
          and (
            control->>'kind' = 'delete'
            or control->>'kind' = 'revoke' and control->>'userId' = ${userId}
            or type = 'member.added' and entity_id = ${userId})) as "changedHands",
      exists (select from feed where shard = ${shard} and seq = ${after} + 1) as complete
    from (
      select frame from feed where scope = ${scope} and seq > ${after} and seq <= ${upTo} limit ${cap}) as capped`
  return row!
}
