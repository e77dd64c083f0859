// How workers take deliveries and finish them. Invariant: each claim raises the row's fence, and only the newest claim may
// renew, complete or fail it, so that a worker that was stopped and continued finishes nothing a second time.
//
//   waiting  due at `next_at`; a new row, or one whose last attempt failed
//   queued   a job was made; made again at `next_at`, in case Redis lost it
//   running  claimed until `lease_until`; a lease that ends makes it claimable again
//   done, failed  ended; kept for a while, a failed one until it is retried
import type { JobKind } from '../../queues/jobs.ts'
import type { Queryable, Tx } from '../client.ts'
import { errorText } from '../error-text.ts'

export interface QueuedDelivery {
  id: string
  kind: JobKind
  payload: unknown
}

/** How long a job may wait unclaimed before it is looked for in Redis. */
const recheckMs = 5_000

const interval = (sql: Queryable, ms: number) => sql`make_interval(secs => ${ms / 1000}::float8)`

/**
 * Marks due rows as queued, for each kind until `limits` of it are in flight. The rest waits in the table, so that Redis
 * holds, and can lose, a bounded part of each queue.
 */
export const queueDue = async (
  tx: Tx,
  limits: readonly { kind: JobKind; inFlight: number }[],
): Promise<QueuedDelivery[]> =>
  tx<QueuedDelivery[]>`
    with due as materialized (
      select d.id
      from unnest(${limits.map(({ kind }) => kind)}::text[], ${limits.map((one) => one.inFlight)}::int[])
        as own (kind, most)
      cross join lateral (
        select id from deliveries
        where kind = own.kind and state = 'waiting' and next_at <= now()
        order by next_at
        limit greatest(0, own.most - (
          select count(*) from deliveries where kind = own.kind and state in ('queued', 'running')))
        for update skip locked
      ) d
    )
    update deliveries set state = 'queued', next_at = now() + ${interval(tx, recheckMs)}
    where id in (select id from due)
    returning id, kind, payload`

/** Rows whose job was not claimed in time, or whose lease ended: queued again, because their job may be lost. */
export const queueOverdue = async (tx: Tx, kinds: readonly JobKind[]): Promise<QueuedDelivery[]> =>
  tx<QueuedDelivery[]>`
    with lost as materialized (
      select id from deliveries
      where kind = any(${kinds}::text[]) and state in ('queued', 'running') and next_at <= now()
      order by next_at
      limit 500
      for update skip locked
    )
    update deliveries set state = 'queued', next_at = now() + ${interval(tx, recheckMs)}, lease_until = null
    where id in (select id from lost)
    returning id, kind, payload`

/** What an attempt holds. */
export interface Claim {
  id: string
  fence: number
}

export interface ClaimedDelivery extends Claim {
  kind: string
  payload: unknown
  /** Claims so far, this one included. */
  attempts: number
  /** Of what made the delivery; null where that is not traced. */
  traceparent: string | null
}

export type ClaimResult =
  | { claimed: ClaimedDelivery }
  /** For another worker, which runs it, ran it and died, or alone knows its kind: asked for again in these milliseconds. */
  | { claimed: null; freeInMs: number }
  /** Done, or removed. */
  | { claimed: null; freeInMs: null }
  /** Failed for good, which the job in Redis may not know yet. */
  | { claimed: null; error: string }

/**
 * Claims a row that has not ended and is not running under a lease.
 * @param kinds those of this version: of another one a row waits for a worker that has its processor.
 */
