// The closed map of jobs: every kind with its payload, queue and attempts. Invariant: a payload carries ids and plain
// facts, never a secret, because rows and jobs are kept and shown to administrators.
import { Type, type Static, type TSchema } from '@sinclair/typebox'

export const queueNames = ['mail', 'files', 'maintenance'] as const
export type QueueName = (typeof queueNames)[number]

export interface JobDefinition {
  queue: QueueName
  /** The shape of the payload, checked when a job is claimed: another version may have written the row. */
  payload: TSchema
  /** Claims before the delivery fails for good, and for administrators to see. */
  attempts: number
  /** Waits between attempts: `baseMs` after the first, doubled by each, at most `maxMs`, with jitter. */
  backOff: { baseMs: number; maxMs: number }
  /** An attempt that takes longer is aborted and counts as failed. */
  timeoutMs: number
}

const closed = { additionalProperties: false }

/** The most keys of one `files.delete` job. */
export const maxKeysOfDeletion = 100

export const jobs = {
  /** Deletes objects whose rows are gone, and then their `file_deletions`. Storage may be away for a day. */
  'files.delete': {
    queue: 'files',
    payload: Type.Object(
      { keys: Type.Array(Type.String(), { minItems: 1, maxItems: maxKeysOfDeletion }) },
      closed,
    ),
    attempts: 8_000,
    backOff: { baseMs: 1_000, maxMs: 15_000 },
    timeoutMs: 60_000,
  },
  /** Checks size, type and hash of a direct upload before it becomes visible: up to 1 GiB is read. */
  'files.verify': {
    queue: 'files',
    payload: Type.Object({ attachmentId: Type.String() }, closed),
    attempts: 1_000,
    backOff: { baseMs: 1_000, maxMs: 60_000 },
    timeoutMs: 10 * 60_000,
  },
} as const satisfies Record<string, JobDefinition>

export type JobKind = keyof typeof jobs
export type JobPayload<K extends JobKind> = Static<(typeof jobs)[K]['payload']>

/** A kind with its payload, for each kind. */
export type Job = { [K in JobKind]: { kind: K; payload: JobPayload<K> } }[JobKind]

export const isJobKind = (kind: string): kind is JobKind => Object.hasOwn(jobs, kind)

export const jobKinds = Object.keys(jobs).filter(isJobKind)

/** The same with the types of the interface, for code that works on any kind. */
export const definitionOf = (kind: JobKind): JobDefinition => jobs[kind]

export const kindsOf = (queue: QueueName): JobKind[] =>
  jobKinds.filter((kind) => definitionOf(kind).queue === queue)
