// Joining a scope at an exact place in the log, for sockets and HTTP alike. One statement reads the head and the right
// to read: seeing head P means seeing every transaction up to P.
import type { Queryable } from '../db/client.ts'
import { selectMissed, selectStandings, type Lack, type Missed, type ReaderLack } from '../db/log/sync.ts'
import { type Scope, idOf, isProjectScope, isUserScope, shardOf, userScope } from '../model/scope.ts'
import type { Position } from '../model/event.ts'
import { authorize, can } from './actor.ts'
import type { Actor } from '../model/actor.ts'
import type { ResyncReason } from '../model/frames.ts'

export type Joined =
  | {
      kind: 'resume' | 'fresh'
      epoch: string
      shard: number
      from: number
      head: number
      /** Entries of the scope in (from, head], counted to one more than may be missed, and how many sockets see. */
      entries: number
      events: number
    }
  | { kind: 'resync'; reason: ResyncReason }
  | { kind: 'denied' }

/** Entries of one scope a socket may be behind before re-reading the snapshot is cheaper. */
export const maxReplayEntries = 5_000

/** The path of a scope's snapshot. */
export const snapshotPath = (scope: Scope): string =>
  isUserScope(scope) ? '/api/users/me/snapshot' : `/api/projects/${idOf(scope)}/snapshot`

/** A scope and where to join it, null for its head. The cursor's shard must be the scope's. */
export interface Wanted {
  scope: Scope
  cursor: Position | null
}

/** One scope that one actor joins. */
export interface Joining extends Wanted {
  actor: Actor
}

/**
 * Joins scopes, in the order asked, by two statements at most.
 * @param maxMissed how far behind is too far (`gap`); null for no limit.
 */
export const joinScopes = (
  sql: Queryable,
  actor: Actor,
  wanted: Wanted[],
  maxMissed: number | null,
): Promise<Joined[]> =>
  joinForEach(
    sql,
    wanted.map((one) => ({ ...one, actor })),
    maxMissed,
  )

/** As `joinScopes`, for several actors: still two statements at most. */
export const joinForEach = async (
  sql: Queryable,
  joinings: Joining[],
  maxMissed: number | null,
): Promise<Joined[]> => {
  const places = joinings.map(({ actor: { userId }, scope }) => ({
    userId,
    shard: shardOf(scope),
    projectId: isProjectScope(scope) ? idOf(scope) : null,
  }))
  const standings = await selectStandings(sql, places)
  const looks = joinings.map(
    ({ actor, scope, cursor }, index): { joined: Joined } | { lack: ReaderLack; epoch: string } => {
      const { userId, shard, projectId } = places[index]!
      const { epoch, head, access } = standings[index]!
      const mayRead = projectId === null ? scope === userScope(userId) : can(actor, access, 'read')
      if (!mayRead) return { joined: { kind: 'denied' } }
      if (projectId !== null) authorize(actor, access, 'read') // notes an override
      if (!cursor) return { joined: { kind: 'fresh', epoch, shard, head, from: head, entries: 0, events: 0 } }
      if (cursor.epoch !== epoch) return { joined: { kind: 'resync', reason: 'epoch' } }
      if (cursor.seq > head) return { joined: { kind: 'resync', reason: 'ahead' } }
      return { lack: { userId, scope, shard, after: cursor.seq, upTo: head }, epoch }
    },
  )
  const lacks = looks.flatMap((look) => ('lack' in look ? look.lack : []))
  const missed = (await selectMissed(sql, lacks, (maxMissed ?? 0) + 1)).values()
  return looks.map((look) =>
    'joined' in look ? look.joined : resumed(look.lack, look.epoch, missed.next().value!, maxMissed),
  )
}

const resumed = (
  { shard, after, upTo }: Lack,
  epoch: string,
  missed: Missed,
  maxMissed: number | null,
): Joined => {
  if (!missed.complete) return { kind: 'resync', reason: 'too_old' }
  if (missed.changedHands) return { kind: 'resync', reason: 'access' }
  if (maxMissed !== null && missed.entries > maxMissed) return { kind: 'resync', reason: 'gap' }
  return {
    kind: 'resume',
    epoch,
    shard,
    head: upTo,
    from: after,
    entries: missed.entries,
    events: missed.events,
  }
}
