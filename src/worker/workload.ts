// What waits outside of the log, for operators: deliveries by kind, and the files. Read at most every five seconds, however
// often it is asked for; logged once a minute while something waits or has failed.
import type { Database } from '../db/client.ts'
import { countDeliveries, type DeliveryCounts } from '../db/deliveries/counts.ts'
import { selectFileState, type FileState } from '../db/files/sweep.ts'
import type { Log } from '../log.ts'

export interface Workload {
  deliveries: DeliveryCounts[]
  files: FileState
}

/** Null: PostgreSQL did not answer. */
export type WorkloadProbe = () => Promise<Workload | null>

const readEveryMs = 5_000

export const createWorkloadProbe = (db: Pick<Database, 'read'>): WorkloadProbe => {
  let readAt = -Infinity
  let result: Promise<Workload | null>
  return () => {
    if (performance.now() - readAt >= readEveryMs) {
      readAt = performance.now()
      result = db
        .read(async (sql) => ({ deliveries: await countDeliveries(sql), files: await selectFileState(sql) }))
        .catch(() => null)
    }
    return result
  }
}

/** Whether an administrator has to look: deliveries failed for good, or files are missing. */
export const needsAttention = ({ deliveries, files }: Workload): boolean =>
  files.missing > 0 || deliveries.some(({ failed }) => failed > 0)

export const logWorkload = async (probe: WorkloadProbe, log: Log): Promise<void> => {
  const workload = await probe()
  if (!workload) return
  const { deliveries, files } = workload
  if (deliveries.length === 0 && files.deletions === 0 && files.missing === 0) return
  const fields = { deliveries, files }
  if (needsAttention(workload)) log.warn(fields, 'deliveries failed or files are missing')
  else log.info(fields, 'deliveries wait')
}
