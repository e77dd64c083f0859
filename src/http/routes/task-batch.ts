// Writes of several tasks in one request, and moving: PATCH /api/tasks/bulk, POST /api/tasks/batch, POST …/:id/move.
import { Type, type Static, type TSchema } from '@sinclair/typebox'
import { runOperations, updateTasksInBulk, type Operation } from '../../domain/tasks/task-batch.ts'
import { moveTask } from '../../domain/tasks/task-move.ts'
import type { TaskDeps } from '../../domain/tasks/tasks.ts'
import type { WriteDeps } from '../../domain/write.ts'
import { invalid, type Violation } from '../../errors.ts'
import { violationsIn, maxViolations } from '../violations.ts'
import { mutate, ok } from '../response.ts'
import { RouteGroup } from '../route-group.ts'
import { describedIn } from '../route.ts'
import { renderTask } from './tasks.ts'
import { toCanonical } from '../../model/canonical.ts'
import { Id, Word } from '../../model/scalar.ts'
import { NewTask, Task, TaskMove, TaskPatch } from '../../model/task.ts'

const maxAtOnce = 100

const Bulk = Type.Object(
  { ids: Type.Array(Id(), { minItems: 1, maxItems: maxAtOnce }), changes: TaskPatch },
  { additionalProperties: false },
)

const Batch = Type.Object(
  {
    operations: Type.Array(
      Type.Object(
        {
          op: Word('create', 'update', 'delete'),
          id: Type.Optional(Id('The task to update or delete; for a creation a UUIDv7 made by the client')),
          data: Type.Optional(
            Type.Unknown({ description: 'For a creation as in POST /api/tasks, for an update as in PATCH' }),
          ),
          ifVersion: Type.Optional(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })),
        },
        { additionalProperties: false },
      ),
      { minItems: 1, maxItems: maxAtOnce },
    ),
  },
  { additionalProperties: false },
)

const create = Type.Object({ op: Word('create'), data: NewTask }, { additionalProperties: false })
const update = Type.Object(
  { op: Word('update'), id: Id(), data: TaskPatch, ifVersion: Type.Optional(Type.Integer()) },
  { additionalProperties: false },
)
const remove = Type.Object(
  { op: Word('delete'), id: Id(), ifVersion: Type.Optional(Type.Integer()) },
  { additionalProperties: false },
)

/** The operations checked by their `op`. 422 with a pointer to each violation. */
const operationsOf = ({ operations }: Static<typeof Batch>): Operation[] => {
  const found: Violation[] = []
  const read = <T extends TSchema>(schema: T, value: unknown, index: number): Static<T>[] => {
    if (found.length >= maxViolations) return []
    toCanonical(schema, value)
    const violations = violationsIn(schema, value, `/operations/${index}`, maxViolations - found.length)
    found.push(...violations)
    return violations.length > 0 ? [] : [value]
  }
  const checked = operations.flatMap((given, index): Operation[] => {
    if (given.op === 'create') return read(create, withId(given), index)
    const schema = given.op === 'update' ? update : remove
    return read(schema, given, index).map((operation) => ({ ifVersion: null, ...operation }))
  })
  if (found.length > 0) throw invalid(...found)
  return checked
}

/** Moves the id of a creation into its data: it may be beside `data`, as in the other operations. */
const withId = (given: Static<typeof Batch>['operations'][number]): unknown => {
  const { id, data, ...rest } = given
  return id === undefined || typeof data !== 'object' || data === null || 'id' in data
    ? given
    : { ...rest, data: { id, ...data } }
}

const Items = Type.Object({ items: Type.Array(Task) })
const ItemsOrNull = Type.Object({ items: Type.Array(Type.Union([Task, Type.Null()])) })

const detail = describedIn('Tasks')

const renderItems = (items: (Task | null)[]) => ok({ items })

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
        detail: detail('Apply one change to many tasks, all or none', { idempotent: true }),
      },
    )
    .post(
      '/batch',
      (context) => {
        const operations = operationsOf(context.body)
        return mutate(context, renderItems, (write) => runOperations(deps, write, operations))
      },
      {
        body: Batch,
        response: { 200: ItemsOrNull },
        detail: detail('Create, change and delete many tasks in order, all or none', {
          idempotent: true,
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
