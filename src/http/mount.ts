// Registers route groups on Elysia: each route with the one handler that the pipeline composed for it, and in Bun's
// router every other method and path. Invariant: Elysia runs no hook of its own, so that a route cannot be registered
// around the pipeline, and the order of registration decides nothing.
import { Elysia } from 'elysia'
import { clientAddress } from './client-address.ts'
import { remainingRoutes } from './exact-path.ts'
import { createPipeline, type PipelineDeps } from './pipeline.ts'
import type { RouteGroup } from './route-group.ts'
import { createRouteTable } from './route-table.ts'

/** @returns an app that does not listen yet. */
export const mountRoutes = (deps: PipelineDeps, groups: readonly RouteGroup[]) => {
  const app = new Elysia({
    normalize: false,
    // Without this a short Host header shifts routing by its length.
    handler: { standardHostname: false },
  })
  const { trustedProxies } = deps.config
  const addressOf = (request: Request): string => {
    const peer = app.server?.requestIP(request)?.address ?? ''
    const forwardedFor = trustedProxies > 0 ? request.headers.get('x-forwarded-for') : null
    return clientAddress(forwardedFor, peer, trustedProxies)
  }
  const routes = groups.flatMap((group) => group.routes)
  const table = createRouteTable(routes)
  const pipeline = createPipeline(deps, table, addressOf)
  for (const route of routes) {
    const serve = pipeline.serve(route)
    // Elysia reads the source of a handler: of one that takes more than the request it prepares more.
    app.route(route.method, route.path, ({ request }) => serve(request))
  }
  app.config.serve = {
    routes: remainingRoutes(table, (request, isRouted) => pipeline.refuse(request, isRouted)),
  }
  // What Bun's router does not know at all, such as `OPTIONS *`. After the routes, which must have no hook.
  app.onError(({ error, request }) => pipeline.fail(request, error))
  return app
}
