// The sections of a run in their order, and their rows by name. Sections that kill or restart processes come last, because
// the shared installation is cold after them.
import type { Section } from '../context.ts'
import type { Row } from '../row.ts'
import { curveSection } from './curves.ts'
import { deliverySection } from './delivery.ts'
import { fairnessSection } from './fairness.ts'
import { fanOutSection } from './fan-out.ts'
import { fileSection } from './files.ts'
import { listSection } from './lists.ts'
import { readSection } from './reads.ts'
import { returnSection } from './returns.ts'
import { snapshotSection } from './snapshots.ts'
import { startSection } from './starts.ts'
import { workerSection } from './worker.ts'
import { writeSection } from './writes.ts'

export const sections: readonly Section[] = [
  readSection,
  writeSection,
  snapshotSection,
  fairnessSection,
  fanOutSection,
  deliverySection,
  returnSection,
  workerSection,
  fileSection,
  listSection,
  startSection,
  curveSection,
]

export const allRows: readonly Row[] = sections.flatMap(({ rows }) => [...rows])

/** The sections behind a name of the first version of this bench. */
export const groups: Record<string, readonly string[]> = {
  sockets: ['fan-outs', 'delivery', 'returns'],
  fairness: ['flood'],
}

/** What `--only` takes. */
export const knownNames: readonly string[] = [
  ...Object.keys(groups),
  ...sections.map(({ name }) => name),
  ...allRows.map(({ id }) => id),
]
