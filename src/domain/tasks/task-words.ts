// Bringing tasks of the version before along: text into its one form, and the words that searches read. Invariant: a
// change that members can see is an entry of the same transaction; adding words alone is not, it bumps no version.
import type { Tx } from '../../db/client.ts'
import { lockTasksWithoutWords, updateTaskWords } from '../../db/tasks/task-words.ts'
import { selectLockedTasks } from '../../db/tasks/tasks.ts'
import type { EditedTask } from './task-steps.ts'
import { saveTasksAs } from './task-steps.ts'
import { changedFields, patched } from './task-fields.ts'
import type { SystemChange } from '../write.ts'

export interface BackfilledTasks {
  /** Tasks that have their words now. */
  tasks: number
  /** Of those, tasks whose text changed: normalised or with tags merged. */
  changed: number
  /** Tags that were equal to another one of their task. */
  mergedTags: number
}

/** Of no person: every task is read, nothing is permitted by it. */
const nobody = '00000000-0000-0000-0000-000000000000'

/** The next tasks, at most `limit`, those that are being written left out. */
export const backfillTaskWords = async (tx: Tx, limit: number): Promise<SystemChange<BackfilledTasks>> => {
  const ids = await lockTasksWithoutWords(tx, limit)
  const locked = await selectLockedTasks(tx, nobody, ids)
  const edited = locked.map((before): EditedTask => ({ before, fields: patched(before.task, {}) }))
  const changed = edited.filter(({ before, fields }) => changedFields(before.task, fields).length > 0)
  const same = locked.filter((row) => !changed.some(({ before }) => before === row))
  await updateTaskWords(
    tx,
    same.map(({ task }) => task),
  )
  const { entries } = await saveTasksAs(tx, null, changed)
  const tagCount = (of: (one: EditedTask) => string[]): number =>
    changed.reduce((sum, one) => sum + of(one).length, 0)
  const mergedTags = tagCount(({ before }) => before.task.tags) - tagCount(({ fields }) => fields.tags)
  return { value: { tasks: locked.length, changed: changed.length, mergedTags }, entries }
}
