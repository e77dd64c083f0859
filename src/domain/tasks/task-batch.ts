// Many tasks in one transaction, all or nothing: one patch for many tasks (bulk), or many operations in order (batch).
// Invariant: the pointer of an error names the id or the operation it belongs to.
import { AppError } from '../../errors.ts'
import type { NewTask, Task, TaskPatch } from '../../model/task.ts'
import type { Scope } from '../../model/scope.ts'
import type { Actor } from '../../model/actor.ts'
import { taskSubject } from '../subject.ts'
import type { Effect, WriteResult, WriteRequest } from '../write.ts'
import { patched } from './task-fields.ts'
import {
  applyFields,
  authorizeChange,
  changeNeeds,
  creationNeeds,
  decideChange,
  decideCreation,
  decideDeletion,
  deletionNeeds,
  isTreeOfHomeWanted,
  requireAllowedFields,
  type Change,
} from './task-decisions.ts'
import { sumOfNeeds, type TaskNeeds } from './task-needs.ts'
import type { TaskState } from './task-state.ts'
import type { TaskDeps } from './tasks.ts'

export type Operation =
  | { op: 'create'; data: NewTask }
  | { op: 'update'; id: string; data: TaskPatch; ifVersion: number | null }
  | { op: 'delete'; id: string; ifVersion: number | null; data?: undefined }

/** Of more tasks than this a write is a heavy call of the database. */
const manyTasks = 20

const extentOf = (count: number): 'several' | 'many' => (count > manyTasks ? 'many' : 'several')

const changeOf = (id: string, patch: TaskPatch, ifVersion: number | null = null): Change => ({
  id,
  edit: (task) => patched(task, patch),
  ifMatch: ifVersion === null ? null : [ifVersion],
  assigneeId: patch.assigneeId,
  parentId: patch.parentId,
})

/** Applies one patch to every task; returns the tasks in the order of `ids`. */
export const updateTasksInBulk = (
  { writes }: TaskDeps,
  request: WriteRequest<Task[]>,
  ids: string[],
  changes: TaskPatch,
): Promise<WriteResult<Task[]>> => {
  const { actor } = request
  const unique = [...new Set(ids)].map((id) => changeOf(id, changes))
  return writes.write(request, {
    needs: sumOfNeeds(unique.map((change) => changeNeeds(actor, change))),
    decide: (state) => decideBulk(state, actor, ids, unique),
    bytes: 0,
    extent: extentOf(ids.length),
  })
}

/** Every task is authorized and checked before the first is changed. */
const decideBulk = (state: TaskState, actor: Actor, ids: string[], changes: Change[]): Effect<Task[]> => {
  const edited = changes.map(({ id, edit }) => {
    const access = withPointer(`/ids/${ids.indexOf(id)}`, '', () =>
      authorizeChange(actor, state.access(actor.userId, id), 'write'),
    )
    const fields = withPointer('/changes', '', () => {
      const wanted = edit(access.task)
      requireAllowedFields(state, actor, access, wanted)
      return wanted
    })
    return { access, fields }
  })
  const done = edited.map(({ access, fields }) => applyFields(state, actor, access, fields))
  const byId = new Map(done.map(({ value }) => [value.id, value]))
  return {
    value: ids.map((id) => byId.get(id)!),
    entries: done.flatMap((effect) => effect.entries),
    cursorScope: commonScope(done),
    subject: taskSubject(...byId.values()),
  }
}

/** Runs the operations in order, each seeing the effects of those before it; returns the tasks, null for a deletion. */
export const runOperations = (
  { writes }: TaskDeps,
  request: WriteRequest<(Task | null)[]>,
  operations: Operation[],
): Promise<WriteResult<(Task | null)[]>> => {
  const { actor } = request
  return writes.write(request, {
    needs: operationNeeds(actor, operations),
    decide: (state) => decideOperations(state, actor, operations),
    bytes: 0,
    extent: extentOf(operations.length),
  })
}

/** An operation may change a task that one before it creates: what it needs there is asked for of its project. */
const operationNeeds = (actor: Actor, operations: Operation[]): TaskNeeds => {
  const needs = sumOfNeeds(operations.map((operation) => needsOf(actor, operation)))
  const created = new Map(
    operations.flatMap(({ op, data }): [string, TaskNeeds][] =>
      op === 'create' && data.id !== undefined ? [[data.id, creationNeeds(actor, data)]] : [],
    ),
  )
  for (const operation of operations) {
    const home = operation.op === 'create' ? undefined : created.get(operation.id)?.homes[0]
    if (!home) continue
    const { op, data } = operation
    if (op === 'update' && data.assigneeId) needs.homeUsers.push({ home, userId: data.assigneeId })
    if (op === 'delete' || (op === 'update' && data.parentId !== undefined))
      needs.homes.unshift({ ...home, isTreeWanted: isTreeOfHomeWanted(actor) })
  }
  return needs
}

const needsOf = (actor: Actor, operation: Operation): TaskNeeds => {
  if (operation.op === 'create') return creationNeeds(actor, operation.data)
  const { op, id, ifVersion, data } = operation
  return op === 'delete' ? deletionNeeds(actor, id) : changeNeeds(actor, changeOf(id, data, ifVersion))
}

const decideOperations = (
  state: TaskState,
  actor: Actor,
  operations: Operation[],
): Effect<(Task | null)[]> => {
  const done = operations.map((operation, index) =>
    withPointer(`/operations/${index}`, '/data', () => decideOperation(state, actor, operation)),
  )
  return {
    value: done.map(({ value }) => value),
    entries: done.flatMap(({ entries }) => entries),
    cursorScope: commonScope(done),
    subject: {
      tasks: Object.fromEntries(done.flatMap(({ subject }) => Object.entries(subject.tasks))),
      projects: [],
    },
  }
}

/**
 * The project of every task the request names, whether it changed or not; null for several. That only tasks of one
 * project happened to differ from the request makes it no write of one project.
 */
const commonScope = (effects: Effect<unknown>[]): Scope | null => {
  const scopes = new Set(effects.map(({ cursorScope }) => cursorScope ?? null))
  const [only = null] = scopes
  return scopes.size === 1 ? only : null
}

const decideOperation = (state: TaskState, actor: Actor, operation: Operation): Effect<Task | null> => {
  if (operation.op === 'create') return decideCreation(state, actor, operation.data)
  const { op, id, ifVersion, data } = operation
  return op === 'delete'
    ? decideDeletion(state, actor, id, ifVersion === null ? null : [ifVersion])
    : decideChange(state, actor, changeOf(id, data, ifVersion))
}

/**
 * Runs one part of many. An AppError of it is thrown again with `pointer` before its own pointers, and `within` between
 * the two: `/operations/3` + `/data` + `/title`.
 */
const withPointer = <T>(pointer: string, within: string, part: () => T): T => {
  try {
    return part()
  } catch (error) {
    if (!(error instanceof AppError) || error.status >= 500) throw error
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
