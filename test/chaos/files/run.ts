// `bun run chaos files`: every fault, the deletion of a project with 500 files, and the controls.
import { controlRowOf, deletionRow, filesRow } from './rows.ts'
import { filesControls, runFilesControl } from './controls.ts'
import { filesFaults } from './faults.ts'
import { FilesArena } from './files-arena.ts'
import { emptyAfterDeletion } from './project-deleted.ts'
import type { ControlRow, FaultRow } from '../results.ts'

export interface FilesRun {
  seed: number
  seconds: number
  isWanted: (name: string) => boolean
  runsControls: boolean
  report: (line: string) => void
}

const deletion = { name: 'project-deleted', files: 500, limitMs: 60_000 }
/** Whatever a run of a fault takes: in less a control shows nothing. */
const controlSeconds = 20

export const runFiles = async ({
  seed,
  seconds,
  isWanted,
  runsControls,
  report,
}: FilesRun): Promise<{ rows: FaultRow[]; controls: ControlRow[] }> => {
  const rows: FaultRow[] = []
  const wanted = filesFaults.filter(({ name }) => isWanted(name))
  if (wanted.length > 0 || isWanted(deletion.name)) {
    await using arena = await FilesArena.open({ seed, report })
    for (const fault of wanted) {
      report(`files: ${fault.title}`)
      const outcome = await arena.run(fault, seconds)
      rows.push(filesRow(seed, seconds, outcome))
      report(`${fault.name}: ${outcome.violations.length === 0 ? 'ok' : outcome.violations.join('; ')}`)
    }
    if (isWanted(deletion.name)) {
      const tookMs: number[] = []
      for (const awayMs of [0, 30_000]) {
        tookMs.push(await emptyAfterDeletion(arena, { files: deletion.files, awayMs }))
        report(
          `${deletion.files} files of a project gone ${(tookMs.at(-1)! / 1000).toFixed(1)} s after its deletion, the store away for ${awayMs / 1000} s`,
        )
      }
      rows.push(deletionRow(seed, { ...deletion, tookMs }))
    }
  }
  const controls: ControlRow[] = []
  for (const control of runsControls ? filesControls.filter(({ variant }) => isWanted(variant)) : []) {
    report(`control ${control.variant}: ${control.fault.title}`)
    const found = await runFilesControl(control, seed, controlSeconds)
    report(`control ${control.variant}: ${found.isDetected ? 'detected' : 'NOT detected'}`)
    controls.push(controlRowOf(seed, control, found))
  }
  return { rows, controls }
}
