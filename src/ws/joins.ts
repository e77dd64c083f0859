// Joining scopes for all connections of the process, many by few statements. Invariant: a join reads a state of the
// database from after it was asked for, so that entries it does not see have numbers above the head it returns.
//
// Problem: after a restart or a lost network thousands of clients subscribe at once. The naive way, two statements for
// each (head and access, what was missed), cost PostgreSQL and this process some 0.3 ms a client, so that most of a storm had
// to be turned away. The way chosen: joins that arrive together are two statements over all of them, in which equal
// scopes and cursors are read once (`CoalescedRead`, fair between users).
import { CoalescedRead, type CoalescedReadOptions } from '../db/coalesced-read.ts'
import { joinForEach, maxReplayEntries, type Joined, type Joining } from '../domain/sync.ts'
import type { Actor } from '../model/actor.ts'
import type { Position } from '../model/event.ts'
import type { Scope } from '../model/scope.ts'

export interface Joins {
  /** @throws AppError `rate_limited` while too many joins of the user wait; `unavailable`. */
  join(actor: Actor, scope: Scope, cursor: Position | null): Promise<Joined>
}

const maxBatch = 256

/** @param db for statements of many users: each waits in the queue of its user here. */
export const openJoins = (db: CoalescedReadOptions<Joining, Joined>['db']): Joins => {
  const joins = new CoalescedRead({
    db,
    select: (sql, joinings: Joining[]) => joinForEach(sql, joinings, maxReplayEntries),
    maxBatch,
  })
  return {
    join: (actor, scope, cursor) => {
      const at = cursor === null ? '' : `${cursor.epoch}.${cursor.seq}`
      // Only joins with the same rights share an answer.
      const rights = JSON.stringify([actor.role, actor.credential])
      return joins.get(actor.userId, `${rights} ${scope} ${at}`, { actor, scope, cursor })
    },
  }
}
