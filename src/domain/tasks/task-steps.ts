// Creating, changing and deleting tasks inside a transaction: the steps of every write to tasks. Each step locks first,
// then reads the access, then writes; projects are locked before tasks, tasks by ascending id.
import type { Tx } from '../../db/client.ts'
import { lockTrees, selectPlacement, selectSubtree } from '../../db/tasks/task-tree.ts'
import {
  deleteTasks,
  insertTasks,
  isTombstone,
  lockProjectForInsert,
  lockTasks,
  selectLockedTasks,
  selectProjectPlacement,
  selectReaders,
  selectTasks,
  updateTasks,
  type LockedTaskRow,
  type ProjectPlacement,
} from '../../db/tasks/tasks.ts'
import { projectScope } from '../../model/scope.ts'
import { AppError, invalid } from '../../errors.ts'
import { newId } from '../../model/scalar.ts'
import { rightFor, searchedFields, type TaskFields } from '../../model/task-fields.ts'
import { maxDepth, type NewTask, type Task } from '../../model/task.ts'
import { requireNotArchived } from '../access.ts'
import { authorize, can, type Action } from '../actor.ts'
import { rankBetween } from './rank.ts'
import { taskCreated, taskDeleted, taskUpdated } from './task-entries.ts'
import { changedFields, fieldsOf } from './task-fields.ts'
import { taskSubject } from '../subject.ts'
import { requireSeen, type SeenVersions } from '../version.ts'
import type { Effect } from '../write.ts'
import type { Actor } from '../../model/actor.ts'

export const unusableReference = (pointer: string) =>
  invalid({ pointer, detail: 'is not something you can use here' })

/** 409: the task left the locked project after it was read. */
export const movedConcurrently = () =>
  new AppError('conflict', 'The task was moved by another request; try again')

/** 422 for a project, parent or assignee the task cannot have; 409 `id_taken`, `project_archived`; 403. */
export const createTaskIn = async (tx: Tx, actor: Actor, input: NewTask): Promise<Effect<Task>> => {
  const fields = fieldsOf(input)
  const placement = await lockAndReadProject(tx, actor, input.projectId ?? null)
  if (!placement || !can(actor, placement, 'read')) throw unusableReference('/projectId')
  authorize(actor, placement, 'write')
  requireNotArchived(placement)
  const { projectId } = placement
  if (fields.parentId !== null) {
    await lockTrees(tx, [projectId])
    await requirePlacement(tx, { projectId, taskId: null, parentId: fields.parentId })
  }
  if (fields.assigneeId !== null) await requireReader(tx, { projectId, taskId: null }, fields.assigneeId)
  const task = { ...fields, id: input.id ?? newId(), projectId, creatorId: actor.userId }
  const [made] = await insertTasks(tx, [{ ...task, rank: rankBetween(placement.lastRank, null) }])
  if (!made || (input.id !== undefined && (await isTombstone(tx, input.id)))) throw new AppError('id_taken')
  return {
    value: made,
    entries: taskCreated(made, actor.userId),
    cursorScope: projectScope(projectId),
    subject: taskSubject(made),
  }
}

/**
 * The project of a new task, read under its lock. @param projectId null for the actor's Inbox, which is not locked: it
 * cannot be archived, deleted or shared.
 */
const lockAndReadProject = async (
  tx: Tx,
  actor: Actor,
  projectId: string | null,
): Promise<ProjectPlacement | null> => {
  // Sent together and run in order: the second statement takes its snapshot after the lock is acquired.
  const [, placement] = await Promise.all([
    projectId === null ? undefined : lockProjectForInsert(tx, projectId),
    selectProjectPlacement(tx, actor.userId, projectId),
  ])
  return placement
}

/** Locks tasks and reads them under the locks, by id. Tasks that do not exist are absent. */
export const lockAndReadTasks = async (
  tx: Tx,
  actor: Actor,
  ids: string[],
): Promise<Map<string, LockedTaskRow>> => {
  // Sent together and run in order: the second statement takes its snapshot after the locks are acquired.
  const [, rows] = await Promise.all([lockTasks(tx, ids), selectLockedTasks(tx, actor.userId, ids)])
  return new Map(rows.map((row) => [row.task.id, row]))
}

/** 404, 403, 409 `project_archived`, in this order. */
export const authorizeLockedTask = (
  actor: Actor,
  locked: LockedTaskRow | undefined,
  action: Action,
): LockedTaskRow => {
  authorize(actor, locked ?? null, action)
  requireNotArchived(locked!)
  return locked!
}

/** From the current task to its new writable fields. Pure: it is called before and after the lock. */
export type Edit = (task: Task) => TaskFields

export interface EditedTask {
  before: LockedTaskRow
  fields: TaskFields
}

/**
 * Locks a task, applies an edit and writes it. `mayReparent`: the edit may change the parent; where it does, the tree is
 * locked before the task.
 */
export const changeTaskIn = async (
  tx: Tx,
  actor: Actor,
  id: string,
  edit: Edit,
  { ifMatch, mayReparent }: { ifMatch: SeenVersions; mayReparent: boolean },
): Promise<Effect<Task>> => {
  const lockedProjects = mayReparent ? await lockTreesFor(tx, actor, [id], edit) : []
  const locked = authorizeLockedTask(actor, (await lockAndReadTasks(tx, actor, [id])).get(id), 'write')
  requireSeen(ifMatch, { ...locked.task, contentVersion: locked.contentVersion })
  const fields = edit(locked.task)
  await requireAllowedFields(tx, actor, locked, fields, lockedProjects)
  const { value, entries } = await saveTasks(tx, actor, [{ before: locked, fields }])
  const [task] = value
  return {
    value: task!,
    entries,
    cursorScope: projectScope(locked.task.projectId),
    subject: taskSubject(task!),
  }
}

