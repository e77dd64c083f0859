// Negative controls: the same runs on variants of the product without one mechanism, which must be detected.
import type { Tx } from '../../../src/db/client.ts'
import { compared, type Comparison } from '../comparison.ts'
import type { FilesCounts, Finding } from './counts.ts'
import { redisEmptied, storageIn, urlsOverwritten, workersRacing, workerStopped } from './faults.ts'
import { FilesArena, type FilesFault, type FilesOptions } from './files-arena.ts'
import { killedAt } from './kills.ts'
import { emptyAfterDeletion } from './project-deleted.ts'
import type { StorageMode } from './storage-proxy.ts'
import { usualLanes } from './traffic.ts'
import { sweepKilledWhenDone, sweepsRacing } from './sweeps.ts'

export interface FilesControl {
  variant: string
  fault: FilesFault
  /** The count that must be above 0. */
  detectedBy: Finding
  /** Where the variant is one of a migration. */
  migrate?: (tx: Tx) => Promise<unknown>
}

/** After a time in which objects are stored, each mode long enough that calls fail in it. */
const storage = (...modes: StorageMode[]): FilesFault => ({
  name: 'storage-in',
  title: `a store that is ${modes.join(', then ')}`,
  async disturb(arena, signal) {
    await arena.untilTraffic(usualLanes)
    return storageIn([...modes, ...modes, 'healthy'])(arena, signal)
  },
})

/** The deletion of a small project, whose objects must be gone soon after the store is back. */
const projectDeleted: FilesFault = {
  name: 'project-deleted',
  title: 'a project deleted while the store is away',
  lanes: { uploads: 0, direct: 0 },
  async disturb(arena) {
    await emptyAfterDeletion(arena, { files: 40, awayMs: 3_000, timeoutMs: 10_000 }).catch((error: unknown) =>
      arena.violations.push(String(error)),
    )
    return 1
  },
}

/** As before signed URLs had copies. */
const uploadKeyUnlisted = (tx: Tx): Promise<unknown> => tx`
  create or replace function list_deleted_object() returns trigger language plpgsql as $$
  begin
    insert into file_deletions (key) values (old.storage_key) on conflict do nothing;
    return null;
  end $$`

export const filesControls: FilesControl[] = [
  // Kills of a server, of a worker, of a sweep.
  { variant: 'upload-object-first', fault: killedAt('servers', 'upload-object'), detectedBy: 'orphans' },
  {
    variant: 'deletion-listed-apart',
    fault: killedAt('servers', 'attachment-removed'),
    detectedBy: 'missing',
  },
  { variant: 'row-dropped-first', fault: killedAt('workers', 'job-committed'), detectedBy: 'orphans' },
  { variant: 'claims-kept', fault: killedAt('workers', 'job-claimed'), detectedBy: 'unsettled' },
  { variant: 'jobs-not-restored', fault: killedAt('workers', 'job-queued'), detectedBy: 'unsettled' },
  { variant: 'copy-unnamed', fault: killedAt('workers', 'copy-made'), detectedBy: 'orphans' },
  { variant: 'sweep-completed-first', fault: sweepKilledWhenDone, detectedBy: 'unswept' },
  // The store.
  { variant: 'failed-put-unlisted', fault: storage('losing'), detectedBy: 'orphans' },
  { variant: 'failed-put-unlisted', fault: storage('late'), detectedBy: 'orphans' },
  { variant: 'deletion-not-retried', fault: storage('away', 'failing'), detectedBy: 'orphans' },
  { variant: 'deletion-not-retried', fault: projectDeleted, detectedBy: 'orphans' },
  { variant: 'deadline-missing', fault: storage('half-open'), detectedBy: 'unsettled' },
  {
    variant: 'absence-presumed',
    fault: { ...storage('unreadable'), lanes: { uploads: 1, direct: 6 } },
    detectedBy: 'lost',
  },
  { variant: 'upload-internals-shown', fault: storage('failing'), detectedBy: 'leaking' },
  { variant: 'upload-answers-forgotten', fault: storage('slow'), detectedBy: 'hung' },
  // Redis, and two workers.
  { variant: 'jobs-not-restored', fault: redisEmptied, detectedBy: 'unsettled' },
  { variant: 'fence-unchecked', fault: workerStopped, detectedBy: 'repeated' },
  { variant: 'fence-unchecked', fault: workersRacing, detectedBy: 'repeated' },
  // Signed URLs.
  { variant: 'verified-in-place', fault: urlsOverwritten, detectedBy: 'replaced' },
  { variant: 'second-deletion-missing', fault: urlsOverwritten, detectedBy: 'orphans' },
  {
    variant: 'upload-key-unlisted',
    fault: urlsOverwritten,
    detectedBy: 'orphans',
    migrate: uploadKeyUnlisted,
  },
  // Sweeps.
  { variant: 'sweep-ageless', fault: sweepsRacing, detectedBy: 'touched' },
  { variant: 'flag-kept', fault: sweepsRacing, detectedBy: 'misflagged' },
]

/** What an unfinished job may take: above the wait of a job that Redis lost, below that of a lost lease of a dead worker. */
const settleMs = 20_000

const runOnce = async (
  fault: FilesFault,
  seed: number,
  seconds: number,
  variant: Pick<FilesOptions, 'variant' | 'migrate'>,
): Promise<FilesCounts> => {
  await using arena = await FilesArena.open({ seed, settleMs, report: () => {}, ...variant })
  return (await arena.run(fault, seconds)).counts
}

/** Runs the variant of a control. @returns the count that shows its defect. */
export const countFilesVariant = async (
  { variant, fault, detectedBy, migrate }: FilesControl,
  seed: number,
  seconds: number,
): Promise<number> => {
  const counts = await runOnce(fault, seed, seconds, { variant, ...(migrate && { migrate }) })
  return counts[detectedBy]
}

/** The runs of controls on the product itself, each once for all controls that share its fault. */
export class FilesBaselines {
  readonly #counts = new Map<FilesFault, FilesCounts>()

  async of({ fault }: FilesControl, seed: number, seconds: number): Promise<FilesCounts> {
    const counts = this.#counts.get(fault) ?? (await runOnce(fault, seed, seconds, {}))
    this.#counts.set(fault, counts)
    return counts
  }
}

export const compareFilesControl = (
  control: FilesControl,
  baselines: FilesBaselines,
  seed: number,
  seconds: number,
): Promise<Comparison> =>
  compared(
    () => countFilesVariant(control, seed, seconds),
    async () => (await baselines.of(control, seed, seconds))[control.detectedBy],
  )
