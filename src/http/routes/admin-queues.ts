// /admin/queues: the board of the job queues, for administrators. The server reads queues and never runs a job.
import { Type, type TSchema } from '@sinclair/typebox'
import type { OriginConfig } from '../../auth/origin.ts'
import { bearerTokenOf } from '../../auth/authenticator.ts'
import { OnFirstUse } from '../../async/on-first-use.ts'
import type { CallerDatabase } from '../../db/client.ts'
import { retryFailed } from '../../db/deliveries/claims.ts'
import { AppError, notFound } from '../../errors.ts'
import { isId } from '../../model/scalar.ts'
import { Text } from '../../model/text.ts'
import type { JobQueues } from '../../queues/job-queues.ts'
import { isQueueName, kindsOf, type QueueName } from '../../queues/jobs.ts'
import { adminCookie } from '../admin-cookie.ts'
import type { Board } from '../board/board.ts'
import { adminPagePolicy, adminText } from '../board/page.ts'
import { boardRoutes, type BoardRoute } from '../board/routes.ts'
import { keepSignedInScript, signInPage, signInScript, signInStyle } from '../board/sign-in.ts'
import { loadUi } from '../board/ui.ts'
import { bodyTag, ok } from '../response.ts'
import { undocumented } from '../route.ts'
import { RouteGroup } from '../route-group.ts'

/** Texts by name, as the parameters of a path or a query. */
const texts = (names: readonly string[], isOptional: boolean) => {
  const one: TSchema = Text({ maxLength: 200 })
  const properties = Object.fromEntries(names.map((name) => [name, isOptional ? Type.Optional(one) : one]))
  return Type.Object(properties, { additionalProperties: false })
}

const namesIn = (path: string): string[] => [...path.matchAll(/:(\w+)/g)].map(([, name]) => name!)

interface Retry {
  queue: QueueName
  /** Null: all that failed. */
  id: string | null
}

/** The failed jobs that a request of the board retries; null for any other request. */
const retryOf = async (
  { path }: BoardRoute,
  params: Record<string, unknown> | undefined,
  board: Board,
): Promise<Retry | null> => {
  const { jobId: id, queueName: queue, queueStatus } = params ?? {} // undefined where the path has none
  if (!isQueueName(queue)) return null
  if (path.endsWith('/retry/:queueStatus') && queueStatus === 'failed') return { queue, id: null }
  if (path.endsWith('/:jobId/retry') && isId(id) && (await board.isFailedJob(queue, id))) return { queue, id }
  return null
}

interface AdminDeps {
  config: OriginConfig
  db: CallerDatabase
  queues: OnFirstUse<JobQueues>
}

export const adminQueueRoutes = ({ config, db, queues }: AdminDeps): RouteGroup[] => {
  const board = new OnFirstUse(async () => {
    const [{ createBoard }, { all }] = await Promise.all([import('../board/board.ts'), queues.get()])
    return createBoard(all)
  })
  const openPages = new RouteGroup('/admin', { detail: undocumented({ access: 'public' }) })
    .get('/sign-in', () => adminText('text/html', signInPage))
    .get('/sign-in.css', () => adminText('text/css', signInStyle))
    .get('/sign-in.js', () => adminText('text/javascript', signInScript))
    .get('/keep-signed-in.js', () => adminText('text/javascript', keepSignedInScript))
  const session = new RouteGroup('/admin', { detail: undocumented({ access: 'admin' }) }).post(
    '/session',
    ({ request }) => {
      const token = bearerTokenOf(request.headers.get('authorization') ?? '')
      if (token === null) throw new AppError('unauthenticated')
      const headers = { 'Set-Cookie': adminCookie(token, request, config), 'Cache-Control': 'no-store' }
      return { status: 204, headers, body: null }
    },
  )
  const detail = undocumented({ access: 'admin', signInPage: '/admin/sign-in' })
  const pages = new RouteGroup('/admin/queues', { detail })
  for (const path of ['', '/job-schedulers', '/queue/:queueName', '/queue/:queueName/:jobId'])
    pages.get(path, async () => adminText('text/html', (await loadUi()).page((await board.get()).uiConfig)), {
      params: texts(namesIn(path), false),
      query: texts(['status', 'page', 'jobsPerPage'], true), // the scripts read them from the address
    })
  for (const path of ['/static/:one', '/static/:one/:two', '/static/:one/:two/:three'])
    pages.get(
      path,
      async ({ params }) => {
        const file = (await loadUi()).file(Object.values(params).join('/'))
        if (!file) throw notFound()
        return {
          status: 200,
          headers: {
            'Content-Type': file.type,
            'Content-Security-Policy': adminPagePolicy, // a script that runs as a worker has the policy of its own answer
            'Cache-Control': 'private, max-age=86400', // the names of files change with their content
          },
          body: file,
        }
      },
      { params: texts(namesIn(path), false) },
    )
  const api = new RouteGroup('/admin/queues', { detail: undocumented({ access: 'admin' }) })
  for (const route of boardRoutes)
    api[route.method](
      route.path,
      async ({ actor, query, params }) => {
        const opened = await board.get()
        const retry = await retryOf(route, params, opened)
        if (retry) {
          // The rows of the deliveries decide: they are set back, and their jobs removed. Workers make the jobs again, no
          // more at once than of others; as retried jobs they would all stand before those that people wait for.
          const { queue, id } = retry
          const which = id === null ? { kinds: kindsOf(queue) } : { id }
          await db.of(actor.userId).transact((tx) => retryFailed(tx, which))
          return bodyTag(ok({ retried: await opened.removeFailedJobs(queue, id), skipped: 0 })) // as the package answers
        }
        const { status, body } = await opened.call(route, { query, params })
        return bodyTag({ ...ok(body ?? {}), status })
      },
      { params: texts(namesIn(route.path), false), query: texts(route.query, true) },
    )
  return [openPages, session, pages, api]
}
