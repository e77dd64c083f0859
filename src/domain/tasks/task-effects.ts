// What a write makes of a task: its next state, and the log entries that announce it. Invariant: versions and the times that
// follow from a change are computed here alone; SQL stores them. Pure: the time is the database's, read after the locks.
// Members receive entries in the project's scope, each person a task is shared with in their own: one for each scope.
import type { StoredTask } from '../../db/tasks/tasks.ts'
import { type Entry, type EventType } from '../../model/event.ts'
import { type Scope, projectScope, userScope } from '../../model/scope.ts'
import {
  contentFields,
  fieldNames,
  newTaskDefaults,
  type TaskFields,
  type UpdatedField,
} from '../../model/task-fields.ts'
import type { Task } from '../../model/task.ts'
import { changesBetween, changesFromEmpty, isSameValue } from './task-fields.ts'

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

/** The scopes that receive entries about a task. */
const scopesOf = (task: Task, sharees: string[]): Scope[] => [
  projectScope(task.projectId),
  ...sharees.map(userScope),
]

const toScopes = (scopes: Scope[], entry: Omit<Entry, 'scope'> & { type: EventType }): Entry[] =>
  scopes.map((scope) => ({ scope, ...entry }))

/** For the project alone: a new task has no shares yet. */
export const taskCreated = (task: Task, actorId: string | null): Entry[] =>
  toScopes(scopesOf(task, []), {
    type: 'task.created',
    id: task.id,
    version: task.version,
    data: task,
    actorId,
    changes: changesFromEmpty(task, 'to'),
  })

/** The new state with the changes between the two, which may be those of a counter. */
export const taskUpdated = (
  before: Task,
  after: Task,
  sharees: string[],
  actorId: string | null,
): Entry[] => {
  const changes = changesBetween(before, after)
  return toScopes(scopesOf(after, sharees), {
    type: 'task.updated',
    id: after.id,
    version: after.version,
    data: after,
    changed: Object.keys(changes),
    actorId,
    changes,
  })
}

/** The version of a deletion is the task's last version plus one. */
export const taskDeleted = (task: Task, sharees: string[], actorId: string | null): Entry[] =>
  toScopes(scopesOf(task, sharees), {
    type: 'task.deleted',
    id: task.id,
    version: task.version + 1,
    actorId,
    changes: changesFromEmpty(task, 'from'),
  })

/** A move to another project: deleted in the old scope, created in the new one, updated for people it is shared with. */
export const taskMoved = (before: Task, after: Task, sharees: string[], actorId: string | null): Entry[] => [
  ...taskDeleted(before, [], actorId),
  ...taskCreated(after, actorId),
  ...taskUpdated(before, after, sharees, actorId).filter(
    (entry) => entry.scope !== projectScope(after.projectId),
  ),
]
