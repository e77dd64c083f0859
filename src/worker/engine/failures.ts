// What an error counts as, and when a shard consumer tries again.
//
//   interruption  The position moved, PostgreSQL is away, a lock is taken: unrelated to the entry. Tried again with back-off,
//                 without limit and without counting.
//   failure       Anything else. A batch of several counts for none of its entries: the next tries isolate the failing
//                 one. A single entry is tried `maxAttempts` times with back-off.
//
// An entry whose handling takes longer than a transaction may looks like PostgreSQL being away. Problem: taken for an
// interruption it is tried for ever, and the shard stops there. The naive way, counting every missed deadline, moves good
// entries to `dead_letter` in an outage. The way chosen: a time-out counts only for an entry alone, whose handling had
// begun, while PostgreSQL answers another statement. Locks are not waited for that long (`lock_timeout` 2 s).
import { backOffMs } from '../../async/back-off.ts'
import type { Database } from '../../db/client.ts'
import { hasTimedOut } from '../../db/errors.ts'
import { answers, PositionMoved } from '../../db/log/consumers.ts'
import { isUnavailable, messageOf } from '../../errors.ts'
import type { LogEntry } from '../../model/event.ts'

export const maxAttempts = 5
/** Before the next try after another worker moved the position. */
const movedDelayMs = 20
const probeDeadlineMs = 500

/** The entry alone took longer than it may while PostgreSQL answered: a failure. */
export class HandlingTimeout extends Error {
  override readonly name = 'HandlingTimeout'

  constructor(cause: unknown) {
    const reason = cause instanceof Error && cause.cause ? `: ${messageOf(cause.cause)}` : ''
    super(`handling the entry took longer than a transaction may${reason}`, { cause })
  }
}

export const isInterruption = (error: unknown): boolean =>
  error instanceof PositionMoved || isUnavailable(error)

/** @returns a HandlingTimeout in place of a time-out that the entry itself caused; other errors unchanged. */
export const explainTimeout = async (
  error: unknown,
  batch: readonly LogEntry[],
  db: Pick<Database, 'read'>,
): Promise<unknown> => {
  if (batch.length > 1 || !hasTimedOut(error)) return error
  try {
    await db.read(answers, { deadlineMs: probeDeadlineMs })
    return new HandlingTimeout(error)
  } catch {
    return error
  }
}

export class Failures {
  /** The entry that failed alone, and its failures in a row. */
  #failing = { seq: 0, attempts: 0 }
  /** In a row. */
  interruptions = 0

  /** Of the entry that failed last; 0 after a batch of several. */
  get attempts(): number {
    return this.#failing.attempts
  }

  /** Whether the batch is one entry that failed before. */
  isRetry(batch: readonly LogEntry[]): boolean {
    return batch.length === 1 && batch[0]!.seq === this.#failing.seq
  }

  note(batch: readonly LogEntry[]): void {
    if (batch.length > 1) this.#failing = { seq: 0, attempts: 0 }
    else if (this.isRetry(batch)) this.#failing.attempts += 1
    else this.#failing = { seq: batch[0]!.seq, attempts: 1 }
  }

  /** Milliseconds to wait before the next try. */
  backoffMs(error: unknown): number {
    if (error instanceof PositionMoved) return movedDelayMs
    const { attempts } = this
    if (!isInterruption(error)) return attempts === 0 ? 0 : backOffMs(attempts, 100, 5_000)
    this.interruptions += 1
    return backOffMs(this.interruptions, 50, 1_000)
  }
}
