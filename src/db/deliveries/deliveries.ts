// Deliveries: rows of work outside the database. Invariant: a row is inserted in the transaction that wants the work, so
// the work is done exactly if that transaction committed.
import { newId } from '../../model/scalar.ts'
import type { Job } from '../../queues/jobs.ts'
import { activeTrace } from '../../tracing/spans.ts'
import type { Tx } from '../client.ts'

export type NewDelivery = Job & {
  /** Equal for the same work: a second delivery is dropped while the first is kept (days after it was done). */
  dedupeKey: string
  /** Not before this instant; now by default. */
  notBefore?: string
  /** Not before this long after the transaction began, by PostgreSQL's clock. */
  delayMs?: number
}

/**
 * Inserts what is new. A worker makes jobs of the rows within a second of the commit.
 * @returns the ids of the inserted rows.
 */
export const insertDeliveries = async (tx: Tx, deliveries: readonly NewDelivery[]): Promise<string[]> => {
  if (deliveries.length === 0) return []
  const rows = deliveries.map(({ kind, payload, dedupeKey, notBefore = null, delayMs = 0 }) => ({
    id: newId(),
    kind,
    payload,
    dedupeKey,
    notBefore,
    delayMs,
  }))
  const inserted = await tx<{ id: string }[]>`
    insert into deliveries (id, kind, dedupe_key, payload, traceparent, next_at)
    select id, kind, "dedupeKey", payload, ${activeTrace()},
      coalesce("notBefore", now()) + make_interval(secs => "delayMs" / 1000)
    from json_to_recordset(${JSON.stringify(rows)}::text::json) as (
      id uuid, kind text, "dedupeKey" text, payload jsonb, "notBefore" timestamptz, "delayMs" float8)
    order by "dedupeKey"
    on conflict on constraint deliveries_once do nothing
    returning id`
  return inserted.map(({ id }) => id)
}
