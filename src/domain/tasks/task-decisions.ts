// What creating, changing and deleting a task means: from the state under the locks to the next state and the entries.
// Pure and synchronous: a decision either throws an AppError and has no effect, or has all of it in the state.
import type { Home } from '../../db/tasks/task-loads.ts'
import { projectScope } from '../../model/scope.ts'
import { AppError, invalid } from '../../errors.ts'
import { newId } from '../../model/scalar.ts'
import { rightFor, type TaskFields } from '../../model/task-fields.ts'
import { maxDepth, type NewTask, type Task } from '../../model/task.ts'
import type { Actor } from '../../model/actor.ts'
import { requireNotArchived } from '../access.ts'
import { authorize, can, type Action } from '../actor.ts'
import { taskSubject } from '../subject.ts'
import { requireSeen, type SeenVersions } from '../version.ts'
import type { Effect } from '../write.ts'
import { firstState, nextState, taskCreated, taskDeleted, taskUpdated } from './task-effects.ts'
import { rankBetween } from './rank.ts'
import { changedFields, fieldsOf } from './task-fields.ts'
import { noNeeds, type HomeNeed, type TaskNeeds } from './task-needs.ts'
import type { TaskPlan } from './task-plan.ts'
import type { TaskAccess, TaskState } from './task-state.ts'

export const unusableReference = (pointer: string) =>
  invalid({ pointer, detail: 'is not something you can use here' })

/** 409: the task left the locked project after it was read. */
export const movedConcurrently = () =>
  new AppError('conflict', 'The task was moved by another request; try again')

/** 404, 403, 409 `project_archived`, in this order. */
export const authorizeChange = <T extends Omit<TaskAccess, 'dueRev'>>(
  actor: Actor,
  access: T | null | undefined,
  action: Action,
): T => {
  authorize(actor, access ?? null, action)
  requireNotArchived(access!)
  return access!
}

/** Only where the actor may create tasks: a caller without rights must not delay others by locks. */
export const isTreeOfHomeWanted =
  (actor: Actor) =>
  (seen: Home): boolean =>
    can(actor, seen, 'write') && seen.archivedAt === null

const homeOf = (actor: Actor, { projectId, parentId }: NewTask): HomeNeed => ({
  userId: actor.userId,
  projectId: projectId ?? null,
  isTreeWanted: parentId ? isTreeOfHomeWanted(actor) : null,
})

export const creationNeeds = (actor: Actor, input: NewTask): TaskNeeds => {
  const home = homeOf(actor, input)
  const { id, parentId, assigneeId } = input
  return {
    ...noNeeds(),
    homes: [home],
    homeUsers: assigneeId ? [{ home, userId: assigneeId }] : [],
    parents: parentId ? [parentId] : [],
    newIds: id === undefined ? [] : [id],
  }
}

/** 422 for a project, parent or assignee the task cannot have; 409 `id_taken`, `project_archived`; 403. */
export const decideCreation = (state: TaskState, actor: Actor, input: NewTask): Effect<Task> => {
  const fields = fieldsOf(input)
  const home = state.home(actor.userId, input.projectId ?? null)
  if (!home || !can(actor, home, 'read')) throw unusableReference('/projectId')
  authorize(actor, home, 'write')
  requireNotArchived(home)
  const { projectId } = home
  if (fields.parentId !== null) {
    if (!state.hasTree(projectId, null)) throw movedConcurrently()
    requirePlacement(state, { projectId, taskId: null, parentId: fields.parentId })
  }
  if (fields.assigneeId !== null) requireReader(state, { projectId, taskId: null }, fields.assigneeId)
  if (input.id !== undefined && state.isTaken(input.id)) throw new AppError('id_taken')
  const rank = rankBetween(state.lastRank(projectId), null)
  const made = { ...fields, id: input.id ?? newId(), projectId, creatorId: actor.userId, rank }
  const stored = firstState(made, state.at)
  state.create(stored)
  return {
    value: stored.task,
    entries: taskCreated(stored.task, actor.userId),
    cursorScope: projectScope(projectId),
    subject: taskSubject(stored.task),
  }
}

/** From the current task to its new writable fields. Pure: it is called before and after the lock. */
export type Edit = (task: Task) => TaskFields

/** A change of one task. */
export interface Change {
  id: string
  edit: Edit
  ifMatch: SeenVersions
  /** The assignee that the edit sets, if any. */
  assigneeId?: string | null | undefined
  /** The parent that the edit sets; undefined where it never changes the parent. */
  parentId?: string | null | undefined
}