/**
 * Locks the projects of the tasks whose parent the edit changes, and returns their ids. Only where the actor may move
 * the task: a caller without rights must not delay others by locks.
 */
export const lockTreesFor = async (tx: Tx, actor: Actor, ids: string[], edit: Edit): Promise<string[]> => {
  const seen = await selectTasks(tx, actor.userId, ids)
  const moving = seen.filter(
    (row) => can(actor, row, 'move') && edit(row.task).parentId !== row.task.parentId,
  )
  const projectIds = [...new Set(moving.map(({ task }) => task.projectId))]
  if (projectIds.length > 0) await lockTrees(tx, projectIds)
  return projectIds
}

/** 403 for a field whose change takes a right the actor lacks, 422 for a parent or assignee the task cannot have. */
export const requireAllowedFields = async (
  tx: Tx,
  actor: Actor,
  locked: LockedTaskRow,
  fields: TaskFields,
  lockedProjects: string[],
): Promise<void> => {
  const { id, projectId, parentId, assigneeId } = locked.task
  for (const right of new Set(changedFields(locked.task, fields).map(rightFor)))
    if (right !== undefined) authorize(actor, locked, right) // a person it is shared with has no right to move it
  if (fields.parentId !== parentId) {
    if (!lockedProjects.includes(projectId)) throw movedConcurrently()
    if (fields.parentId !== null)
      await requirePlacement(tx, { projectId, taskId: id, parentId: fields.parentId })
  }
  if (fields.assigneeId !== null && fields.assigneeId !== assigneeId)
    await requireReader(tx, { projectId, taskId: id }, fields.assigneeId)
}

const requirePlacement = async (
  tx: Tx,
  place: { projectId: string; taskId: string | null; parentId: string },
): Promise<void> => {
  const { parentDepth, height, isCycle } = await selectPlacement(tx, place)
  const pointer = '/parentId'
  if (parentDepth === null) throw unusableReference(pointer)
  if (isCycle) throw invalid({ pointer, detail: 'must not be the task or below it' })
  if (parentDepth + height > maxDepth)
    throw invalid({ pointer, detail: `would put subtasks deeper than ${maxDepth} levels` })
}

const requireReader = async (
  tx: Tx,
  place: { projectId: string; taskId: string | null },
  assigneeId: string,
): Promise<void> => {
  const readers = await selectReaders(tx, place, [assigneeId])
  if (readers.length === 0)
    throw invalid({ pointer: '/assigneeId', detail: 'must be a user who can read the task' })
}

/** Writes the tasks whose fields differ, and returns the current state of all, in order. */
export const saveTasks = (tx: Tx, actor: Actor, edited: EditedTask[]): Promise<Saved> =>
  saveTasksAs(tx, actor.userId, edited)

type Saved = Pick<Effect<Task[]>, 'value' | 'entries'>

/** @param actorId null for the system itself. */
export const saveTasksAs = async (tx: Tx, actorId: string | null, edited: EditedTask[]): Promise<Saved> => {
  const changed = edited.filter(({ before, fields }) => changedFields(before.task, fields).length > 0)
  const updates = changed.map(({ before: { task }, fields }) => ({ ...task, ...fields, steps: 1 }))
  const saved =
    updates.length > 0 ? await updateTasks(tx, updates, { hasText: changed.some(hasNewText) }) : []
  const after = new Map(saved.map((task) => [task.id, task]))
  const entries = changed.flatMap(({ before: { task, sharees } }) =>
    taskUpdated(task, after.get(task.id)!, sharees, actorId),
  )
  return { value: edited.map(({ before: { task } }) => after.get(task.id) ?? task), entries }
}

const hasNewText = ({ before: { task }, fields }: EditedTask): boolean =>
  changedFields(task, fields).some((name) => searchedFields.some((searched) => searched === name))

/** Deletes a task with its subtasks, one entry each, subtasks before their parents. */
export const deleteTaskIn = async (
  tx: Tx,
  actor: Actor,
  id: string,
  ifMatch: SeenVersions,
): Promise<Effect<null>> => {
  const [seen] = await selectTasks(tx, actor.userId, [id])
  authorize(actor, seen ?? null, 'delete')
  const { projectId } = seen!.task
  await lockTrees(tx, [projectId])
  const ids = await selectSubtree(tx, [id])
  const locked = await lockAndReadTasks(tx, actor, ids)
  const root = authorizeLockedTask(actor, locked.get(id), 'delete')
  if (root.task.projectId !== projectId) throw movedConcurrently()
  requireSeen(ifMatch, { ...root.task, contentVersion: root.contentVersion })
  await deleteTasks(tx, ids)
  const entries = ids.toReversed().flatMap((gone) => {
    const { task, sharees } = locked.get(gone)!
    return taskDeleted(task, sharees, actor.userId)
  })
  return { value: null, entries, cursorScope: projectScope(projectId), subject: taskSubject(root.task) }
}
