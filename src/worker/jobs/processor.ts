// What a job kind is to the engine: one processor for each kind, in a file of its name.
import type { Config } from '../../config.ts'
import type { Publisher } from '../../changelog/publisher.ts'
import type { Database, Tx } from '../../db/client.ts'
import type { Log } from '../../log.ts'
import type { LinkConfig } from '../../mail/links.ts'
import type { Mailer } from '../../mail/mailer.ts'
import type { Entry } from '../../model/event.ts'
import type { JobKind, JobPayload } from '../../queues/jobs.ts'
import type { Storage } from '../../storage/storage.ts'

/** What processors work with; each uses the slice it needs. */
export interface JobDeps {
  db: Database
  publisher: Publisher
  /** Objects of attachments and avatars. */
  storage: Storage
  log: Log
  mailer: Mailer
  /** What links in mails are made of. */
  config: LinkConfig & Pick<Config, 'jwtKeys'>
}

export interface JobContext {
  /** Aborts when the attempt has to end: its time is up, the worker stops, or another worker has claimed the delivery. */
  signal: AbortSignal
  deliveryId: string
  /** From 1. */
  attempt: number
}

/**
 * What remains to be done in PostgreSQL, and the entries to append. Runs in the transaction that completes the delivery,
 * so it happens once; it may run again after a rollback.
 */
export type Completion = (tx: Tx) => Promise<Entry[]>

export const nothingToCommit: Completion = async () => []

export interface JobProcessor<K extends JobKind = JobKind> {
  readonly kind: K
  /**
   * Acts outside of PostgreSQL. A worker may die after it has acted, so that another attempt acts again: twice must do no
   * more than once. Throws to be tried again later, `JobRefused` not to be. Messages of errors are stored, logged and
   * shown to administrators: no addresses or secrets in them.
   */
  process(deps: JobDeps, payload: JobPayload<K>, context: JobContext): Promise<Completion>
}

/** No further attempt can succeed: the delivery fails at once. */
export class JobRefused extends Error {
  override readonly name = 'JobRefused'
}
