// /api/projects: the projects themselves. Members have routes of their own.
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import type { Deps } from '../../deps.ts'
import {
  createProject,
  deleteProject,
  getProject,
  setArchived,
  updateProject,
} from '../../domain/projects.ts'
import { NewProject, ProjectPatch, type Project } from '../../model/project.ts'
import { Id } from '../../model/scalar.ts'
import { signedIn } from '../guard.ts'
import { created, etag, mutate, noContent, ok, respond } from '../reply.ts'
import { ifMatchOf } from '../request.ts'

const params = Type.Object({ id: Id() })

const detail = (summary: string) => ({ tags: ['Projects'], summary, security: [{ bearer: [] }] })

/** A project's tag covers the caller's role, which is part of the answer. */
const tagOf = (project: Project) => etag(project.version, project.role)

const render = (project: Project) => ok(project, tagOf(project))

export const projectRoutes = (deps: Deps) =>
  new Elysia({ prefix: '/api/projects' })
    .use(signedIn)
    .post(
      '',
      ({ actor, request, body }) =>
        mutate(
          { request, actor },
          (project: Project) => created(project, `/api/projects/${project.id}`, tagOf(project)),
          (write) => createProject(deps, write, body),
        ),
      { body: NewProject, detail: detail('Create a project; the caller owns it') },
    )
    .get(
      '/:id',
      async ({ actor, request, params }) =>
        respond(render(await getProject(deps, actor, params.id)), request),
      { params, detail: detail('Read a project') },
    )
    .patch(
      '/:id',
      ({ actor, request, params, body }) =>
        mutate({ request, actor }, render, (write) =>
          updateProject(deps, write, params.id, body, ifMatchOf(request)),
        ),
      { params, body: ProjectPatch, detail: detail('Change name, description or colour (owners)') },
    )
    .delete(
      '/:id',
      ({ actor, request, params }) =>
        mutate(
          { request, actor },
          () => noContent(),
          (write) => deleteProject(deps, write, params.id, ifMatchOf(request)),
        ),
      { params, detail: detail('Delete a project with everything in it (owners)') },
    )
    .post(
      '/:id/archive',
      ({ actor, request, params }) =>
        mutate({ request, actor }, render, (write) => setArchived(deps, write, params.id, true)),
      { params, detail: detail('Make a project read-only and take it out of default lists (owners)') },
    )
    .post(
      '/:id/unarchive',
      ({ actor, request, params }) =>
        mutate({ request, actor }, render, (write) => setArchived(deps, write, params.id, false)),
      { params, detail: detail('Revive an archived project (owners)') },
    )