export const changeNeeds = (actor: Actor, { id, assigneeId, parentId }: Change): TaskNeeds => {
  const { userId } = actor
  const isMoving = (seen: TaskAccess | null): boolean =>
    seen !== null && can(actor, seen, 'move') && parentId !== seen.task.parentId
  return {
    ...noNeeds(),
    tasks: [id],
    taskUsers: [{ taskId: id, userId }, ...(assigneeId ? [{ taskId: id, userId: assigneeId }] : [])],
    trees: parentId === undefined ? [] : [{ userId, taskId: id, isWanted: isMoving }],
    parents: parentId ? [parentId] : [],
  }
}

/** 404, 403, 409 `project_archived`, 412, and 422 for a parent or assignee the task cannot have. */
export const decideChange = (state: TaskState, actor: Actor, change: Change): Effect<Task> => {
  const access = authorizeChange(actor, state.access(actor.userId, change.id), 'write')
  requireSeen(change.ifMatch, { ...access.task, contentVersion: access.contentVersion })
  const fields = change.edit(access.task)
  requireAllowedFields(state, actor, access, fields)
  return applyFields(state, actor, access, fields)
}

/** Changes the task where a field differs. */
export const applyFields = (
  state: TaskState,
  actor: Actor,
  access: TaskAccess,
  fields: TaskFields,
): Effect<Task> => {
  const { task, sharees } = access
  const done = { cursorScope: projectScope(task.projectId), subject: taskSubject(task) }
  if (changedFields(task, fields).length === 0) return { value: task, entries: [], ...done }
  const next = nextState(access, fields, { at: state.at })
  state.change(next)
  return { value: next.task, entries: taskUpdated(task, next.task, sharees, actor.userId), ...done }
}

/** 403 for a field whose change takes a right the actor lacks, 422 for a parent or assignee the task cannot have. */
export const requireAllowedFields = (
  state: TaskState,
  actor: Actor,
  access: TaskAccess,
  fields: TaskFields,
): void => {
  const { id, projectId, parentId, assigneeId } = access.task
  for (const right of new Set(changedFields(access.task, fields).map(rightFor)))
    if (right !== undefined) authorize(actor, access, right) // a person it is shared with has no right to move it
  if (fields.parentId !== parentId) {
    if (!state.hasTree(projectId, id)) throw movedConcurrently()
    if (fields.parentId !== null)
      requirePlacement(state, { projectId, taskId: id, parentId: fields.parentId })
  }
  if (fields.assigneeId !== null && fields.assigneeId !== assigneeId)
    requireReader(state, { projectId, taskId: id }, fields.assigneeId)
}

const requirePlacement = (
  state: TaskState,
  { projectId, taskId, parentId }: { projectId: string; taskId: string | null; parentId: string },
): void => {
  const { parentDepth, height, isCycle } = state.placement(projectId, taskId, parentId)
  const pointer = '/parentId'
  if (parentDepth === null) throw unusableReference(pointer)
  if (isCycle) throw invalid({ pointer, detail: 'must not be the task or below it' })
  if (parentDepth + height > maxDepth)
    throw invalid({ pointer, detail: `would put subtasks deeper than ${maxDepth} levels` })
}

const requireReader = (
  state: TaskState,
  { projectId, taskId }: { projectId: string; taskId: string | null },
  assigneeId: string,
): void => {
  if (!state.isReader(assigneeId, projectId, taskId))
    throw invalid({ pointer: '/assigneeId', detail: 'must be a user who can read the task' })
}

export const deletionNeeds = (actor: Actor, id: string): TaskNeeds => {
  const { userId } = actor
  return {
    ...noNeeds(),
    tasks: [id],
    taskUsers: [{ taskId: id, userId }],
    trees: [{ userId, taskId: id, isWanted: (seen) => can(actor, seen, 'delete') }],
  }
}

/** Deletes a task with its subtasks, one entry each, subtasks before their parents. */
export const decideDeletion = (
  state: TaskState,
  actor: Actor,
  id: string,
  ifMatch: SeenVersions,
): Effect<null> => {
  const access = authorizeChange(actor, state.access(actor.userId, id), 'delete')
  const { projectId } = access.task
  if (!state.hasTree(projectId, id)) throw movedConcurrently()
  requireSeen(ifMatch, { ...access.task, contentVersion: access.contentVersion })
  const ids = state.subtree(id)
  const entries = ids.toReversed().flatMap((gone) => {
    const { task, sharees } = state.subtask(gone)
    return taskDeleted(task, sharees, actor.userId)
  })
  state.remove(ids)
  return { value: null, entries, cursorScope: projectScope(projectId), subject: taskSubject(access.task) }
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
