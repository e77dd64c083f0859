// The workload as metrics. Every worker reports the figures of all: a query takes the greatest, not the sum. What is unknown
// has no sample.
import type { Sample, Source } from '../metrics/exposition.ts'
import { jobs } from '../queues/jobs.ts'
import type { DeliveryCounts } from '../db/deliveries/counts.ts'
import type { Workload, WorkloadProbe } from './workload.ts'

export const workloadSources = (probe: Pick<WorkloadProbe, 'last'>) => {
  const of = (samples: (workload: Workload) => Sample[]) => (): Sample[] => {
    const workload = probe.last
    return workload ? samples(workload) : []
  }
  return {
    tasktide_deliveries: of(({ deliveries }) =>
      known(deliveries).flatMap(({ kind, open, running, failed }) =>
        Object.entries({ open, running, failed }).map(([state, value]) => ({
          labels: { kind, state },
          value,
        })),
      ),
    ),
    tasktide_deliveries_oldest_seconds: of(({ deliveries }) =>
      known(deliveries).map(({ kind, oldestSeconds }) => ({ labels: { kind }, value: oldestSeconds })),
    ),
    tasktide_dead_letters: of(({ deadLetters }) => [{ value: deadLetters }]),
    tasktide_files: of(({ files: { stored } }) =>
      stored
        ? [
            { labels: { kind: 'attachment' }, value: stored.attachments },
            { labels: { kind: 'avatar' }, value: stored.avatars },
          ]
        : [],
    ),
    tasktide_files_bytes: of(({ files: { stored } }) => (stored ? [{ value: stored.bytes }] : [])),
    tasktide_files_missing: of(({ files }) => [{ value: files.missing }]),
    tasktide_files_deletions: of(({ files }) => [{ value: files.deletions }]),
    tasktide_files_disk_bytes: of(({ files: { disk } }) =>
      disk
        ? [
            { labels: { state: 'total' }, value: disk.totalBytes },
            { labels: { state: 'free' }, value: disk.freeBytes },
          ]
        : [],
    ),
  } satisfies Record<string, Source>
}

const nothing = { open: 0, running: 0, failed: 0, oldestSeconds: 0 }

/** Every kind of this version, also where nothing waits: a series that ends cannot fall to 0. Those of a newer one are left out. */
const known = (deliveries: DeliveryCounts[]): DeliveryCounts[] =>
  Object.keys(jobs).map((kind) => deliveries.find((counts) => counts.kind === kind) ?? { kind, ...nothing })
