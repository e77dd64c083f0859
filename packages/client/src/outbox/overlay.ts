// The tasks a user sees: the server's, with unsettled writes applied in the order they were made. Pure: a refused write
// disappears because it is not applied any more.
import type { NewTask, Task, TaskMove, TaskPatch } from '../../../../src/model/task.ts'
import { givenFields, newTaskDefaults } from '../../../../src/model/task-fields.ts'

export type Change =
  | { kind: 'create'; task: NewTask & { id: string } }
  | { kind: 'update'; changes: TaskPatch }
  | { kind: 'delete' }
  | { kind: 'move'; to: TaskMove }

/** A write that is not settled: plain data, so that it can be stored and sent after the program was closed. */
export interface PendingWrite {
  /** Its Idempotency-Key, which its echo has too. */
  op: string
  /** The user who made it, if known: it is sent only with their session. */
  by: string | null
  /** Writes are sent in this order. */
  order: number
  projectId: string
  taskId: string
  change: Change
  /** The version it was made on top of; null for a write that is not conditional. */
  baseVersion: number | null
  /** The values of the changed fields at that version. */
  before: Partial<Task>
  /** RFC 3339 */
  at: string
}

/** The tasks of a project with the writes applied. `base` is not changed. */
export const overlay = (
  base: ReadonlyMap<string, Task>,
  writes: readonly PendingWrite[],
  projectId: string,
): Map<string, Task> => {
  const tasks = new Map(base)
  for (const write of writes) {
    if (write.change.kind === 'create') {
      if (write.projectId === projectId && !tasks.has(write.taskId)) tasks.set(write.taskId, created(write))
      continue
    }
    const task = tasks.get(write.taskId)
    if (!task) continue
    const changed = after(task, write, tasks)
    if (changed) tasks.set(task.id, changed)
    else for (const id of withSubtasks(task.id, tasks)) tasks.delete(id)
  }
  return tasks
}

/** By rank, as the server lists them: bytes of the rank, then id. */
export const inOrder = (tasks: Iterable<Task>): Task[] =>
  [...tasks].sort((a, b) => compare(a.rank, b.rank) || compare(a.id, b.id))

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

const created = ({ change, taskId, projectId, at, order }: PendingWrite): Task => ({
  ...newTaskDefaults,
  // After every rank the server makes, in the order of creation.
  rank: `~${String(order).padStart(12, '0')}`,
  version: 0,
  createdAt: at,
  updatedAt: at,
  title: '',
  ...(change.kind === 'create' && givenFields(change.task)),
  id: taskId,
  projectId,
})

/** The task after a write; null where it leaves the project. */
const after = (task: Task, { change, at }: PendingWrite, tasks: Map<string, Task>): Task | null => {
  if (change.kind === 'delete') return null
  if (change.kind === 'move') {
    const leaves = change.to.projectId !== undefined && change.to.projectId !== task.projectId
    return leaves ? null : { ...task, rank: rankOf(change.to, task, tasks) }
  }
  if (change.kind === 'create') return task
  const next: Task = { ...task, ...givenFields(change.changes), updatedAt: at }
  return { ...next, completedAt: next.status === 'done' ? (task.completedAt ?? at) : null }
}

/** A rank between two neighbours: `!` sorts below every digit of a rank. */
const rankOf = ({ before, after }: TaskMove, task: Task, tasks: Map<string, Task>): string => {
  const others = inOrder(tasks.values()).filter(({ id }) => id !== task.id)
  const index =
    before !== undefined
      ? others.findIndex(({ id }) => id === before)
      : after !== undefined
        ? others.findIndex(({ id }) => id === after) + 1
        : others.length
  const left = others[index - 1]
  return left ? `${left.rank}!` : '!'
}

/** Each id once: a write that the server will refuse may have made a circle of tasks. */
const withSubtasks = (id: string, tasks: Map<string, Task>): Set<string> => {
  const ids = new Set([id])
  // The set grows while it is iterated.
  for (const parent of ids) for (const task of tasks.values()) if (task.parentId === parent) ids.add(task.id)
  return ids
}
