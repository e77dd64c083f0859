// Single tasks: read, create, change, tag and delete.
import type { Reads } from '../../db/reads.ts'
import { invalid, notFound } from '../../errors.ts'
import type { NewTask, Task, TaskPatch, TaskReplacement } from '../../model/task.ts'
import { tagKey } from '../../model/text-form.ts'
import { authorize } from '../actor.ts'
import { canonicalTags, fieldsOf, maxTags, patched } from './task-fields.ts'
import { changeTaskIn, createTaskIn, deleteTaskIn } from './task-steps.ts'
import type { SeenVersions } from '../version.ts'
import { write, type WriteResult, type WriteRequest, type WriteDeps } from '../write.ts'
import type { Actor } from '../../model/actor.ts'

/** 404 for a task the actor may not read. */
export const getTask = async (
  { reads }: { reads: Pick<Reads, 'task'> },
  actor: Actor,
  id: string,
): Promise<Task> => {
  const row = await reads.task(actor.userId, id)
  authorize(actor, row, 'read')
  return row!.task
}

export const createTask = (
  deps: WriteDeps,
  request: WriteRequest<Task>,
  input: NewTask,
): Promise<WriteResult<Task>> => write(deps, request, (tx) => createTaskIn(tx, request.actor, input))

/** A merge patch. @param ifMatch the versions the caller has seen: 412 when a writable field changed after them. */
export const updateTask = (
  deps: WriteDeps,
  request: WriteRequest<Task>,
  id: string,
  patch: TaskPatch,
  ifMatch: SeenVersions,
): Promise<WriteResult<Task>> =>
  write(deps, request, (tx) =>
    changeTaskIn(tx, request.actor, id, (task) => patched(task, patch), {
      ifMatch,
      mayReparent: patch.parentId !== undefined,
    }),
  )

/** Replaces every writable field. */
export const replaceTask = (
  deps: WriteDeps,
  request: WriteRequest<Task>,
  id: string,
  replacement: TaskReplacement,
  ifMatch: SeenVersions,
): Promise<WriteResult<Task>> => {
  const fields = fieldsOf(replacement)
  return write(deps, request, (tx) =>
    changeTaskIn(tx, request.actor, id, () => fields, { ifMatch, mayReparent: true }),
  )
}

/** Adds tags. 422 where the task would have more than 20. */
export const addTags = (
  deps: WriteDeps,
  request: WriteRequest<Task>,
  id: string,
  tags: string[],
): Promise<WriteResult<Task>> =>
  write(deps, request, (tx) =>
    changeTaskIn(
      tx,
      request.actor,
      id,
      (task) => {
        const all = canonicalTags([...task.tags, ...tags])
        if (all.length > maxTags)
          throw invalid({ pointer: '/tags', detail: `would be more than ${maxTags} on the task` })
        return { ...task, tags: all }
      },
      { ifMatch: null, mayReparent: false },
    ),
  )

/** Removes the tag with the same folding. 404 where the task has none. */
export const removeTag = (
  deps: WriteDeps,
  request: WriteRequest<Task>,
  id: string,
  tag: string,
  ifMatch: SeenVersions,
): Promise<WriteResult<Task>> =>
  write(deps, request, (tx) =>
    changeTaskIn(
      tx,
      request.actor,
      id,
      (task) => {
        const rest = task.tags.filter((own) => tagKey(own) !== tagKey(tag))
        if (rest.length === task.tags.length) throw notFound()
        return { ...task, tags: rest }
      },
      { ifMatch, mayReparent: false },
    ),
  )

/** Deletes a task with its subtasks. */
export const deleteTask = (
  deps: WriteDeps,
  request: WriteRequest<null>,
  id: string,
  ifMatch: SeenVersions,
): Promise<WriteResult<null>> => write(deps, request, (tx) => deleteTaskIn(tx, request.actor, id, ifMatch))
