// One write in the queue: what it is, how far it has come, and who waits for it.
import { deferred, type Deferred } from '../async/deferred.ts'
import type { PendingWrite } from './overlay.ts'
import type { Task } from '../../../../src/model/task.ts'
import { isSameShard, seqOf } from '../connection/frames.ts'

/** An optimistic write: seen at once; `settled` follows the server. */
export interface Write {
  readonly op: string
  readonly taskId: string
  /** The task as the server has it, null for a deletion, once the view shows it. Rejects if it was refused. */
  readonly settled: Promise<Task | null>
}

export interface OutboxEntry {
  write: PendingWrite
  state: 'storing' | 'queued' | 'sending' | 'answered'
  /** Its echo only reported that the task left this project: its new state comes with the response. */
  isEchoed: boolean
  cursor: string | null
  value: Task | null
  result: Deferred<Task | null>
}

export const createEntry = (write: PendingWrite, state: OutboxEntry['state']): OutboxEntry => {
  const result = deferred<Task | null>()
  result.promise.catch(() => {}) // reported by onRefused too; a caller that awaits it receives the rejection
  return { write, state, isEchoed: false, cursor: null, value: null, result }
}

/** Whether what is at `cursor` is known to be before `reached`. */
export const isReached = (cursor: string, reached: string): boolean =>
  isSameShard(cursor, reached) && seqOf(cursor) <= seqOf(reached)

/** The same, and what cannot be compared (another scope's cursor, another epoch) is over with the next look. */
export const isPast = (cursor: string | null, reached: string): boolean =>
  cursor === null || !isSameShard(cursor, reached) || isReached(cursor, reached)
