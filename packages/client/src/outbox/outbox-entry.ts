// One write in the queue: its content, its state, and the promise its caller awaits.
import { deferred, type Deferred } from '../async/deferred.ts'
import type { PendingWrite } from './overlay.ts'
import type { Task } from '../../../../src/model/task.ts'
import { isSameShard, seqOf } from '../connection/frames.ts'

/** An optimistic write: shown at once; `settled` follows the server. */
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

/** Whether `cursor` is known to be at or before `reached`. */
export const isReached = (cursor: string, reached: string): boolean =>
  isSameShard(cursor, reached) && seqOf(cursor) <= seqOf(reached)

/** As `isReached`; a cursor that cannot be compared (of another scope or epoch) counts as reached. */
export const isPast = (cursor: string | null, reached: string): boolean =>
  cursor === null || !isSameShard(cursor, reached) || isReached(cursor, reached)
