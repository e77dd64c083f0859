// Negative controls: the same runs on variants of the product without one mechanism, which must be detected.
import { pause } from '../fault.ts'
import { FilesArena, type FilesCounts, type FilesFault } from './files-arena.ts'
import { workerStopped } from './faults.ts'

export interface FilesControl {
  variant: string
  fault: FilesFault
  detectedBy: 'orphans' | 'missing' | 'repeated'
}

const noFault: FilesFault = {
  name: 'no-fault',
  title: 'no fault',
  async disturb(_arena, signal) {
    await pause(3_600_000, signal)
    return 0
  },
}

export const filesControls: FilesControl[] = [
  { variant: 'fence-unchecked', fault: workerStopped, detectedBy: 'repeated' },
  { variant: 'row-dropped-first', fault: noFault, detectedBy: 'orphans' },
]

export const runFilesControl = async (
  { variant, fault, detectedBy }: FilesControl,
  seed: number,
  seconds: number,
): Promise<{ counts: FilesCounts; isDetected: boolean }> => {
  await using arena = await FilesArena.open({ seed, variant, settleMs: 20_000, report: () => {} })
  const { counts } = await arena.run(fault, seconds)
  return { counts, isDetected: counts[detectedBy] > 0 }
}