export const claimDelivery = async (
  tx: Tx,
  id: string,
  kinds: readonly string[],
  leaseMs: number,
): Promise<ClaimResult> => {
  const until = tx`now() + ${interval(tx, leaseMs)}`
  const [claimed] = await tx<ClaimedDelivery[]>`
    update deliveries set state = 'running', fence = fence + 1, attempts = attempts + 1,
      lease_until = ${until}, next_at = ${until}
    where id = ${id} and kind = any(${kinds}::text[])
      and (state in ('waiting', 'queued') or (state = 'running' and lease_until <= now()))
    returning id, fence, kind, payload, attempts, traceparent`
  if (claimed) return { claimed }
  const [other] = await tx<{ state: string; freeInMs: number | null; error: string | null }[]>`
    select state, (extract(epoch from lease_until - now()) * 1000)::float8 as "freeInMs", last_error as error
    from deliveries where id = ${id} and state <> 'done'`
  if (!other) return { claimed: null, freeInMs: null }
  if (other.state === 'failed') return { claimed: null, error: other.error ?? '' }
  return { claimed: null, freeInMs: Math.max(0, other.freeInMs ?? recheckMs) }
}

/** Of one call; Redis keeps as many failed jobs of a queue. */
const maxRetried = 5_000

/**
 * Gives deliveries that failed for good all attempts again, due at once: one, or the latest of these kinds. The row is set
 * back before its job, because attempts obey the row.
 */
export const retryFailed = async (
  sql: Queryable,
  which: { id: string } | { kinds: readonly JobKind[] },
): Promise<void> => {
  const chosen = 'id' in which ? sql`id = ${which.id}` : sql`kind = any(${which.kinds}::text[])`
  await sql`
    update deliveries set state = 'waiting', attempts = 0, next_at = now(), ended_at = null
    where id in (
      select id from deliveries
      where (case when state = 'failed' then ended_at end) is not null and ${chosen}
      order by (case when state = 'failed' then ended_at end) desc
      limit ${maxRetried}
      for update skip locked)`
}

/** Prolongs the leases of claims that still are the newest. @returns the ids of those. */
export const renewLeases = async (
  sql: Queryable,
  claims: readonly Claim[],
  leaseMs: number,
): Promise<string[]> => {
  const until = sql`now() + ${interval(sql, leaseMs)}`
  const renewed = await sql<{ id: string }[]>`
    update deliveries d set lease_until = ${until}, next_at = ${until}
    from unnest(${claims.map(({ id }) => id)}::uuid[], ${claims.map(({ fence }) => fence)}::bigint[]) as claim (id, fence)
    where d.id = claim.id and d.fence = claim.fence and d.state = 'running'
    returning d.id`
  return renewed.map(({ id }) => id)
}

/** The claim is not the newest any more: what its attempt wants to commit must roll back. */
export class FenceLost extends Error {
  override readonly name = 'FenceLost'

  constructor({ id, fence }: Claim) {
    super(`delivery ${id} was claimed again after fence ${fence}`)
  }
}

/** Ends the delivery, in the transaction of what its attempt commits. @throws FenceLost */
export const completeDelivery = async (tx: Tx, claim: Claim): Promise<void> => {
  const done = await tx`
    update deliveries set state = 'done', ended_at = now(), lease_until = null, last_error = null
    where id = ${claim.id} and fence = ${claim.fence} and state = 'running'
    returning id`
  if (done.length === 0) throw new FenceLost(claim)
}

/** Ends an attempt that failed. @param retryInMs null: the delivery fails for good. @returns whether the claim was the newest. */
export const failAttempt = async (
  sql: Queryable,
  claim: Claim,
  { error, retryInMs }: { error: string; retryInMs: number | null },
): Promise<boolean> => {
  const failed = await sql`
    update deliveries set
      state = ${retryInMs === null ? 'failed' : 'waiting'},
      ended_at = ${retryInMs === null ? sql`now()` : null},
      next_at = now() + ${interval(sql, retryInMs ?? 0)},
      lease_until = null,
      last_error = ${errorText(error)}
    where id = ${claim.id} and fence = ${claim.fence} and state = 'running'
    returning id`
  return failed.length > 0
}

/** Gives a claim back whose attempt a stopping worker interrupted: it does not count as an attempt. */
export const releaseClaim = async (sql: Queryable, claim: Claim): Promise<void> => {
  await sql`
    update deliveries set state = 'waiting', attempts = attempts - 1, next_at = now(), lease_until = null
    where id = ${claim.id} and fence = ${claim.fence} and state = 'running'`
}
