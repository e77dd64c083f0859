// One attempt of one delivery: claim, act, complete. Invariant: what an attempt commits, it commits together with the
// completion under its own fence, so that it happens once, however many attempts were begun.
//
// The problem: a job is delivered at least once. Redis hands it to another worker when the first is slow, stopped or
// dead, and a stopped one that continues believes it still has it. Locks in Redis do not help: they expire while their
// holder sleeps, and FLUSHALL removes them. The way chosen: the row in PostgreSQL is the job. An attempt begins by raising
// the row's fence under a lease and ends with an update that requires this fence, in the transaction of its effects.
import { Value } from '@sinclair/typebox/value'
import { backOffMs } from '../../async/back-off.ts'
import { Deadline } from '../../async/timeout.ts'
import {
  claimDelivery,
  completeDelivery,
  failAttempt,
  FenceLost,
  releaseClaim,
  type ClaimedDelivery,
} from '../../db/deliveries/claims.ts'
import { systemWrite, write } from '../../domain/write.ts'
import { isUnavailable, messageOf } from '../../errors.ts'
import { definitionOf, isJobKind, type JobKind, type QueueName } from '../../queues/jobs.ts'
import { describeSpan, SpanKind, traceIdOf, withSpanOf, type SpanOptions } from '../../tracing/spans.ts'
import { leaseMs, type HeldLeases } from './held-leases.ts'
import { JobRefused, type Completion, type JobDeps, type JobProcessor } from './processor.ts'

export type Processors = ReadonlyMap<JobKind, JobProcessor>

/** Counted since the start. */
export interface JobStats {
  done: number
  /** Attempts that are made again. */
  retried: number
  /** Deliveries that failed for good. */
  failed: number
  /** Attempts that lost their fence. */
  superseded: number
}

export const newJobStats = (): JobStats => ({ done: 0, retried: 0, failed: 0, superseded: 0 })

/** The same for each queue. A kind of another version has none. */
export type JobStatsByQueue = Record<QueueName, JobStats>

export const newJobStatsByQueue = (): JobStatsByQueue => ({
  mail: newJobStats(),
  files: newJobStats(),
  maintenance: newJobStats(),
})

/** How an attempt ended, as its log line says. `released`: its worker stopped. `interrupted`: PostgreSQL was away. */
type Outcome = keyof JobStats | 'released' | 'interrupted'

/** What an attempt left. */
export type AttemptEnd =
  /** Done, or there was nothing to do. */
  { kind: 'done' } | { kind: 'retry'; inMs: number; error: string } | { kind: 'failed'; error: string }

/** The worker stops; not a failure of the attempt. */
export class WorkerStopping extends Error {
  override readonly name = 'WorkerStopping'
}

export interface AttemptDeps {
  deps: JobDeps
  processors: Processors
  leases: HeldLeases
  count: (kind: string, outcome: keyof JobStats) => void
}

/** Runs the delivery if it is not done and not running. Never rejects. */
export const runAttempt = async (own: AttemptDeps, id: string): Promise<AttemptEnd> => {
  const { db, log } = own.deps
  try {
    const result = await db.transact((tx) => claimDelivery(tx, id, [...own.processors.keys()], leaseMs))
    if (result.claimed) return await runClaimed(own, result.claimed)
    if ('error' in result) return { kind: 'failed', error: result.error }
    if (result.freeInMs === null) return { kind: 'done' }
    return { kind: 'retry', inMs: result.freeInMs + 100, error: 'it is for another worker' }
  } catch (error) {
    // PostgreSQL is away: the claim, if there is one, ends with its lease, and the dispatcher makes the job again.
    log.warn({ cause: messageOf(error), oncePerMinute: 'attempts' }, 'job interrupted, retrying')
    return { kind: 'retry', inMs: isUnavailable(error) ? 1_000 : leaseMs, error: messageOf(error) }
  }
}

/** One line of the log for each attempt, whatever ends it. */
const runClaimed = async (own: AttemptDeps, claimed: ClaimedDelivery): Promise<AttemptEnd> => {
  const { id, kind, attempts, traceparent } = claimed
  const startedAt = performance.now()
  let outcome: Outcome = 'interrupted'
  try {
    const ended = await withSpanOf([traceparent], `job ${kind}`, spanOf(claimed), () =>
      describedEnd(own, claimed),
    )
    outcome = ended.outcome
    return ended.end
  } finally {
    const durationMs = Math.round(performance.now() - startedAt)
    const ofTrace = traceparent !== null && { traceId: traceIdOf(traceparent) }
    own.deps.log.info({ kind, deliveryId: id, attempt: attempts, outcome, durationMs, ...ofTrace }, 'job')
  }
}

