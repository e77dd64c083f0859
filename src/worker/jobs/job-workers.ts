// The workers of the queues in this process: BullMQ fetches jobs and finds those of dead workers; what a job does and how
// it ends is decided by its delivery.
import { UnrecoverableError, Worker, type Job } from 'bullmq'
import { settledWithin } from '../../async/timeout.ts'
import type { Log } from '../../log.ts'
import { queuePrefix } from '../../queues/job-queues.ts'
import { queueNames, queues, type QueueName } from '../../queues/jobs.ts'
import type { RedisConnection } from '../../redis/connection.ts'
import type { AttemptEnd } from './attempt.ts'

export interface JobWorkersOptions {
  /** Opens a connection whose commands wait for Redis. */
  connect: () => RedisConnection
  run: (deliveryId: string) => Promise<AttemptEnd>
  log: Log
}

/** The job of a worker that was killed is back after its lock and one interval: 15 s at most. */
const stalling = {
  lockDuration: 10_000,
  stalledInterval: 5_000,
  maxStalledCount: Number.MAX_SAFE_INTEGER, // the row counts attempts
}

/** Tried again after a time that the row has, too. */
class RetryLater extends Error {
  override readonly name = 'RetryLater'

  constructor({ inMs, error }: { inMs: number; error: string }) {
    super(error)
    this.inMs = inMs
  }

  readonly inMs: number
}

export interface JobWorkers {
  /** Fetches no more jobs; resolves when those that run have ended. */
  close(): Promise<void>
  /** Closes the connections, also under jobs that run. */
  disconnect(): Promise<void>
}

export const openJobWorkers = ({ connect, run, log }: JobWorkersOptions): JobWorkers => {
  const connection = connect()
  const work = async ({ id }: Job): Promise<void> => {
    const end = await run(id!)
    if (end.kind === 'failed') throw new UnrecoverableError(end.error)
    if (end.kind === 'retry') throw new RetryLater(end)
  }
  const open = (name: QueueName): Worker => {
    const worker = new Worker(name, work, {
      connection: connection.client,
      prefix: queuePrefix,
      concurrency: queues[name],
      ...stalling,
      runRetryDelay: 1_000,
      skipVersionCheck: true,
      settings: {
        backoffStrategy: (_attempts, _type, error) => (error instanceof RetryLater ? error.inMs : 1_000),
      },
    })
    // Without a listener an error of the connection would end the process.
    worker.on('error', (error) =>
      log.warn({ queue: name, err: error, oncePerMinute: `jobs ${name}` }, 'job worker failed, retrying'),
    )
    worker.on('stalled', (deliveryId) =>
      log.warn({ queue: name, deliveryId }, 'the worker of a job is gone, the job runs again'),
    )
    return worker
  }
  const workers = queueNames.map(open)
  return {
    async close() {
      await Promise.all(workers.map((worker) => worker.close()))
    },
    async disconnect() {
      await settledWithin(500, Promise.all(workers.map((worker) => worker.disconnect())))
      await connection[Symbol.asyncDispose]()
    },
  }
}
