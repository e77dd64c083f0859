// `bun run chaos files`: every fault, the deletion of a project with 500 files, and the controls. True where all hold.
import { filesControls, runFilesControl } from './controls.ts'
import { filesFaults } from './faults.ts'
import { FilesArena, type FilesOutcome } from './files-arena.ts'
import { emptyAfterDeletion } from './project-deleted.ts'

export interface FilesRun {
  seed: number
  seconds: number
  only: string | undefined
  report: (line: string) => void
}

const deletion = { name: 'project-deleted', files: 500, limitMs: 60_000 }

export const runFiles = async ({ seed, seconds, only, report }: FilesRun): Promise<boolean> => {
  const isWanted = (name: string): boolean => only === undefined || name === only
  const failures: string[] = []
  const rows: FilesOutcome[] = []
  const wanted = filesFaults.filter(({ name }) => isWanted(name))
  if (wanted.length > 0 || isWanted(deletion.name)) {
    await using arena = await FilesArena.open({ seed, report })
    for (const fault of wanted) {
      report(fault.title)
      const outcome = await arena.run(fault, seconds)
      rows.push(outcome)
      failures.push(...outcome.violations.map((line) => `${fault.name}: ${line}`))
      report(`${fault.name}: ${outcome.violations.length === 0 ? 'ok' : outcome.violations.join('; ')}`)
    }
    for (const awayMs of isWanted(deletion.name) ? [0, 30_000] : []) {
      const tookMs = await emptyAfterDeletion(arena, { files: deletion.files, awayMs })
      const line = `${deletion.files} files of a project gone ${(tookMs / 1000).toFixed(1)} s after its deletion, the store away for ${awayMs / 1000} s`
      report(line)
      if (tookMs > deletion.limitMs) failures.push(line)
    }
  }
  for (const control of filesControls.filter(({ variant }) => isWanted(variant))) {
    report(`control ${control.variant}: ${control.fault.title}`)
    const { counts, isDetected } = await runFilesControl(control, seed, Math.min(seconds, 12))
    report(
      `control ${control.variant}: ${isDetected ? 'detected' : 'NOT detected'} ${JSON.stringify(counts)}`,
    )
    if (!isDetected) failures.push(`the control ${control.variant} is not detected`)
  }
  console.table(rows.map(({ name, counts }) => ({ fault: name, ...counts })))
  for (const line of failures) console.error(line)
  return failures.length === 0
}
