// Compares the storage with the rows every night, and when an operator asks for it.
import { insertSweepReport } from '../../db/files/sweep.ts'
import { sweepFiles } from '../../domain/files/sweep.ts'
import type { JobProcessor } from './processor.ts'

export const sweep: JobProcessor<'files.sweep'> = {
  kind: 'files.sweep',
  async process({ db, storage, log }, { isDryRun }, { signal }) {
    const report = await sweepFiles({ db, storage, log }, { isDryRun, signal })
    log.info({ ...report }, 'files swept')
    return async (tx) => {
      await insertSweepReport(tx, report)
      return []
    }
  },
}
