// Waits for recovery: every writer acknowledged, and every follower at the end of the log.
import type { Database } from '../../src/db/client.ts'
import { numberOf, type Follower } from '../oracle/follower.ts'
import { eventually } from '../support/eventually.ts'
import type { Traffic } from './traffic.ts'

/** Throws unless the condition holds: for `eventually`. */
export const assertHolds = (holds: boolean): void => {
  if (!holds) throw new Error('the condition does not hold')
}

/** Milliseconds from the end of the fault until every lane had a success, and until every follower received it. */
export const recovery = async (
  traffic: Traffic,
  followers: Follower[],
  healedAt: number,
  timeoutMs: number,
): Promise<{ writers: number; sockets: number }> => {
  const areBack = (): void => assertHolds(traffic.firsts.every(Boolean) || traffic.faults.length > 0)
  const writers = await eventually(areBack, { timeoutMs }).then(
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
  const sockets = await eventually(() => Math.max(...followers.flatMap(receivedMs)), { timeoutMs }).catch(
    () => Number.POSITIVE_INFINITY, // counted as lost
  )
  return { writers, sockets }
}

/** Waits until every follower has reached the end of its scope. */
export const settle = async (db: Database, followers: Follower[], timeoutMs: number): Promise<void> => {
  const heads = await db.read(
    (sql) => sql<{ scope: string; seq: number }[]>`select scope, seq from scope_head`,
  )
  const seqOf = new Map(heads.map(({ scope, seq }) => [scope, seq]))
  const isThere = (follower: Follower): boolean =>
    follower.isSynced &&
    numberOf(follower.cursor(follower.projectScope)) >= (seqOf.get(follower.projectScope) ?? 0)
  await eventually(() => assertHolds(followers.every(isThere)), { timeoutMs }).catch(() => {}) // counted as lost
}
