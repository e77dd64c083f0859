// GET /api/tasks/stats. The answer is kept like those of lists, but for `asOf`: while nothing changed and no task fell due,
// the statistics are exact now, and the text gets the present time at its end.
import { Type } from '@sinclair/typebox'
import type { CallerDatabase } from '../../db/client.ts'
import { readStatistics } from '../../domain/statistics/statistics.ts'
import type { KeptAnswers } from '../kept-answers.ts'
import { bodyTag, ok, type Answer } from '../response.ts'
import { RouteGroup } from '../route-group.ts'
import { describedIn } from '../route.ts'
import { Id } from '../../model/scalar.ts'
import { TaskStatistics } from '../../model/statistics.ts'
import type { StoredResponse } from '../../model/stored-response.ts'

const query = Type.Object(
  {
    projectId: Type.Optional(
      Id('Default: every task you may read as member or by a share, without archived projects'),
    ),
  },
  { additionalProperties: false },
)

interface TaskStatsDeps {
  db: CallerDatabase
  kept: KeptAnswers
}

/** The answer without `asOf`, and the difference between the clock of the database and `performance.now()`. */
interface TimelessAnswer extends StoredResponse {
  clockMs: number
}

const atPresent = ({ clockMs, status, headers, body }: TimelessAnswer): Answer => ({
  status,
  headers,
  body: `${body!.slice(0, -1)},"asOf":"${new Date(clockMs + performance.now()).toISOString()}"}`,
})

export const taskStatsRoutes = ({ db, kept }: TaskStatsDeps) =>
  new RouteGroup('/api/tasks').get(
    '/stats',
    async ({ actor, query, request }) =>
      atPresent(
        await kept.answer<TimelessAnswer>(actor, request.url, async () => {
          const { statistics, asOf, heads, validForMs } = await readStatistics({ db }, actor, query.projectId)
          const clockMs = Date.parse(asOf) - performance.now()
          return { response: { ...bodyTag(ok(statistics)), clockMs }, heads, validForMs }
        }),
      ),
    {
      query,
      response: { 200: TaskStatistics },
      detail: describedIn('Tasks')('Statistics of a project, or of all your tasks'),
    },
  )
