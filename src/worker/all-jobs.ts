// Every processor of the worker, one for each kind of job it runs.
import { deleteFiles } from './jobs/files-delete.ts'
import { sweep } from './jobs/files-sweep.ts'
import { verifyFile } from './jobs/files-verify.ts'
import { mailInvitation, mailPasswordReset, mailVerification } from './jobs/mail-account.ts'
import { mailNotification } from './jobs/mail-notification.ts'
import type { JobProcessor } from './jobs/processor.ts'

export const processors: readonly JobProcessor[] = [
  deleteFiles,
  sweep,
  verifyFile,
  mailNotification,
  mailVerification,
  mailPasswordReset,
  mailInvitation,
]
