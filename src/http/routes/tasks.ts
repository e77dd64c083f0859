// /api/tasks, one task at a time. Lists are in task-list.ts, writes of several tasks and moving in task-batch.ts.
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import type { Publisher } from '../../changelog/publisher.ts'
import type { CallerDatabase } from '../../db/client.ts'
import {
  addTags,
  createTask,
  deleteTask,
  getTask,
  removeTag,
  replaceTask,
  updateTask,
} from '../../domain/tasks/tasks.ts'
import { signedIn } from '../guard.ts'
import { ifMatchOf } from '../request-context.ts'
import { created, etag, mutate, noContent, ok, respond } from '../response.ts'
import { describedIn } from '../route.ts'
import { Id } from '../../model/scalar.ts'
import { NewTask, Tag, Tags, Task, TaskPatch, TaskReplacement } from '../../model/task.ts'

const params = Type.Object({ id: Id() })

const TagList = Type.Object({ tags: Tags }, { additionalProperties: false })

const detail = describedIn('Tasks')

export const renderTask = (task: Task) => ok(task, etag(task.version))

export const taskRoutes = (deps: { db: CallerDatabase; publisher: Publisher }) =>
  new Elysia({ prefix: '/api/tasks' })
    .use(signedIn)
    .post(
      '',
      ({ actor, request, body }) =>
        mutate(
          { request, actor },
          (task: Task) => created(task, `/api/tasks/${task.id}`, etag(task.version)),
          (write) => createTask(deps, write, body),
        ),
      {
        body: NewTask,
        response: { 201: Task },
        detail: detail('Create a task at the end of its project', { idempotent: true }),
      },
    )
    .get(
      '/:id',
      async ({ actor, request, params }) =>
        respond(renderTask(await getTask(deps, actor, params.id)), request),
      { params, response: { 200: Task }, detail: detail('Read a task') },
    )
    .patch(
      '/:id',
      ({ actor, request, params, body }) =>
        mutate({ request, actor }, renderTask, (write) =>
          updateTask(deps, write, params.id, body, ifMatchOf(request)),
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
      ({ actor, request, params, body }) =>
        mutate({ request, actor }, renderTask, (write) =>
          replaceTask(deps, write, params.id, body, ifMatchOf(request)),
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
      ({ actor, request, params }) =>
        mutate({ request, actor }, noContent, (write) =>
          deleteTask(deps, write, params.id, ifMatchOf(request)),
        ),
      {
        params,
        response: { 204: Type.Void() },
        detail: detail('Delete a task with its subtasks', { idempotent: true, versioned: true }),
      },
    )
    .post(
      '/:id/tags',
      ({ actor, request, params, body }) =>
        mutate({ request, actor }, renderTask, (write) => addTags(deps, write, params.id, body.tags)),
      { params, body: TagList, response: { 200: Task }, detail: detail('Add tags', { idempotent: true }) },
    )
    .delete(
      '/:id/tags/:tag',
      ({ actor, request, params }) =>
        mutate({ request, actor }, noContent, (write) =>
          removeTag(deps, write, params.id, params.tag, ifMatchOf(request)),
        ),
      {
        params: Type.Object({ id: Id(), tag: Tag }),
        response: { 204: Type.Void() },
        detail: detail('Remove a tag', { idempotent: true, versioned: true }),
      },
    )
