// The whole HTTP server on one Elysia instance, not listening: the request pipeline first, then every route group, then
// the WebSocket upgrade. Bun's socket handlers are passed to `listen`, not to Elysia.
import { Type } from '@sinclair/typebox'
import type { Server } from 'bun'
import { Elysia } from 'elysia'
import type { Deps } from './deps.ts'
import { asyncApiRoutes } from '../http/openapi/asyncapi.ts'
import { crossOrigin } from '../http/cors.ts'
import { remainingRoutes } from '../http/exact-path.ts'
import { requestPipeline } from '../http/pipeline.ts'
import { openApiRoutes } from '../http/openapi/openapi.ts'
import { contextOf } from '../http/request-context.ts'
import { describedIn } from '../http/route.ts'
import { createRouteTable } from '../http/route-table.ts'
import { authRoutes } from '../http/routes/auth.ts'
import { docsRoutes } from '../http/routes/docs.ts'
import { healthRoutes } from '../http/routes/health.ts'
import { memberRoutes } from '../http/routes/members.ts'
import { notificationRoutes } from '../http/routes/notifications.ts'
import { projectRoutes } from '../http/routes/projects.ts'
import { shareRoutes } from '../http/routes/shares.ts'
import { snapshotRoutes } from '../http/routes/snapshots.ts'
import { syncRoutes } from '../http/routes/sync.ts'
import { taskBatchRoutes } from '../http/routes/task-batch.ts'
import { taskListRoutes } from '../http/routes/task-list.ts'
import { taskRoutes } from '../http/routes/tasks.ts'
import { userRoutes } from '../http/routes/users.ts'
import { addressKey } from '../limits/address-key.ts'
import type { Connection } from '../ws/connection.ts'
import type { Sockets } from '../ws/sockets.ts'

/** @returns an app for `listen` with `sockets.handlers`. */
export const createApp = (deps: Deps, sockets: Sockets) => {
  const app = new Elysia({
    normalize: false,
    // Without this a short Host header shifts routing by its length.
    handler: { standardHostname: false },
  })
  app.use(crossOrigin(deps.config))
  const routes = createRouteTable(() => app.routes)
  app.use(requestPipeline(deps, routes))
  app.use(healthRoutes(deps))
  app.use(openApiRoutes(() => app.routes))
  app.use(asyncApiRoutes())
  app.use(docsRoutes())
  app.use(authRoutes(deps))
  app.use(userRoutes(deps))
  app.use(syncRoutes(deps))
  app.use(snapshotRoutes(deps))
  app.use(projectRoutes(deps))
  app.use(taskRoutes(deps))
  app.use(taskListRoutes(deps))
  app.use(taskBatchRoutes(deps))
  app.use(memberRoutes(deps))
  app.use(shareRoutes(deps))
  app.use(notificationRoutes(deps))
  app.get(
    '/api/ws',
    ({ request, server }) =>
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Elysia types the server by its own sockets; these are the handlers of Sockets
      sockets.upgrade(request, server as unknown as Server<Connection>, addressKey(contextOf(request).ip)),
    {
      response: { 101: Type.Void() },
      detail: describedIn('Log')('Upgrade to a WebSocket speaking tasktide.v1 (docs/protocol.md)', {
        access: 'public', // the socket authenticates its connections itself
        rateLimit: 'own',
      }),
    },
  )
  app.config.serve = { routes: remainingRoutes(routes, app.fetch) }
  return app
}
