// Requeuing of entries that a consumer gave up on, for operators and administrators once the cause is gone. Invariant: the
// effects commit in the transaction that deletes the dead letter, so that they happen exactly once, whatever crashes and
// however many requeue the same letter.
//
// The entry is handled later than its place in the log: its consumer has passed it and does not return. Consumers whose
// effects are those of the entry alone handle it like any other; one that keeps sums has to make them right as they are
// now (`requeue`): a check may have repaired them meanwhile, and adding the entry would count it twice.
import {
  deleteDeadLetter,
  lockDeadLetter,
  noteFailedAttempt,
  readOneSnapshot,
} from '../db/log/dead-letters.ts'
import type { Tx } from '../db/client.ts'
import { isTransient, messageOf } from '../errors.ts'
import type { SystemActor } from '../model/actor.ts'
import type { DeadLetterId } from '../model/dead-letter-id.ts'
import type { Entry, LogEntry } from '../model/event.ts'
import { callerOf, write, type WriteDeps } from './write.ts'

/** What requeuing needs of a consumer. */
export interface LetterHandler {
  readonly name: string
  handle(tx: Tx, entries: LogEntry[]): Promise<Entry[]>
  /** In place of `handle`, in a transaction of one snapshot. */
  requeue?(tx: Tx, entry: LogEntry): Promise<Entry[]>
}

/** `missing`: there is no such letter, or no more. `unknown`: this version has no such consumer. */
export type Requeued =
  | { outcome: 'requeued' | 'missing' | 'unknown' }
  /** It failed again and stays, with the new error. */
  | { outcome: 'failed'; error: string }

/** Above the 10 s of a statement: an entry may be here because it takes long. Below the 30 s of an answer. */
const deadlineMs = 25_000

/**
 * Handles the entry again.
 * @param actor with the caller under whose limits the database calls run.
 * @throws AppError `unavailable`; 429.
 */
export const requeueDeadLetter = async (
  deps: WriteDeps & { consumers: readonly LetterHandler[] },
  id: DeadLetterId,
  actor: SystemActor,
): Promise<Requeued> => {
  const consumer = deps.consumers.find(({ name }) => name === id.consumer)
  if (!consumer) return { outcome: 'unknown' }
  const work = async (tx: Tx): Promise<{ value: Requeued; entries: Entry[] }> => {
    if (consumer.requeue) await readOneSnapshot(tx)
    const entry = await lockDeadLetter(tx, id)
    if (!entry) return { value: { outcome: 'missing' }, entries: [] }
    const entries = await (consumer.requeue?.(tx, entry) ?? consumer.handle(tx, [entry]))
    await deleteDeadLetter(tx, id)
    return { value: { outcome: 'requeued' }, entries }
  }
  try {
    return (await write(deps, { actor, claim: null }, work, { deadlineMs })).value
  } catch (error) {
    if (isTransient(error)) throw error
    const message = messageOf(error)
    await deps.db.of(callerOf(actor)).transact((tx) => noteFailedAttempt(tx, id, message))
    return { outcome: 'failed', error: message }
  }
}
