// What the log says of tasks. Members hear of a task in its project's scope, each person it is shared with in
// their own: one entry to each.
import { type Scope, isProjectScope, projectScope, userScope } from '../../model/scope.ts'
import { type Entry, type EventType } from '../../model/event.ts'
import type { Task } from '../../model/task.ts'
import { changesBetween, changesFromEmpty } from './task-fields.ts'

/** Everybody who hears of a task. */
const scopesOf = (task: Task, sharees: string[]): Scope[] => [
  projectScope(task.projectId),
  ...sharees.map(userScope),
]

const toAll = (scopes: Scope[], entry: Omit<Entry, 'scope'> & { type: EventType }): Entry[] =>
  scopes.map((scope) => ({ scope, ...entry }))

/** A new task is shared with nobody yet. */
export const taskCreated = (task: Task, actorId: string | null): Entry[] =>
  toAll(scopesOf(task, []), {
    type: 'task.created',
    id: task.id,
    version: task.version,
    data: task,
    actorId,
    changes: changesFromEmpty(task, 'to'),
  })

/** Two states of a task with what changed between them: also a comment's or attachment's count. */
export const taskUpdated = (
  before: Task,
  after: Task,
  sharees: string[],
  actorId: string | null,
): Entry[] => {
  const changes = changesBetween(before, after)
  return toAll(scopesOf(after, sharees), {
    type: 'task.updated',
    id: after.id,
    version: after.version,
    data: after,
    changed: Object.keys(changes),
    actorId,
    changes,
  })
}

/** A deletion carries the last version plus one. */
export const taskDeleted = (task: Task, sharees: string[], actorId: string | null): Entry[] =>
  toAll(scopesOf(task, sharees), {
    type: 'task.deleted',
    id: task.id,
    version: task.version + 1,
    actorId,
    changes: changesFromEmpty(task, 'from'),
  })

/** Into another project: gone from the old scope, new in the other; for those it is shared with it changed. */
export const taskMoved = (before: Task, after: Task, sharees: string[], actorId: string | null): Entry[] => [
  ...taskDeleted(before, [], actorId),
  ...taskCreated(after, actorId),
  ...taskUpdated(before, after, sharees, actorId).filter(
    (entry) => entry.scope !== projectScope(after.projectId),
  ),
]

/** The project scope whose position an answer carries: the tasks' one project, or none. */
export const cursorScopeOf = (entries: Entry[]): Scope | null => {
  const scopes = new Set(entries.map((entry) => entry.scope).filter(isProjectScope))
  const [only] = scopes
  return scopes.size === 1 && only ? only : null
}
