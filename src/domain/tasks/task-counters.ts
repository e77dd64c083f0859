// Counters of a task: how many comments and attachments it has. Invariant: a counter changes in the transaction of what
// it counts, under the lock of the task's row, with a version of its own and its entry in every scope of the task.
//
// Problem: `update tasks set comment_count = comment_count + 1` needs no lock before it, but the version it makes is
// unknown until it has run, and a batch of task writes beside it stores versions that it computed under its own locks:
// the two would have to agree on who writes which column. Counting rows at read time costs an index scan for each task
// of a list. The way chosen: a counter is a field like any other, from the locked row to the next state, so that it
// shares the lock order, `nextState` and the entries of every other write. No counter is part of the content: the
// content version stays, and `If-Match` does not fail by it. A write of its own transaction calls `changeTaskCounter`
// after `lockTaskFor`; a plan calls `countInState`, and its task is one of its needs.
import type { Tx } from '../../db/client.ts'
import { lockTasks, selectLockedTasks, updateTasks, type LockedTaskRow } from '../../db/tasks/tasks.ts'
import type { Actor } from '../../model/actor.ts'
import type { Entry } from '../../model/event.ts'
import type { CounterField } from '../../model/task-fields.ts'
import type { Action } from '../actor.ts'
import { nextState, taskUpdated } from './task-effects.ts'
import { authorizeChange } from './task-decisions.ts'
import type { TaskAccess, TaskState } from './task-state.ts'

/**
 * Locks the task, then reads it with the actor's access and the users it is shared with: the first step of a write to
 * something that belongs to a task. 404, 403, 409 `project_archived`, in this order.
 */
export const lockTaskFor = async (
  tx: Tx,
  actor: Actor,
  taskId: string,
  action: Action,
): Promise<LockedTaskRow> => {
  // Sent together and run in order: the second statement takes its snapshot after the lock is acquired.
  const [, [row]] = await Promise.all([
    lockTasks(tx, [taskId]),
    selectLockedTasks(tx, actor.userId, [taskId]),
  ])
  return authorizeChange(actor, row, action)
}

/**
 * Adds `by` to a counter of a task that this transaction has locked and read, stores it, and returns the entries of the
 * change. Once for a task in a transaction.
 * @param actorId null for the system.
 */
export const changeTaskCounter = async (
  tx: Tx,
  row: LockedTaskRow,
  counter: CounterField,
  by: number,
  actorId: string | null,
): Promise<Entry[]> => {
  const next = nextState(row, { [counter]: row.task[counter] + by }, { at: row.readAt })
  await updateTasks(tx, [next], false)
  return taskUpdated(row.task, next.task, row.sharees, actorId)
}

/** The same in the state of a batch. */
export const countInState = (
  state: TaskState,
  access: TaskAccess,
  counter: CounterField,
  by: number,
  actorId: string,
): Entry[] => {
  const next = nextState(access, { [counter]: access.task[counter] + by }, { at: state.at })
  state.change(next)
  return taskUpdated(access.task, next.task, access.sharees, actorId)
}
