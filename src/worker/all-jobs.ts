// Every processor of the worker, one for each kind of job it runs.
import { deleteFiles } from './jobs/files-delete.ts'
import { sweep } from './jobs/files-sweep.ts'
import type { JobProcessor } from './jobs/processor.ts'

export const processors: readonly JobProcessor[] = [deleteFiles, sweep]
