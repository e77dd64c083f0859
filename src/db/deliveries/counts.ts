// How many deliveries wait, run or have failed. Reads the indexes of those states, never the rows of what is done.
import type { Queryable } from '../client.ts'

export interface DeliveryCounts {
  kind: string
  /** Not ended, the running ones included. */
  open: number
  running: number
  failed: number
  /** How long the oldest that is due has waited. */
  oldestSeconds: number
}

export const countDeliveries = async (sql: Queryable): Promise<DeliveryCounts[]> =>
  sql<DeliveryCounts[]>`
    select kind, count(*) filter (where state <> 'failed') as open, count(*) filter (where state = 'running') as running,
      count(*) filter (where state = 'failed') as failed,
      coalesce(extract(epoch from now() - min(created_at) filter (
        where state <> 'failed' and (next_at <= now() or attempts > 0))), 0)::float8 as "oldestSeconds"
    from (
      select kind, state, attempts, next_at, created_at from deliveries where state = 'waiting'
      union all
      select kind, state, attempts, next_at, created_at from deliveries where state in ('queued', 'running')
      union all
      select kind, state, attempts, next_at, created_at from deliveries
      where (case when state = 'failed' then ended_at end) is not null
    ) d
    group by kind
    order by kind`
