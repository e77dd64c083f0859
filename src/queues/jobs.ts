// The closed map of jobs: every kind with its payload, queue and attempts. Invariant: a payload carries ids and plain
// facts, never a secret, because rows and jobs are kept and shown to administrators.
import { Type, type Static, type TSchema } from '@sinclair/typebox'

/**
 * The queues, and how many jobs of each a worker runs at once. Mails one at a time: a worker that dies after the server
 * has taken a mail, and before that is recorded, repeats it; so a death repeats one mail at most.
 */
export const queues = { mail: 1, files: 8, maintenance: 1 } as const
export type QueueName = keyof typeof queues

export interface JobDefinition {
  queue: QueueName
  /** The shape of the payload, checked when a job is claimed: another version may have written the row. */
  payload: TSchema
  /** Claims before the delivery fails for good, and for administrators to see. Half of each wait may be jitter. */
  attempts: number
  /** Waits between attempts: `baseMs` after the first, doubled by each, at most `maxMs`, with jitter. */
  backOff: { baseMs: number; maxMs: number }
  /** An attempt that takes longer is aborted and counts as failed. */
  timeoutMs: number
  /** Jobs at once in Redis, over all workers; the rest waits in PostgreSQL. */
  inFlight: number
}

const closed = { additionalProperties: false }

/** The most keys of one `files.delete` job. */
export const maxKeysOfDeletion = 100

/** Every kind of mail. The server may be away for a day, and refuses or greylists for minutes in normal operation. */
const mail = {
  queue: 'mail',
  attempts: 600,
  backOff: { baseMs: 1_000, maxMs: 5 * 60_000 },
  timeoutMs: 45_000, // above the deadline of the driver
} as const

/** Mail with a link of an account: the payload names the row, and the secret is in neither. */
const linkMail = {
  ...mail,
  payload: Type.Object({ linkId: Type.String() }, closed),
  inFlight: 20,
} as const satisfies JobDefinition

export const jobs = {
  /** Deletes objects whose rows are gone, and then their `file_deletions`. Storage may be away for a day. */
  'files.delete': {
    queue: 'files',
    payload: Type.Object(
      { keys: Type.Array(Type.String(), { minItems: 1, maxItems: maxKeysOfDeletion }) },
      closed,
    ),
    attempts: 20_000,
    backOff: { baseMs: 1_000, maxMs: 10_000 },
    timeoutMs: 60_000,
    inFlight: 100,
  },
  /** Sends the link that `linkId` names, if it still counts then. Its token is derived when the mail is made. */
  'mail.password_reset': linkMail,
  'mail.verification': linkMail,
  'mail.invitation': linkMail,
  /** Sends the notices of one person's window as one mail. */
  'mail.notification': {
    ...mail,
    payload: Type.Object({ userId: Type.String(), windowId: Type.String() }, closed),
    inFlight: 20, // few, so that mails with links, which people wait for, are not behind many
  },
  /** Checks size, type and hash of a direct upload before it becomes visible: up to 1 GiB is read. */
  'files.verify': {
    queue: 'files',
    payload: Type.Object({ attachmentId: Type.String() }, closed),
    attempts: 5_000,
    backOff: { baseMs: 1_000, maxMs: 60_000 },
    timeoutMs: 10 * 60_000,
    inFlight: 4, // below the concurrency of the queue, so that deletions go on beside them
  },
  /** Compares the storage with the rows; a large one takes hours. */
  'files.sweep': {
    queue: 'maintenance',
    payload: Type.Object({ isDryRun: Type.Boolean() }, closed),
    attempts: 50,
    backOff: { baseMs: 10_000, maxMs: 10 * 60_000 },
    timeoutMs: 6 * 60 * 60_000,
    inFlight: 1,
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

export const isQueueName = (name: unknown): name is QueueName =>
  typeof name === 'string' && Object.hasOwn(queues, name)

export const queueNames = Object.keys(queues).filter(isQueueName)

export const kindsOf = (queue: QueueName): JobKind[] =>
  jobKinds.filter((kind) => definitionOf(kind).queue === queue)
