// Log entries about tasks. Members receive them in the project's scope, each person a task is shared with in their own
// user scope: one entry for each scope.
import { type Scope, isProjectScope, projectScope, userScope } from '../../model/scope.ts'
import { type Entry, type EventType } from '../../model/event.ts'
import type { Task } from '../../model/task.ts'
import { changesBetween, changesFromEmpty } from './task-fields.ts'

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

/** The project scope whose cursor the response carries. Null where the entries belong to no or several projects. */
export const cursorScopeOf = (entries: Entry[]): Scope | null => {
  const scopes = new Set(entries.map((entry) => entry.scope).filter(isProjectScope))
  const [only] = scopes
  return scopes.size === 1 && only ? only : null
}
