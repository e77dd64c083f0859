// What a client writes about a task, made canonical: NFC, trimmed, tags lower-cased without repeats, instants in UTC,
// absent fields at their defaults. And what differs between two states of a task.
import { invalid } from '../../errors.ts'
import type { Changes } from '../../model/event.ts'
import { toInstant } from '../../model/scalar.ts'
import {
  taskDefaults,
  writableFields,
  type NewTask,
  type Priority,
  type Status,
  type Task,
  type TaskFields,
  type TaskPatch,
  type TaskReplacement,
} from '../../model/task.ts'
import { canonicalTag, canonicalText, mergedTags } from '../../model/text-form.ts'
import { textFault } from '../../model/text.ts'

export const maxTags = 20
const maxTagLength = 50

/** All writable fields of a new or replaced task. */
export const fieldsOf = (input: NewTask | TaskReplacement): TaskFields => {
  const { title, description, status, priority, assigneeId, parentId, dueAt, tags } = {
    ...taskDefaults,
    ...input,
  }
  return canonical({ title, description, status, priority, assigneeId, parentId, dueAt, tags })
}

/** All writable fields after a merge patch: null sets the default. */
export const patched = (task: Task, patch: TaskPatch): TaskFields =>
  canonical({
    title: patch.title ?? task.title,
    description: merged(patch.description, task.description, taskDefaults.description),
    status: merged<Status>(patch.status, task.status, taskDefaults.status),
    priority: merged<Priority>(patch.priority, task.priority, taskDefaults.priority),
    assigneeId: merged(patch.assigneeId, task.assigneeId, taskDefaults.assigneeId),
    parentId: merged(patch.parentId, task.parentId, taskDefaults.parentId),
    dueAt: merged(patch.dueAt, task.dueAt, taskDefaults.dueAt),
    tags: merged<string[]>(patch.tags, task.tags, taskDefaults.tags),
  })

const merged = <T>(given: T | null | undefined, held: T, fallback: T): T =>
  given === undefined ? held : (given ?? fallback)

const canonical = (fields: TaskFields): TaskFields => ({
  ...fields,
  title: canonicalText(fields.title),
  description: canonicalText(fields.description),
  dueAt: fields.dueAt === null ? null : toInstant(fields.dueAt),
  tags: canonicalTags(fields.tags),
})

/** Of tags that are equal by their folding the first stays. 422 where lower-casing made a tag too long. */
export const canonicalTags = (tags: readonly string[]): string[] => {
  for (const [index, tag] of tags.entries()) {
    const detail = textFault(canonicalTag(tag), { maxLength: maxTagLength })
    if (detail !== null) throw invalid({ pointer: `/tags/${index}`, detail })
  }
  return mergedTags(tags)
}

/** The fields an entry tells changes of. Counters and times follow from what happened. */
const told = [
  'projectId',
  'parentId',
  'title',
  'description',
  'status',
  'priority',
  'assigneeId',
  'dueAt',
  'tags',
  'rank',
  'completedAt',
  'commentCount',
  'attachmentCount',
] as const satisfies (keyof Task)[]

/** What differs, by field. */
export const changesBetween = (before: Task, after: Task): Changes =>
  Object.fromEntries(
    told
      .filter((name) => !isSame(before[name], after[name]))
      .map((name) => [name, { from: before[name], to: after[name] }]),
  )

/** Whether any writable field would change. */
export const differs = (task: Task, fields: TaskFields): boolean =>
  writableFields.some((name) => !isSame(task[name], fields[name]))

const isSame = (a: Task[keyof Task], b: Task[keyof Task]): boolean =>
  a === b ||
  (Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((tag, index) => tag === b[index]))

/** The fields a task has beyond an empty one, coming into being (`to`) or going (`from`). */
export const fieldsHeld = (task: Task, side: 'from' | 'to'): Changes =>
  Object.fromEntries(
    told
      .filter((name) => name !== 'rank' && name !== 'projectId' && !isEmpty(task[name]))
      .map((name) => [name, side === 'to' ? { from: null, to: task[name] } : { from: task[name], to: null }]),
  )

const isEmpty = (value: Task[keyof Task]): boolean =>
  value === null || value === '' || value === 0 || (Array.isArray(value) && value.length === 0)
