// Every processor of the worker: exactly one for each kind of job, as the type of the record requires.
import type { JobKind } from '../queues/jobs.ts'
import { deleteFiles } from './jobs/files-delete.ts'
import { sweep } from './jobs/files-sweep.ts'
import { verifyFile } from './jobs/files-verify.ts'
import { mailInvitation, mailPasswordReset, mailVerification } from './jobs/mail-account.ts'
import { mailNotification } from './jobs/mail-notification.ts'
import type { JobProcessor } from './jobs/processor.ts'

const processorOf: { readonly [K in JobKind]: JobProcessor<K> } = {
  'files.delete': deleteFiles,
  'files.sweep': sweep,
  'files.verify': verifyFile,
  'mail.notification': mailNotification,
  'mail.verification': mailVerification,
  'mail.password_reset': mailPasswordReset,
  'mail.invitation': mailInvitation,
}

export const processors: readonly JobProcessor[] = Object.values(processorOf)
