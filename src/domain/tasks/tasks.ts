// Single tasks: read, create, change, tag and delete.
import type { Reads } from '../../db/reads.ts'
import type { TaskText } from '../../db/tasks/task-texts.ts'
import { invalid, notFound } from '../../errors.ts'
import type { NewTask, Task, TaskPatch, TaskReplacement } from '../../model/task.ts'
import { tagKey } from '../../model/text-form.ts'
import { authorize } from '../actor.ts'
import { canonicalTags, fieldsOf, maxTags, patched } from './task-fields.ts'
import { changePlan, creationPlan, deletionPlan } from './task-decisions.ts'
import type { SeenVersions } from '../version.ts'
import type { TaskWrites } from '../write-coalescer.ts'
import type { WriteResult, WriteRequest } from '../write.ts'
import type { Actor } from '../../model/actor.ts'

/** The task as JSON, with its version. 404 for a task the actor may not read. */
export const getTask = async (
  { reads }: { reads: Pick<Reads, 'task'> },
  actor: Actor,
  id: string,
): Promise<Pick<TaskText, 'text' | 'version'>> => {
  const row = await reads.task(actor.userId, id)
  // The text has the project, which only an override needs.
  authorize(actor, row && actor.role === 'admin' ? { ...row, task: JSON.parse(row.text) } : row, 'read')
  return row!
}

/** What writes of tasks need. */
export interface TaskDeps {
  writes: TaskWrites
}

export const createTask = (
  { writes }: TaskDeps,
  request: WriteRequest<Task>,
  input: NewTask,
): Promise<WriteResult<Task>> => writes.write(request, creationPlan(request.actor, input))

/** A merge patch. @param ifMatch the versions the caller has seen: 412 when a writable field changed after them. */
export const updateTask = (
  { writes }: TaskDeps,
  request: WriteRequest<Task>,
  id: string,
  patch: TaskPatch,
  ifMatch: SeenVersions,
): Promise<WriteResult<Task>> => {
  const { assigneeId, parentId, description } = patch
  const edit = (task: Task) => patched(task, patch)
  const change = { id, edit, ifMatch, assigneeId, parentId }
  return writes.write(request, changePlan(request.actor, change, description?.length))
}

/** Replaces every writable field. */
export const replaceTask = (
  { writes }: TaskDeps,
  request: WriteRequest<Task>,
  id: string,
  replacement: TaskReplacement,
  ifMatch: SeenVersions,
): Promise<WriteResult<Task>> => {
  const { assigneeId, parentId = null, description } = replacement
  const fields = fieldsOf(replacement)
  const change = { id, edit: () => fields, ifMatch, assigneeId, parentId }
  return writes.write(request, changePlan(request.actor, change, description?.length))
}

/** Adds tags. 422 where the task would have more than 20. */
export const addTags = (
  { writes }: TaskDeps,
  request: WriteRequest<Task>,
  id: string,
  tags: string[],
): Promise<WriteResult<Task>> => {
  const edit = (task: Task) => {
    const all = canonicalTags([...task.tags, ...tags])
    if (all.length > maxTags)
      throw invalid({ pointer: '/tags', detail: `would be more than ${maxTags} on the task` })
    return { ...task, tags: all }
  }
  return writes.write(request, changePlan(request.actor, { id, edit, ifMatch: null }))
}

/** Removes the tag with the same folding. 404 where the task has none. */
export const removeTag = (
  { writes }: TaskDeps,
  request: WriteRequest<Task>,
  id: string,
  tag: string,
  ifMatch: SeenVersions,
): Promise<WriteResult<Task>> => {
  const edit = (task: Task) => {
    const rest = task.tags.filter((own) => tagKey(own) !== tagKey(tag))
    if (rest.length === task.tags.length) throw notFound()
    return { ...task, tags: rest }
  }
  return writes.write(request, changePlan(request.actor, { id, edit, ifMatch }))
}

/** Deletes a task with its subtasks. */
export const deleteTask = (
  { writes }: TaskDeps,
  request: WriteRequest<null>,
  id: string,
  ifMatch: SeenVersions,
): Promise<WriteResult<null>> => writes.write(request, deletionPlan(request.actor, id, ifMatch))
