// /api/projects: the projects. Their members are in members.ts.
import { Type } from '@sinclair/typebox'
import type { Publisher } from '../../changelog/publisher.ts'
import type { Config } from '../../config.ts'
import type { CallerDatabase } from '../../db/client.ts'
import type { Reads } from '../../db/reads.ts'
import {
  createProject,
  deleteProject,
  getProject,
  listProjects,
  setArchived,
  updateProject,
} from '../../domain/projects/projects.ts'
import type { KeptAnswers } from '../kept-answers.ts'
import { openPager, pageOf, pageParameters } from '../page.ts'
import { Flag } from '../query.ts'
import { ifMatchOf } from '../request-context.ts'
import { created, etag, mutate, noContent, ok } from '../response.ts'
import { RouteGroup } from '../route-group.ts'
import { describedIn } from '../route.ts'
import { NewProject, Project, ProjectPatch } from '../../model/project.ts'
import { Id } from '../../model/scalar.ts'

const params = Type.Object({ id: Id() })

const listQuery = Type.Object(
  { archived: Type.Optional(Flag('Archived projects instead of the others')), ...pageParameters },
  { additionalProperties: false },
)

const detail = describedIn('Projects')

/** A project's tag covers the caller's role, which is part of the answer. */
const tagOf = (project: Project) => etag(project.version, project.role)

const render = (project: Project) => ok(project, tagOf(project))

interface ProjectDeps {
  config: Config
  db: CallerDatabase
  reads: Reads
  kept: KeptAnswers
  publisher: Publisher
}

export const projectRoutes = (deps: ProjectDeps) => {
  const pager = openPager(deps)
  return new RouteGroup('/api/projects')
    .get(
      '',
      (context) =>
        pager.answer(context, (slice) =>
          listProjects(deps, context.actor, context.query.archived === 'true', slice),
        ),
      {
        query: listQuery,
        response: { 200: pageOf(Project) },
        detail: detail("List the caller's projects: the Inbox, then by creation"),
      },
    )
    .post(
      '',
      (context) =>
        mutate(
          context,
          (project: Project) => created(project, `/api/projects/${project.id}`, tagOf(project)),
          (write) => createProject(deps, write, context.body),
        ),
      {
        body: NewProject,
        response: { 201: Project },
        detail: detail('Create a project; the caller owns it', { idempotent: true }),
      },
    )
    .get('/:id', async ({ actor, params }) => render(await getProject(deps, actor, params.id)), {
      params,
      response: { 200: Project },
      detail: detail('Read a project'),
    })
    .patch(
      '/:id',
      (context) =>
        mutate(context, render, (write) =>
          updateProject(deps, write, context.params.id, context.body, ifMatchOf(context.request)),
        ),
      {
        params,
        body: ProjectPatch,
        response: { 200: Project },
        detail: detail('Change name, description or colour (owners)', { idempotent: true, versioned: true }),
      },
    )
    .delete(
      '/:id',
      (context) =>
        mutate(context, noContent, (write) =>
          deleteProject(deps, write, context.params.id, ifMatchOf(context.request)),
        ),
      {
        params,
        response: { 204: Type.Void() },
        detail: detail('Delete a project with everything in it (owners)', {
          idempotent: true,
          versioned: true,
        }),
      },
    )
    .post(
      '/:id/archive',
      (context) => mutate(context, render, (write) => setArchived(deps, write, context.params.id, true)),
      {
        params,
        response: { 200: Project },
        detail: detail('Make a project read-only and remove it from default lists (owners)', {
          idempotent: true,
        }),
      },
    )
    .post(
      '/:id/unarchive',
      (context) => mutate(context, render, (write) => setArchived(deps, write, context.params.id, false)),
      {
        params,
        response: { 200: Project },
        detail: detail('Restore an archived project (owners)', { idempotent: true }),
      },
    )
}