/** The outcome is one of the span too: an attempt that failed throws nothing. */
const describedEnd = async (own: AttemptDeps, claimed: ClaimedDelivery): Promise<Ended> => {
  const ended = await endOf(own, claimed)
  const { outcome } = ended
  describeSpan(
    { 'tasktide.job.outcome': outcome },
    outcome === 'retried' || outcome === 'failed' ? outcome : null,
  )
  return ended
}

const spanOf = ({ id, kind, attempts }: ClaimedDelivery): SpanOptions => ({
  kind: SpanKind.CONSUMER,
  attributes: {
    'messaging.operation.type': 'process',
    'messaging.message.id': id,
    'tasktide.job.kind': kind,
    'tasktide.job.attempt': attempts,
  },
})

interface Ended {
  outcome: Outcome
  end: AttemptEnd
}

const endOf = async (own: AttemptDeps, claimed: ClaimedDelivery): Promise<Ended> => {
  const { deps, leases, count } = own
  using lease = leases.hold(claimed)
  try {
    const complete = await act(own, claimed, lease.signal)
    await write(deps, systemWrite, async (tx) => {
      await completeDelivery(tx, claimed)
      return { value: null, entries: await complete(tx) }
    })
    count(claimed.kind, 'done')
    return { outcome: 'done', end: { kind: 'done' } }
  } catch (error) {
    return await endFailed(own, claimed, lease.signal.aborted ? lease.signal.reason : error)
  }
}

/** Rejects at the latest when the attempt's time is up or its lease is lost, whether or not the processor reacts. */
const act = async (own: AttemptDeps, claimed: ClaimedDelivery, lease: AbortSignal): Promise<Completion> => {
  const { id, kind, payload, attempts } = claimed
  const processor = isJobKind(kind) ? own.processors.get(kind) : undefined
  if (!processor) throw new JobRefused(`no processor of ${kind}`)
  const definition = definitionOf(processor.kind)
  if (!Value.Check(definition.payload, payload))
    throw new JobRefused('the payload is not one of this version')
  if (attempts > definition.attempts) throw new JobRefused('the workers of all attempts ended during them')
  const tooLate = new AbortController()
  using deadline = new Deadline(definition.timeoutMs, () => {
    const late = new Error(`an attempt takes at most ${definition.timeoutMs} ms`)
    tooLate.abort(late)
    return late
  })
  lease.addEventListener('abort', () => deadline.fail(lease.reason), { once: true })
  const signal = AbortSignal.any([lease, tooLate.signal])
  const context = { signal, deliveryId: id, attempt: attempts }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- checked by the definition of its kind above
  return await deadline.race(processor.process(own.deps, payload as never, context))
}

const endFailed = async (
  { deps, count }: AttemptDeps,
  claimed: ClaimedDelivery,
  error: unknown,
): Promise<Ended> => {
  const { db, log } = deps
  const { id, kind, attempts } = claimed
  const fields = { kind, deliveryId: id, attempt: attempts }
  if (error instanceof FenceLost) {
    count(kind, 'superseded')
    return { outcome: 'superseded', end: { kind: 'done' } }
  }
  if (error instanceof WorkerStopping) {
    await db.transact((tx) => releaseClaim(tx, claimed))
    return { outcome: 'released', end: { kind: 'retry', inMs: 0, error: error.message } }
  }
  const definition = isJobKind(kind) ? definitionOf(kind) : null
  const isFinal = !definition || error instanceof JobRefused || attempts >= definition.attempts
  const retryInMs = isFinal ? null : backOffMs(attempts, definition.backOff.baseMs, definition.backOff.maxMs)
  const cause = messageOf(error)
  const isOwn = await db.transact((tx) => failAttempt(tx, claimed, { error: cause, retryInMs }))
  if (!isOwn) return { outcome: 'superseded', end: { kind: 'done' } } // its transaction has committed after all, or another worker has it
  if (retryInMs === null) {
    count(kind, 'failed')
    log.error({ ...fields, cause }, 'delivery failed for good')
    return { outcome: 'failed', end: { kind: 'failed', error: cause } }
  }
  count(kind, 'retried')
  log.warn(
    { ...fields, cause, retryInMs: Math.round(retryInMs), oncePerMinute: `job ${kind}` },
    'job failed, retrying',
  )
  return { outcome: 'retried', end: { kind: 'retry', inMs: retryInMs, error: cause } }
}
