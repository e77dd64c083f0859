// Backfill of tasks that the previous version wrote: normalised text, and the words that searches read. Invariant: a
// change that members can see is an entry of the same transaction; adding words alone appends none and keeps the version.
import type { Tx } from '../../db/client.ts'
import { lockTasksWithoutWords, updateTaskWords } from '../../db/tasks/task-words.ts'
import { selectLockedTasks, updateTasks } from '../../db/tasks/tasks.ts'
import { nilId } from '../../model/scalar.ts'
import { nextState, taskUpdated } from './task-effects.ts'
import { changedFields, patched } from './task-fields.ts'
import type { UnclaimedEffect } from '../write.ts'

export interface BackfilledTasks {
  /** Tasks that got their words. */
  tasks: number
  /** Of those, tasks whose text changed: normalised or with tags merged. */
  changed: number
  /** Tags that were removed because another tag of their task is equal. */
  mergedTags: number
}

/** Backfills the next tasks, at most `limit`, and skips tasks that another transaction has locked. */
export const backfillTaskWords = async (tx: Tx, limit: number): Promise<UnclaimedEffect<BackfilledTasks>> => {
  const ids = await lockTasksWithoutWords(tx, limit)
  const locked = await selectLockedTasks(tx, nilId, ids) // without the access of a user
  const edited = locked.map((before) => ({ before, fields: patched(before.task, {}) }))
  const changed = edited.filter(({ before, fields }) => changedFields(before.task, fields).length > 0)
  const same = locked.filter((row) => !changed.some(({ before }) => before === row))
  await updateTaskWords(
    tx,
    same.map(({ task }) => task),
  )
  const saved = changed.map(({ before, fields }) => ({
    before,
    after: nextState(before, fields, { at: before.readAt }),
  }))
  await updateTasks(
    tx,
    saved.map(({ after }) => after),
    true,
  )
  const entries = saved.flatMap(({ before: { task, sharees }, after }) =>
    taskUpdated(task, after.task, sharees, null),
  )
  const tagCount = (of: (one: (typeof changed)[number]) => string[]): number =>
    changed.reduce((sum, one) => sum + of(one).length, 0)
  const mergedTags = tagCount(({ before }) => before.task.tags) - tagCount(({ fields }) => fields.tags)
  return { value: { tasks: locked.length, changed: changed.length, mergedTags }, entries }
}
