// Many tasks in one transaction, all or nothing: one patch for many tasks (bulk), or many operations in order (batch).
// Invariant: the pointer of an error names the id or the operation it belongs to.
import { heavy, type Tx } from '../../db/client.ts'
import { translate } from '../../db/errors.ts'
import { lockTrees, selectSubtree } from '../../db/tasks/task-tree.ts'
import { lockTasks, selectProjectPlacement, selectTasks } from '../../db/tasks/tasks.ts'
import { AppError } from '../../errors.ts'
import type { Entry } from '../../model/event.ts'
import type { NewTask, Task, TaskPatch } from '../../model/task.ts'
import { can } from '../actor.ts'
import { cursorScopeOf } from './task-entries.ts'
import { patched } from './task-fields.ts'
import {
  changeTaskIn,
  createTaskIn,
  requireAllowedFields,
  authorizeLockedTask,
  lockAndReadTasks,
  lockTreesFor,
  deleteTaskIn,
  saveTasks,
  type EditedTask,
} from './task-steps.ts'
import { taskSubject } from '../subject.ts'
import { write, type Effect, type WriteResult, type WriteRequest, type WriteDeps } from '../write.ts'
import type { Actor } from '../../model/actor.ts'

export type Operation =
  | { op: 'create'; data: NewTask }
  | { op: 'update'; id: string; data: TaskPatch; ifVersion: number | null }
  | { op: 'delete'; id: string; ifVersion: number | null }

/** Of more tasks than this a write is a heavy call of the database. */
const manyTasks = 20

/** Applies one patch to every task; returns the tasks in the order of `ids`. */
export const updateTasksInBulk = (
  deps: WriteDeps,
  request: WriteRequest<Task[]>,
  ids: string[],
  changes: TaskPatch,
): Promise<WriteResult<Task[]>> =>
  write(
    deps,
    request,
    async (tx) => {
      const { actor } = request
      const edit = (task: Task) => patched(task, changes)
      const unique = [...new Set(ids)]
      const lockedProjects = changes.parentId === undefined ? [] : await lockTreesFor(tx, actor, unique, edit)
      const locked = await lockAndReadTasks(tx, actor, unique)
      const edited: EditedTask[] = []
      for (const id of unique) {
        const row = await withPointer(`/ids/${ids.indexOf(id)}`, '', () =>
          authorizeLockedTask(actor, locked.get(id), 'write'),
        )
        const fields = await withPointer('/changes', '', async () => {
          const wanted = edit(row.task)
          await requireAllowedFields(tx, actor, row, wanted, lockedProjects)
          return wanted
        })
        edited.push({ before: row, fields })
      }
      const { value, entries } = await saveTasks(tx, actor, edited)
      const byId = new Map(value.map((task) => [task.id, task]))
      return {
        value: ids.map((id) => byId.get(id)!),
        entries,
        cursorScope: cursorScopeOf(entries),
        subject: taskSubject(...value),
      }
    },
    ids.length > manyTasks ? heavy : {},
  )

/** Runs the operations in order, each seeing the effects of those before it; returns the tasks, null for a deletion. */
export const runBatch = (
  deps: WriteDeps,
  request: WriteRequest<(Task | null)[]>,
  operations: Operation[],
): Promise<WriteResult<(Task | null)[]>> =>
  write(
    deps,
    request,
    async (tx) => {
      const { actor } = request
      await lockForOperations(tx, actor, operations)
      const value: (Task | null)[] = []
      const entries: Entry[] = []
      const tasks: Record<string, string> = {}
      for (const [index, operation] of operations.entries()) {
        const done = await withPointer(`/operations/${index}`, '/data', () =>
          runOperation(tx, actor, operation),
        )
        value.push(done.value)
        entries.push(...done.entries)
        Object.assign(tasks, done.subject.tasks)
      }
      return { value, entries, cursorScope: cursorScopeOf(entries), subject: { tasks, projects: [] } }
    },
    operations.length > manyTasks ? heavy : {},
  )

const runOperation = (tx: Tx, actor: Actor, operation: Operation): Promise<Effect<Task | null>> => {
  if (operation.op === 'create') return createTaskIn(tx, actor, operation.data)
  const { id, ifVersion } = operation
  const ifMatch = ifVersion === null ? null : [ifVersion]
  if (operation.op === 'delete') return deleteTaskIn(tx, actor, id, ifMatch)
  const { data } = operation
  const mayReparent = data.parentId !== undefined
  return changeTaskIn(tx, actor, id, (task) => patched(task, data), { ifMatch, mayReparent })
}

/**
 * Takes every lock the operations need before the first of them runs: trees, then tasks by ascending id. Locking as
 * each operation runs would let two batches wait for each other (a deadlock that PostgreSQL ends after a second).
 */
const lockForOperations = async (tx: Tx, actor: Actor, operations: Operation[]): Promise<void> => {
  const known = operations.filter((operation) => operation.op !== 'create')
  const rows = await selectTasks(
    tx,
    actor.userId,
    known.map(({ id }) => id),
  )
  const writable = new Map(
    rows.filter((row) => can(actor, row, 'write')).map(({ task }) => [task.id, task.projectId]),
  )
  const trees = new Set<string>()
  for (const operation of operations) {
    const { op } = operation
    if (op === 'delete' || (op === 'update' && operation.data.parentId !== undefined))
      trees.add(writable.get(operation.id) ?? '')
    if (op === 'create' && operation.data.parentId) {
      const home = await selectProjectPlacement(tx, actor.userId, operation.data.projectId ?? null)
      if (home && can(actor, home, 'write')) trees.add(home.projectId)
    }
  }
  trees.delete('')
  if (trees.size > 0) await lockTrees(tx, [...trees])
  const deleted = known.filter(({ op, id }) => op === 'delete' && writable.has(id)).map(({ id }) => id)
  const below = deleted.length > 0 ? await selectSubtree(tx, deleted) : []
  if (writable.size > 0) await lockTasks(tx, [...new Set([...writable.keys(), ...below])])
}

/**
 * Runs one part of many. An AppError of it is thrown again with `pointer` before its own pointers, and `within` between
 * the two: `/operations/3` + `/data` + `/title`.
 */
const withPointer = async <T>(pointer: string, within: string, part: () => T | Promise<T>): Promise<T> => {
  try {
    return await part()
  } catch (thrown) {
    const error = translate(thrown)
    // Deadlocks and lost connections are retried with the whole transaction.
    if (!(error instanceof AppError) || error.status >= 500) throw thrown
    const { errors = [], ...rest } = error.details
    const inside = errors.map((violation) => ({
      ...violation,
      pointer: pointer + within + violation.pointer,
    }))
    const here = error.code === 'not_found' && pointer.startsWith('/operations') ? `${pointer}/id` : pointer
    throw new AppError(error.code, error.message, {
      ...rest,
      cause: error,
      errors: inside.length > 0 ? inside : [{ pointer: here, detail: error.message }],
    })
  }
}
