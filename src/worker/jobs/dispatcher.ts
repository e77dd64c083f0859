// Makes jobs of due deliveries. Invariant: a row is marked before its job is added, and looked at again until the job has
// claimed it; so a crash in between, or Redis losing everything, delays a delivery by seconds and loses none.
import type { Database } from '../../db/client.ts'
import { queueDue, queueOverdue } from '../../db/deliveries/claims.ts'
import { addJobs, restoreJobs, type JobQueues } from '../../queues/job-queues.ts'
import { definitionOf, type JobKind } from '../../queues/jobs.ts'

export interface DispatchDeps {
  db: Database
  queues: JobQueues
  /** Those of this version's processors: rows of others wait for a worker that has them. */
  kinds: readonly JobKind[]
}

/** One round. Any number of workers may run it at once. @returns how many jobs were made. */
export const dispatchDeliveries = async ({ db, queues, kinds }: DispatchDeps): Promise<number> => {
  const limits = kinds.map((kind) => ({ kind, inFlight: definitionOf(kind).inFlight }))
  const { due, overdue } = await db.transact(async (tx) => ({
    overdue: await queueOverdue(tx, kinds),
    due: await queueDue(tx, limits),
  }))
  if (due.length > 0) await addJobs(queues, due)
  if (overdue.length > 0) await restoreJobs(queues, overdue)
  return due.length
}
