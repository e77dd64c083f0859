// `bun run chaos files`: every fault, the deletion of a project with 500 files, and the controls.
import { deletionRow, filesRow } from './rows.ts'
import { compareFilesControl, FilesBaselines, filesControls } from './controls.ts'
import { filesFaults } from './faults.ts'
import { noCounts } from './counts.ts'
import { FilesArena, type FilesFault, type FilesOutcome } from './files-arena.ts'
import { emptyAfterDeletion } from './project-deleted.ts'
import { reasonOf } from '../comparison.ts'
import { controlRow, type ControlRow, type FaultRow } from '../results.ts'

export interface FilesRun {
  seed: number
  seconds: number
  isWanted: (name: string) => boolean
  runsControls: boolean
  /** Is given each row when its run has ended. */
  keep: (part: { rows?: FaultRow[]; controls?: ControlRow[] }) => Promise<void>
  report: (line: string) => void
}

const deletion = { name: 'project-deleted', files: 500, limitMs: 60_000 }
/** Whatever a run of a fault takes: in less a control shows nothing. */
const controlSeconds = 10

/** With a bucket of its own, which is empty at the end. */
const runDeletion = async (seed: number, report: FilesRun['report']): Promise<FaultRow> => {
  await using arena = await FilesArena.open({ seed, report })
  const tookMs: number[] = []
  for (const awayMs of [0, 30_000]) {
    const ms = await emptyAfterDeletion(arena, { files: deletion.files, awayMs })
    tookMs.push(ms)
    report(
      `${deletion.files} files of a project gone ${(ms / 1000).toFixed(1)} s after its deletion, the store away for ${awayMs / 1000} s`,
    )
  }
  return deletionRow(seed, { ...deletion, tookMs, requests: arena.client.counts })
}

const endedBy =
  ({ name, title }: Pick<FilesFault, 'name' | 'title'>) =>
  (error: unknown): FilesOutcome => ({
    name,
    title,
    counts: noCounts(),
    violations: [`the run ended: ${String(error).slice(0, 300)}`],
    notes: [],
    isOver: true,
  })

export const runFiles = async ({
  seed,
  seconds,
  isWanted,
  runsControls,
  keep,
  report,
}: FilesRun): Promise<void> => {
  const left = filesFaults.filter(({ name }) => isWanted(name))
  while (left.length > 0) {
    await using arena = await FilesArena.open({ seed, report })
    for (let fault = left.shift(); fault; fault = left.shift()) {
      report(`files: ${fault.title}`)
      const outcome = await arena.run(fault, seconds).catch(endedBy(fault))
      await keep({ rows: [filesRow(seed, seconds, outcome)] })
      report(`${fault.name}: ${outcome.violations.length === 0 ? 'ok' : outcome.violations.join('; ')}`)
      if (outcome.isOver) break // its cluster may be in any state: the faults after it have a new one
    }
  }
  if (isWanted(deletion.name)) {
    const ended = endedBy({ name: deletion.name, title: `a project with ${deletion.files} files deleted` })
    const failed = (error: unknown): FaultRow => filesRow(seed, 0, ended(error))
    await keep({ rows: [await runDeletion(seed, report).catch(failed)] })
  }
  const baselines = new FilesBaselines()
  for (const control of runsControls ? filesControls.filter(({ variant }) => isWanted(variant)) : []) {
    report(`control ${control.variant}: ${control.fault.title}`)
    const found = await compareFilesControl(control, baselines, seed, controlSeconds)
    report(`control ${control.variant}: ${found.isDetected ? 'detected' : `NOT DETECTED${reasonOf(found)}`}`)
    await keep({ controls: [controlRow('files', seed, control, found)] })
  }
}
