// From one state of a task to the next: the only place that computes versions and the times that follow from a change.
// SQL stores what is computed here. Pure: the time is the database's, read after the locks.
import type { StoredTask } from '../../db/tasks/tasks.ts'
import {
  contentFields,
  fieldNames,
  newTaskDefaults,
  type TaskFields,
  type UpdatedField,
} from '../../model/task-fields.ts'
import type { Task } from '../../model/task.ts'
import { isSameValue } from './task-fields.ts'

/** The first state of a task. @param at the database's clock. */
export const firstState = (
  made: TaskFields & Pick<Task, 'id' | 'projectId' | 'creatorId' | 'rank'>,
  at: string,
): StoredTask => {
  const completedAt = made.status === 'done' ? at : null
  const values = { completedAt, version: 1, createdAt: at, updatedAt: at }
  return { task: { ...inOrder, ...made, ...values }, contentVersion: 1, dueRev: 1 }
}

/** Every field, in the order tasks are shown in: a spread keeps the places of the first object. */
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what has no default is set by `firstState`
const inOrder = Object.fromEntries(
  fieldNames.map((name) => [name, name in newTaskDefaults ? Reflect.get(newTaskDefaults, name) : null]),
) as Task

const open: readonly string[] = ['todo', 'in_progress']

/**
 * The state after a change. `completedAt` follows the status; `dueRev` rises with a new due time and when the task is
 * reopened; the content version follows the version where one of its fields changed.
 * @param steps how much the version rises. @param at the database's clock.
 */
export const nextState = (
  { task, contentVersion, dueRev }: StoredTask,
  fields: Partial<Pick<Task, UpdatedField>>,
  { at, steps = 1 }: { at: string; steps?: number },
): StoredTask => {
  const next: Task = { ...task, ...fields, version: task.version + steps, updatedAt: at }
  next.completedAt = next.status === 'done' ? (task.completedAt ?? at) : null
  const isReopened = !open.includes(task.status) && open.includes(next.status)
  const isContent = contentFields.some((name) => !isSameValue(task[name], next[name]))
  return {
    task: next,
    contentVersion: isContent ? next.version : contentVersion,
    dueRev: dueRev + Number(isReopened || next.dueAt !== task.dueAt),
  }
}
