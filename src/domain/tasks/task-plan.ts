// A write to tasks as data: what it locks and reads, and what it decides from that. A plan does not know whether it runs
// alone or with the plans of other requests.
import {
  changeNeeds,
  creationNeeds,
  decideChange,
  decideCreation,
  decideDeletion,
  deletionNeeds,
} from './task-decisions.ts'
import type { Change } from './task-decisions.ts'
import type { TaskNeeds } from './task-needs.ts'
import type { TaskState } from './task-state.ts'
import type { Actor } from '../../model/actor.ts'
import type { NewTask, Task } from '../../model/task.ts'
import type { SeenVersions } from '../version.ts'
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

/** What a row and its entry take beside the texts. */
const rowBytes = 1_000

export const creationPlan = (actor: Actor, input: NewTask): TaskPlan<Task> => ({
  needs: creationNeeds(actor, input),
  decide: (state) => decideCreation(state, actor, input),
  bytes: rowBytes + (input.description?.length ?? 0),
  extent: 'one',
})

export const changePlan = (actor: Actor, change: Change, bytes = 0): TaskPlan<Task> => ({
  needs: changeNeeds(actor, change),
  decide: (state) => decideChange(state, actor, change),
  bytes: rowBytes + bytes,
  extent: 'one',
})

export const deletionPlan = (actor: Actor, id: string, ifMatch: SeenVersions): TaskPlan<null> => ({
  needs: deletionNeeds(actor, id),
  decide: (state) => decideDeletion(state, actor, id, ifMatch),
  bytes: rowBytes,
  extent: 'one',
})
