// Waits for recovery: every writer acknowledged, and every follower at the end of the log.
import type { Database } from '../../src/db/client.ts'
import { numberOf, type Follower } from '../oracle/follower.ts'
import { eventually } from '../support/eventually.ts'
import { recoveryLimitsMs, type Fault, type Recovery } from './fault.ts'
import type { Traffic } from './traffic.ts'

/** Throws unless the condition holds: for `eventually`. */
export const assertHolds = (holds: boolean): void => {
  if (!holds) throw new Error('the condition does not hold')
}

export const limitsOf = ({ recoveryMs }: Pick<Fault, 'recoveryMs'>): Recovery => ({
  ...recoveryLimitsMs,
  ...recoveryMs,
})

const beyondMs = 1_000

/** How long to wait for each: beyond its limit, or a recovery in time would count as late. */
export const waitsOf = (limitsMs: Recovery, timeoutMs: number): Recovery => ({
  writers: Math.max(timeoutMs, limitsMs.writers + beyondMs),
  sockets: Math.max(timeoutMs, limitsMs.sockets + beyondMs),
  worker: Math.max(timeoutMs, limitsMs.worker + beyondMs),
})

/** Milliseconds from the end of the fault until every lane had a success, and until every follower received it. */
export const recovery = async (
  traffic: Traffic,
  followers: Follower[],
  healedAt: number,
  waitsMs: Omit<Recovery, 'worker'>,
): Promise<Omit<Recovery, 'worker'>> => {
  const areBack = (): void => assertHolds(traffic.firsts.every(Boolean) || traffic.faults.length > 0)
  const writers = await eventually(areBack, { timeoutMs: waitsMs.writers }).then(
    () => traffic.recoveredMs,
    () => Number.POSITIVE_INFINITY, // beyond its limit
  )
  for (const follower of followers) follower.settle()
  const firsts = traffic.firsts.filter((first) => first !== null)
  // A follower that read a snapshot again may have the write from there.
  const receivedMs = ({ projectId, ops, isSynced, counts }: Follower): number[] =>
    firsts
      .filter((first) => first.projectId === projectId)
      .map(({ op }) => {
        const at = ops.get(op) ?? (isSynced && counts.resyncs > 0 ? performance.now() : undefined)
        if (at === undefined) throw new Error(`${op} was not received`)
        return at - healedAt
      })
  const sockets = await eventually(() => Math.max(...followers.flatMap(receivedMs)), {
    timeoutMs: waitsMs.sockets,
  }).catch(() => Number.POSITIVE_INFINITY) // counted as lost
  return { writers, sockets }
}

/**
 * Waits until every follower has reached the end of both its scopes. Gives up after `timeoutMs` in which none received
 * anything.
 */
export const settle = async (db: Database, followers: Follower[], timeoutMs: number): Promise<void> => {
  const scopesOf = ({ projectScope, userScope }: Follower): string[] => [projectScope, userScope]
  // Entries without a frame only end rights of sessions and users: a cursor need not reach them.
  const ends = await db.read(
    (sql) => sql<{ scope: string; seq: number }[]>`
      select scope, max(seq) as seq from feed
      where scope = any(${[...new Set(followers.flatMap(scopesOf))]}) and frame is not null
      group by scope`,
  )
  const seqOf = new Map(ends.map(({ scope, seq }) => [scope, seq]))
  const isThere = (follower: Follower): boolean =>
    follower.isSynced &&
    scopesOf(follower).every((scope) => numberOf(follower.cursor(scope)) >= (seqOf.get(scope) ?? 0))
  await eventually(() => assertHolds(followers.every(isThere)), {
    timeoutMs,
    progress: () => followers.reduce((sum, { counts }) => sum + counts.events, 0),
  }).catch(() => {}) // counted as lost
}
