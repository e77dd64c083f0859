// Verifies an object that a client stored by itself, before it is shown.
import { verifyDirectUpload } from '../../domain/attachments/verify.ts'
import type { JobProcessor } from './processor.ts'

export const verifyFile: JobProcessor<'files.verify'> = {
  kind: 'files.verify',
  process: ({ db, storage }, { attachmentId }, { signal }) =>
    verifyDirectUpload({ db, storage }, attachmentId, signal),
}
