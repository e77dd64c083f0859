// The list rules of the contract over plain objects: the reference that the SQL is compared with.
import { priorities, statuses, type Task } from '../../src/model/task.ts'
import { searchWordsOf, tagKey, titleKey, wordsOf } from '../../src/model/text-form.ts'

/** A task and the facts beyond its fields that the list rules need. */
export interface Known {
  task: Task
  isMember: boolean
  isShared: boolean
  isArchived: boolean
}

export type Query = Record<string, string | string[]>

/** By code points, which UTF-8 bytes sort alike; JavaScript's own order is by code units. */
const compareText = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))

const compare = (a: number | string, b: number | string): number =>
  typeof a === 'number' && typeof b === 'number' ? a - b : compareText(String(a), String(b))

const keyOf = (task: Task, by: string): number | string | null => {
  switch (by) {
    case 'createdAt':
      return task.createdAt
    case 'updatedAt':
      return task.updatedAt
    case 'dueAt':
      return task.dueAt
    case 'priority':
      return priorities.indexOf(task.priority)
    case 'status':
      return statuses.indexOf(task.status)
    case 'rank':
      return task.rank
    default:
      return titleKey(task.title)
  }
}

const isFound = (task: Task, search: string): boolean => {
  const held = wordsOf([task.title, task.description, ...task.tags].join('\n'))
  return searchWordsOf(search).every((word) => held.some((other) => other.startsWith(word)))
}

const isOverdue = (task: Task): boolean =>
  task.dueAt !== null && Date.parse(task.dueAt) < Date.now() && ['todo', 'in_progress'].includes(task.status)

const at = (value: string): string => new Date(value).toISOString()

const rules: Record<string, (known: Known, value: string, me: string) => boolean> = {
  projectId: ({ task }, value) => task.projectId === value,
  parentId: ({ task }, value) => task.parentId === value,
  status: ({ task }, value) => value.split(',').includes(task.status),
  priority: ({ task }, value) => value.split(',').includes(task.priority),
  assigneeId: ({ task }, value, me) =>
    task.assigneeId === ({ me, none: null }[value] ?? (value === 'none' ? null : value)),
  creatorId: ({ task }, value) => task.creatorId === value,
  completed: ({ task }, value) => (task.status === 'done') === (value === 'true'),
  overdue: ({ task }, value) => isOverdue(task) === (value === 'true'),
  shared: ({ isShared }, value) => isShared === (value === 'true'),
  search: ({ task }, value) => isFound(task, value),
  createdAfter: ({ task }, value) => task.createdAt >= at(value),
  createdBefore: ({ task }, value) => task.createdAt < at(value),
  updatedAfter: ({ task }, value) => task.updatedAt >= at(value),
  updatedBefore: ({ task }, value) => task.updatedAt < at(value),
  dueAfter: ({ task }, value) => task.dueAt !== null && task.dueAt >= at(value),
  dueBefore: ({ task }, value) => task.dueAt !== null && task.dueAt < at(value),
}

/** Ids of the list in order. */
export const expectedIds = (all: Known[], query: Query, me: string): string[] => {
  const { sort = '-createdAt', tag = [], ...filters } = query
  const readable = all.filter((known) =>
    'projectId' in query ? known.isMember : (known.isMember || known.isShared) && !known.isArchived,
  )
  const found = readable.filter(
    (known) =>
      [tag].flat().every((wanted) => known.task.tags.some((held) => tagKey(held) === tagKey(wanted))) &&
      Object.entries(filters).every(([name, value]) => rules[name]!(known, String(value), me)),
  )
  const isDescending = String(sort).startsWith('-')
  const by = String(sort).replace(/^-/, '')
  const direction = isDescending ? -1 : 1
  return found
    .map(({ task }) => task)
    .sort((a, b) => {
      const [left, right] = [keyOf(a, by), keyOf(b, by)]
      const byNull = Number(left === null) - Number(right === null) // last in both directions
      if (byNull !== 0) return byNull
      const byKey = left === null || right === null ? 0 : compare(left, right)
      return direction * (byKey || compareText(a.id, b.id))
    })
    .map((task) => task.id)
}
