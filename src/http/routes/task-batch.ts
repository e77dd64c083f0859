// Writes of several tasks in one request, and moving: PATCH /api/tasks/bulk, POST /api/tasks/batch, POST …/:id/move.
import { Type, type Static } from '@sinclair/typebox'
import { runOperations, updateTasksInBulk, type Operation } from '../../domain/tasks/task-batch.ts'
import { moveTask } from '../../domain/tasks/task-move.ts'
import type { TaskDeps } from '../../domain/tasks/tasks.ts'
import type { WriteDeps } from '../../domain/write.ts'
import { invalid } from '../../errors.ts'
import { unknownMember } from '../violations.ts'
import { bodyTag, mutate, ok } from '../response.ts'
import { RouteGroup } from '../route-group.ts'
import { describedIn } from '../route.ts'
import { renderTask } from './tasks.ts'
import { ClientId, Id, Word } from '../../model/scalar.ts'
import { NewTask, Task, TaskMove, TaskPatch } from '../../model/task.ts'

const maxAtOnce = 100

const Bulk = Type.Object(
  { ids: Type.Array(Id(), { minItems: 1, maxItems: maxAtOnce }), changes: TaskPatch },
  { additionalProperties: false },
)

const closed = { additionalProperties: false }
const IfVersion = Type.Optional(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }))

/** `op` decides between the alternatives. */
const OperationBody = Type.Union([
  Type.Object(
    {
      op: Word('create'),
      id: Type.Optional(ClientId('A UUIDv7 made by the client; here or in `data`')),
      data: NewTask,
    },
    closed,
  ),
  Type.Object({ op: Word('update'), id: Id(), data: TaskPatch, ifVersion: IfVersion }, closed),
  Type.Object({ op: Word('delete'), id: Id(), ifVersion: IfVersion }, closed),
])
type OperationBody = Static<typeof OperationBody>

const Batch = Type.Object(
  { operations: Type.Array(OperationBody, { minItems: 1, maxItems: maxAtOnce }) },
  { ...closed, examples: [{ operations: [{ op: 'create', data: { title: 'Write the launch plan' } }] }] },
)

/** The operations with the id of a creation in its data: it may be beside `data`, as in the other operations. */
const operationOf = (given: OperationBody, index: number): Operation => {
  if (given.op !== 'create') return { ifVersion: null, ...given }
  const { op, id, data } = given
  if (id === undefined) return { op, data }
  if (data.id !== undefined) throw invalid({ pointer: `/operations/${index}/id`, detail: unknownMember })
  return { op, data: { ...data, id } }
}

const Items = Type.Object({ items: Type.Array(Task) })
const ItemsOrNull = Type.Object({ items: Type.Array(Type.Union([Task, Type.Null()])) })

const detail = describedIn('Tasks')

const renderItems = (items: (Task | null)[]) => bodyTag(ok({ items }))

export const taskBatchRoutes = (deps: TaskDeps & WriteDeps) =>
  new RouteGroup('/api/tasks')
    .patch(
      '/bulk',
      (context) =>
        mutate(context, renderItems, (write) =>
          updateTasksInBulk(deps, write, context.body.ids, context.body.changes),
        ),
      {
        body: Bulk,
        response: { 200: Items },
        detail: detail('Apply one change to many tasks, all or none', { idempotent: true, isLarge: true }),
      },
    )
    .post(
      '/batch',
      (context) => {
        const operations = context.body.operations.map(operationOf)
        return mutate(context, renderItems, (write) => runOperations(deps, write, operations))
      },
      {
        body: Batch,
        response: { 200: ItemsOrNull },
        detail: detail('Create, change and delete many tasks in order, all or none', {
          idempotent: true,
          isLarge: true,
          errors: ['version_conflict'],
        }),
      },
    )
    .post(
      '/:id/move',
      (context) =>
        mutate(context, renderTask, (write) => moveTask(deps, write, context.params.id, context.body)),
      {
        params: Type.Object({ id: Id() }),
        body: TaskMove,
        response: { 200: Task },
        detail: detail('Move a task within or between projects, with its subtasks', { idempotent: true }),
      },
    )
