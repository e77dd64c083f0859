// The queues of jobs in Redis. Invariant: a job has the id of its delivery, so that adding it again does nothing while it
// exists; every command has the deadline of the connection it runs on.
import { Queue } from 'bullmq'
import { settledWithin, withTimeout } from '../async/timeout.ts'
import { unavailable } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Redis } from '../redis/connection.ts'
import { definitionOf, queueNames, type JobKind, type QueueName } from './jobs.ts'

/** Of all keys of the queues in Redis. The braces keep the keys of one script call in one slot of a partitioned Redis. */
export const queuePrefix = '{tide-jobs}'

const closeTimeoutMs = 500

export type JobQueue = Queue<unknown, unknown, JobKind>

export interface JobQueues extends AsyncDisposable {
  readonly all: readonly JobQueue[]
  of(queue: QueueName): JobQueue
}

/** @param redis a connection that fails commands instead of keeping them. Its owner closes it. */
export const openQueues = ({ redis, log }: { redis: Redis; log: Log }): JobQueues => {
  const opened = new Map(
    queueNames.map((name): [QueueName, JobQueue] => [
      name,
      new Queue(name, { connection: redis, prefix: queuePrefix, skipVersionCheck: true }),
    ]),
  )
  for (const [name, queue] of opened)
    // Without a listener an error of the connection would end the process.
    queue.on('error', (error) =>
      log.warn({ queue: name, err: error, oncePerMinute: `queue ${name}` }, 'job queue failed'),
    )
  return {
    all: [...opened.values()],
    of: (name) => opened.get(name)!,
    async [Symbol.asyncDispose]() {
      await settledWithin(closeTimeoutMs, Promise.all([...opened.values()].map((queue) => queue.close())))
    },
  }
}

export interface NewJob {
  /** Of the delivery. */
  id: string
  kind: JobKind
  payload: unknown
}

const addTimeoutMs = 5_000

/**
 * The worker decides from the row how often a job is tried; these are the bounds of what Redis keeps. Failed jobs stay for
 * administrators to see and to retry.
 */
const optionsOf = ({ id, kind }: NewJob) => ({
  jobId: id,
  attempts: definitionOf(kind).attempts,
  backoff: { type: 'custom' },
  removeOnComplete: { age: 3_600, count: 100 },
  removeOnFail: { age: 30 * 86_400, count: 5_000 },
  stackTraceLimit: 3,
  keepLogs: 20,
})

/** Adds jobs; those that exist stay as they are. @throws AppError `unavailable`, or an error of Redis. */
export const addJobs = async (queues: JobQueues, jobs: readonly NewJob[]): Promise<void> => {
  const byQueue = Map.groupBy(jobs, ({ kind }) => definitionOf(kind).queue)
  const adding = [...byQueue].map(([queue, own]) =>
    queues.of(queue).addBulk(own.map((job) => ({ name: job.kind, data: job.payload, opts: optionsOf(job) }))),
  )
  await withTimeout(addTimeoutMs, 'adding jobs', Promise.all(adding), unavailable)
}

/**
 * Makes sure that each has a job that will run: adds what Redis lost, and wakes what waits there for a time or for an
 * administrator although its delivery is due.
 */
export const restoreJobs = async (queues: JobQueues, jobs: readonly NewJob[]): Promise<void> => {
  const wake = async ({ id, kind }: NewJob): Promise<void> => {
    const job = await queues.of(definitionOf(kind).queue).getJob(id)
    const state = await job?.getState()
    if (state === 'failed' || state === 'completed') await job!.remove()
    if (state === 'delayed') await job!.promote()
  }
  await withTimeout(addTimeoutMs, 'looking for jobs', Promise.all(jobs.map(wake)), unavailable)
  await addJobs(queues, jobs)
}
