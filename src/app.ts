// The whole server on one Elysia instance, not listening: the frame first, then every route group, then the
// socket, mounted raw.
import { Type } from '@sinclair/typebox'
import type { Server } from 'bun'
import { Elysia } from 'elysia'
import type { Deps } from './deps.ts'
import { addressKey } from './http/allowance.ts'
import { asyncApiRoutes } from './http/asyncapi.ts'
import { crossOrigin } from './http/cors.ts'
import type { RouteSchemas } from './http/faults.ts'
import { frame, type RouteTable } from './http/frame.ts'
import { openApiRoutes } from './http/openapi.ts'
import { factsOf } from './http/request.ts'
import { authRoutes } from './http/routes/auth.ts'
import { docsRoutes } from './http/routes/docs.ts'
import { healthRoutes } from './http/routes/health.ts'
import { memberRoutes } from './http/routes/members.ts'
import { notificationRoutes } from './http/routes/notifications.ts'
import { projectRoutes } from './http/routes/projects.ts'
import { shareRoutes } from './http/routes/shares.ts'
import { snapshotRoutes } from './http/routes/snapshots.ts'
import { syncRoutes } from './http/routes/sync.ts'
import { taskBatchRoutes } from './http/routes/task-batch.ts'
import { taskListRoutes } from './http/routes/task-list.ts'
import { taskRoutes } from './http/routes/tasks.ts'
import { userRoutes } from './http/routes/users.ts'
import type { Connection } from './ws/connection.ts'
import type { Sockets } from './ws/socket.ts'

/** @returns an app for `listen` with `sockets.handlers`. */
export const createApp = (deps: Deps, sockets: Sockets) => {
  const app = new Elysia({
    normalize: false,
    // Without this a short Host header shifts routing by its length.
    handler: { standardHostname: false },
  })
  app.use(crossOrigin(deps.config))
  app.use(
    frame(
      deps,
      routeTable(() => app.routes),
    ),
  )
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
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Elysia types the server by its own sockets; these are ours
      sockets.upgrade(request, server as unknown as Server<Connection>, addressKey(factsOf(request).ip)),
    {
      response: { 101: Type.Void() },
      detail: { tags: ['Log'], summary: 'Upgrade to a WebSocket speaking tasktide.v1 (docs/protocol.md)' },
    },
  )
  return app
}

interface Route {
  method: string
  path: string
  hooks: RouteSchemas
}

/** What the routes answer to; paths are only asked about for requests that failed. */
const routeTable = (routesOf: () => Route[]): RouteTable => {
  let compiled: { method: string; pattern: RegExp }[] = []
  const schemas = new Map<string, RouteSchemas>()
  return {
    methodsOf(path) {
      const routes = routesOf()
      if (compiled.length !== routes.length)
        compiled = routes.map(({ method, path: template }) => ({ method, pattern: patternOf(template) }))
      const methods = new Set(
        compiled.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method),
      )
      if (methods.has('GET')) methods.add('HEAD')
      return [...methods]
    },
    schemasOf(method, template) {
      const answering = method === 'HEAD' ? 'GET' : method
      const name = `${answering} ${template}`
      const known = schemas.get(name)
      if (known) return known
      // Templates are as many as the routes: unmatched requests have none.
      const hooks = routesOf().find((route) => route.method === answering && route.path === template)?.hooks
      if (hooks) schemas.set(name, hooks)
      return hooks ?? {}
    },
  }
}

const patternOf = (template: string): RegExp => {
  const source = template
    .replace(/\/$/, '')
    .replaceAll(/[.+^${}()|[\]\\]/g, String.raw`\$&`)
    .replaceAll(/:[^/]+/g, '[^/]+')
    .replaceAll('*', '.*')
  return new RegExp(`^${source}/?$`)
}
