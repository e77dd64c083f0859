// /api/activity and /api/tasks/:id/activity: what was changed, by whom, from what to what.
import { Type, type Static } from '@sinclair/typebox'
import type { Config } from '../../config.ts'
import type { CallerDatabase } from '../../db/client.ts'
import { listActivity, type ActivityQuery } from '../../domain/activity/activity.ts'
import { Activity, activityTypes } from '../../model/activity.ts'
import { Id, Instant, toInstant } from '../../model/scalar.ts'
import type { KeptAnswers } from '../kept-answers.ts'
import { openPager, pageOf, pageParameters, pageQuery } from '../page.ts'
import { Words } from '../query.ts'
import { RouteGroup } from '../route-group.ts'
import { describedIn } from '../route.ts'

const listQuery = Type.Object(
  {
    projectId: Type.Optional(Id('Default: every project you are a member of, without archived ones')),
    taskId: Type.Optional(
      Id('Of a task that was deleted or has left the project: together with `projectId`'),
    ),
    actorId: Type.Optional(Id()),
    type: Type.Optional(Words(activityTypes, 'Any of these')),
    after: Type.Optional(Instant('Inclusive')),
    before: Type.Optional(Instant('Exclusive')),
    ...pageParameters,
  },
  { additionalProperties: false },
)

const queryOf = ({
  projectId,
  taskId,
  actorId,
  type,
  after,
  before,
}: Static<typeof listQuery>): ActivityQuery => ({
  projectId,
  taskId,
  actorId,
  types: type === undefined ? undefined : activityTypes.filter((one) => type.split(',').includes(one)),
  after: after && toInstant(after),
  before: before && toInstant(before),
})

const detail = describedIn('Activity')

interface ActivityDeps {
  config: Config
  db: CallerDatabase
  kept: KeptAnswers
}

export const activityRoutes = (deps: ActivityDeps) => {
  const pager = openPager(deps)
  return new RouteGroup('/api')
    .get(
      '/activity',
      (context) =>
        pager.answer(context, (slice) => listActivity(deps, context.actor, queryOf(context.query), slice)),
      {
        query: listQuery,
        response: { 200: pageOf(Activity) },
        detail: detail('List what was changed, newest first'),
      },
    )
    .get(
      '/tasks/:id/activity',
      (context) =>
        pager.answer(context, (slice) =>
          listActivity(deps, context.actor, { taskId: context.params.id }, slice),
        ),
      {
        params: Type.Object({ id: Id() }),
        query: pageQuery,
        response: { 200: pageOf(Activity) },
        detail: detail('List what was changed in a task since it is in its project, newest first'),
      },
    )
}
