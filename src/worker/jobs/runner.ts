// Deliveries in a worker: the dispatcher, the workers of the queues, the leases of running attempts, and their orderly
// end. Invariant: a stop ends within its deadline; attempts it interrupts are given back and count for nothing.
import { settledWithin } from '../../async/timeout.ts'
import { openQueues } from '../../queues/job-queues.ts'
import { definitionOf, isJobKind } from '../../queues/jobs.ts'
import type { Redis, RedisConnection } from '../../redis/connection.ts'
import { loop } from '../loops/loop.ts'
import {
  newJobStats,
  newJobStatsByQueue,
  runAttempt,
  WorkerStopping,
  type AttemptDeps,
  type AttemptEnd,
  type JobStats,
  type JobStatsByQueue,
} from './attempt.ts'
import { dispatchDeliveries } from './dispatcher.ts'
import { HeldLeases, renewEveryMs } from './held-leases.ts'
import { openJobWorkers } from './job-workers.ts'
import type { JobDeps, JobProcessor } from './processor.ts'

export interface JobsOptions {
  deps: JobDeps
  processors: readonly JobProcessor[]
  /** For adding jobs; fails instead of waiting. */
  redis: Redis
  /** Opens a connection whose commands wait for Redis. */
  connect: () => RedisConnection
}

export interface Jobs extends AsyncDisposable {
  readonly stats: JobStats
  readonly statsByQueue: JobStatsByQueue
  /** Attempts that run now. */
  readonly running: number
}

/** A job begins within a second of the commit of its delivery. */
const dispatchEveryMs = 400
/** What running attempts have to end by themselves, then to be given back; then what Redis has to take note of it. */
const graceMs = 5_000
const releaseMs = 2_000
const closeMs = 1_000

export const startJobs = ({ deps, processors, redis, connect }: JobsOptions): Jobs => {
  const { db, log } = deps
  const stats = newJobStats()
  const statsByQueue = newJobStatsByQueue()
  const count: AttemptDeps['count'] = (kind, outcome) => {
    stats[outcome] += 1
    if (isJobKind(kind)) statsByQueue[definitionOf(kind).queue][outcome] += 1
  }
  const leases = new HeldLeases(db)
  const queues = openQueues({ redis, log })
  const byKind = new Map(processors.map((processor) => [processor.kind, processor]))
  const own = { deps, processors: byKind, leases, count }
  const dispatching = new AbortController()
  const renewing = new AbortController()
  const stopping = new WorkerStopping('the worker stops')
  const run = async (id: string): Promise<AttemptEnd> =>
    dispatching.signal.aborted
      ? { kind: 'retry', inMs: 0, error: stopping.message }
      : await runAttempt(own, id)
  const workers = openJobWorkers({ connect, log, run })
  const kinds = [...byKind.keys()]
  const dispatcher = loop({
    name: 'deliveries',
    everyMs: dispatchEveryMs,
    log,
    signal: dispatching.signal,
    work: async () => {
      await dispatchDeliveries({ db, queues, kinds })
    },
  })
  const renewal = loop({
    name: 'delivery leases',
    everyMs: renewEveryMs,
    log,
    signal: renewing.signal,
    work: () => leases.renew(),
  })
  return {
    stats,
    statsByQueue,
    get running() {
      return leases.size
    },
    async [Symbol.asyncDispose]() {
      dispatching.abort()
      const closed = workers.close()
      await settledWithin(graceMs, leases.idle())
      leases.abort(stopping)
      await settledWithin(releaseMs, leases.idle())
      renewing.abort()
      await settledWithin(closeMs, Promise.all([closed, dispatcher, renewal]))
      await workers.disconnect()
      await queues[Symbol.asyncDispose]()
    },
  }
}
