// A write to tasks as data: what it locks and reads, and what it decides from that. A plan does not know whether it runs
// alone or with the plans of other requests.
import type { TaskNeeds } from './task-needs.ts'
import type { TaskState } from './task-state.ts'
import type { Effect } from '../write.ts'

export interface TaskPlan<T> {
  needs: TaskNeeds
  /**
   * Authorizes, checks and applies the write to the state. Pure and synchronous: it may run more than once. Throws the
   * AppError of the request, or `NotLoaded`; the effects it had by then are taken back.
   */
  decide: (state: TaskState) => Effect<T>
  /** Bytes of text it writes, roughly. */
  bytes: number
  /** One task, with its subtasks: it shares a batch. Several: alone. Many: alone, as a heavy call of its caller. */
  extent: 'one' | 'several' | 'many'
}
