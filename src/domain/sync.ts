// Joining a scope at an exact place in the log, for sockets and HTTP alike. One statement reads the head and the right
// to read: seeing head P means seeing every transaction up to P.
import type { Queryable } from '../db/client.ts'
import { selectMissed, selectStanding } from '../db/sync.ts'
import { parseNamed } from '../model/scalar.ts'
import { idOf, shardOf, userScope, type Position, type Scope } from '../model/event.ts'
import { may, type Actor } from './actor.ts'

/** Why a cursor can no longer be continued from: read the snapshot, join with its cursor. */
export type ResyncReason = 'too_old' | 'epoch' | 'ahead' | 'gap' | 'access'

export type Joined =
  | { kind: 'resume' | 'fresh'; epoch: string; shard: number; from: number; head: number; events: number }
  | { kind: 'resync'; reason: ResyncReason }
  | { kind: 'denied' }

/** Entries of one scope a socket may be behind before re-reading the snapshot is cheaper. */
export const maxReplayEntries = 5_000

/** The scope a client means; `user:me` is its own. Null for what is no scope. */
export const parseScope = (text: string, actor: Actor): Scope | null => {
  if (text === 'user:me') return userScope(actor.userId)
  const named = parseNamed(text)
  return named && (named.kind === 'project' || named.kind === 'user') ? `${named.kind}:${named.id}` : null
}

/** Where to read a scope anew. */
export const snapshotPath = (scope: Scope): string =>
  scope.startsWith('user:') ? '/api/users/me/snapshot' : `/api/projects/${idOf(scope)}/snapshot`

/**
 * Joins a scope at `cursor`, or at its head for null. The cursor's shard must be the scope's.
 * @param maxMissed how far behind is too far (`gap`); null for no limit.
 */
export const joinScope = async (
  sql: Queryable,
  actor: Actor,
  scope: Scope,
  cursor: Position | null,
  maxMissed: number | null,
): Promise<Joined> => {
  const shard = shardOf(scope)
  const projectId = scope.startsWith('project:') ? idOf(scope) : null
  const { epoch, head, access } = await selectStanding(sql, { shard, projectId, userId: actor.userId })
  const mayRead = projectId === null ? scope === userScope(actor.userId) : may(actor, access, 'read')
  if (!mayRead) return { kind: 'denied' }
  if (!cursor) return { kind: 'fresh', epoch, shard, head, from: head, events: 0 }
  if (cursor.epoch !== epoch) return { kind: 'resync', reason: 'epoch' }
  if (cursor.seq > head) return { kind: 'resync', reason: 'ahead' }
  const missed = await selectMissed(sql, {
    scope,
    shard,
    after: cursor.seq,
    upTo: head,
    userId: actor.userId,
    cap: (maxMissed ?? 0) + 1,
  })
  if (!missed.complete) return { kind: 'resync', reason: 'too_old' }
  if (missed.changedHands) return { kind: 'resync', reason: 'access' }
  if (maxMissed !== null && missed.entries > maxMissed) return { kind: 'resync', reason: 'gap' }
  return { kind: 'resume', epoch, shard, head, from: cursor.seq, events: missed.events }
}
