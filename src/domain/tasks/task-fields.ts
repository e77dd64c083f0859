// Writable fields of a task in their canonical form: after a creation, a replacement or a merge patch. And the `changes`
// between two states of a task. Which fields there are is in `model/task-fields.ts`.
import { invalid } from '../../errors.ts'
import type { Changes } from '../../model/event.ts'
import {
  canonicalFields,
  givenFields,
  taskDefaults,
  trackedFields,
  writableFields,
  type TaskFields,
  type WritableField,
} from '../../model/task-fields.ts'
import type { NewTask, Task, TaskPatch, TaskReplacement } from '../../model/task.ts'
import { canonicalTag, mergedTags } from '../../model/text-form.ts'
import { textFault } from '../../model/text.ts'

export const maxTags = 20
const maxTagLength = 50

/** All writable fields of a new or replaced task: absent ones take their defaults. 422 for a tag that is too long. */
export const fieldsOf = (input: NewTask | TaskReplacement): TaskFields => {
  requireTagLengths(input.tags ?? [])
  return { ...taskDefaults, title: input.title, ...givenFields(input) }
}

/** All writable fields after a merge patch: null sets the default. 422 for a tag that is too long. */
export const patched = (task: Task, patch: TaskPatch): TaskFields => {
  requireTagLengths(patch.tags ?? task.tags)
  return { ...canonicalFields(task), ...givenFields(patch) }
}

/** Of tags that are equal by their folding the first stays. 422 where lower-casing made a tag too long. */
export const canonicalTags = (tags: readonly string[]): string[] => {
  requireTagLengths(tags)
  return mergedTags(tags)
}

const requireTagLengths = (tags: readonly string[]): void => {
  for (const [index, tag] of tags.entries()) {
    const detail = textFault(canonicalTag(tag), { maxLength: maxTagLength })
    if (detail !== null) throw invalid({ pointer: `/tags/${index}`, detail })
  }
}

/** The tracked fields that differ, by name. */
export const changesBetween = (before: Task, after: Task): Changes =>
  Object.fromEntries(
    trackedFields
      .filter((name) => !isSameValue(before[name], after[name]))
      .map((name) => [name, { from: before[name], to: after[name] }]),
  )

/** The writable fields whose values differ from the task's. */
export const changedFields = (task: Task, fields: TaskFields): WritableField[] =>
  writableFields.filter((name) => !isSameValue(task[name], fields[name]))

/** Whether two values of a field are equal. */
export const isSameValue = (a: Task[keyof Task], b: Task[keyof Task]): boolean =>
  a === b ||
  (Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((tag, index) => tag === b[index]))

/** The tracked fields that are not empty, as changes of a creation (`to`) or a deletion (`from`). */
export const changesFromEmpty = (task: Task, side: 'from' | 'to'): Changes =>
  Object.fromEntries(
    trackedFields
      .filter((name) => name !== 'rank' && name !== 'projectId' && !isEmpty(task[name]))
      .map((name) => [name, side === 'to' ? { from: null, to: task[name] } : { from: task[name], to: null }]),
  )

const isEmpty = (value: Task[keyof Task]): boolean =>
  value === null || value === '' || value === 0 || (Array.isArray(value) && value.length === 0)
