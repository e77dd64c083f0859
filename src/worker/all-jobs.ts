// Every processor of the worker, one for each kind of job it runs.
import type { JobProcessor } from './jobs/processor.ts'

export const processors: readonly JobProcessor[] = []
