// /api/tasks, one task at a time. Lists are in task-list.ts, writes of several tasks and moving in task-batch.ts.
import { Type } from '@sinclair/typebox'
import type { CallerDatabase } from '../../db/client.ts'
import type { Reads } from '../../db/reads.ts'
import {
  addTags,
  createTask,
  deleteTask,
  getTask,
  removeTag,
  replaceTask,
  updateTask,
  type TaskDeps,
} from '../../domain/tasks/tasks.ts'
import { ifMatchOf } from '../request-context.ts'
import { created, etag, jsonText, mutate, noContent, ok } from '../response.ts'
import { RouteGroup } from '../route-group.ts'
import { describedIn } from '../route.ts'
import { Id } from '../../model/scalar.ts'
import { NewTask, Tag, Tags, Task, TaskPatch, TaskReplacement } from '../../model/task.ts'

const params = Type.Object({ id: Id() })

const TagList = Type.Object({ tags: Tags }, { additionalProperties: false })

const detail = describedIn('Tasks')

export const renderTask = (task: Task) => ok(task, etag(task.version))

export const taskRoutes = (deps: TaskDeps & { db: CallerDatabase; reads: Pick<Reads, 'task'> }) =>
  new RouteGroup('/api/tasks')
    .post(
      '',
      (context) =>
        mutate(
          context,
          (task: Task) => created(task, `/api/tasks/${task.id}`, etag(task.version)),
          (write) => createTask(deps, write, context.body),
        ),
      {
        body: NewTask,
        response: { 201: Task },
        detail: detail('Create a task at the end of its project', { idempotent: true }),
      },
    )
    .get(
      '/:id',
      async ({ actor, params }) => {
        const { text, version } = await getTask(deps, actor, params.id)
        return jsonText(text, etag(version))
      },
      { params, response: { 200: Task }, detail: detail('Read a task') },
    )
    .patch(
      '/:id',
      (context) =>
        mutate(context, renderTask, (write) =>
          updateTask(deps, write, context.params.id, context.body, ifMatchOf(context.request)),
        ),
      {
        params,
        body: TaskPatch,
        response: { 200: Task },
        detail: detail('Change fields; null sets the default', { idempotent: true, versioned: true }),
      },
    )
    .put(
      '/:id',
      (context) =>
        mutate(context, renderTask, (write) =>
          replaceTask(deps, write, context.params.id, context.body, ifMatchOf(context.request)),
        ),
      {
        params,
        body: TaskReplacement,
        response: { 200: Task },
        detail: detail('Replace every writable field; absent ones take their defaults', {
          idempotent: true,
          versioned: true,
        }),
      },
    )
    .delete(
      '/:id',
      (context) =>
        mutate(context, noContent, (write) =>
          deleteTask(deps, write, context.params.id, ifMatchOf(context.request)),
        ),
      {
        params,
        response: { 204: Type.Void() },
        detail: detail('Delete a task with its subtasks', { idempotent: true, versioned: true }),
      },
    )
    .post(
      '/:id/tags',
      (context) =>
        mutate(context, renderTask, (write) => addTags(deps, write, context.params.id, context.body.tags)),
      { params, body: TagList, response: { 200: Task }, detail: detail('Add tags', { idempotent: true }) },
    )
    .delete(
      '/:id/tags/:tag',
      (context) =>
        mutate(context, noContent, (write) =>
          removeTag(deps, write, context.params.id, context.params.tag, ifMatchOf(context.request)),
        ),
      {
        params: Type.Object({ id: Id(), tag: Tag }),
        response: { 204: Type.Void() },
        detail: detail('Remove a tag', { idempotent: true, versioned: true }),
      },
    )
