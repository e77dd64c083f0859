// The whole server on one Elysia instance, not listening: the frame first, then every route group.
import { Elysia } from 'elysia'
import type { Deps } from './deps.ts'
import { frame } from './http/frame.ts'
import { healthRoutes } from './http/routes/health.ts'

/** @returns an app for `listen`, or for `handle` in tests. */
export const createApp = (deps: Deps) => {
  const app = new Elysia({
    normalize: false,
    // Without this a short Host header shifts routing by its length.
    handler: { standardHostname: false },
  })
  app.use(frame(deps, (path) => methodsOf(app.routes, path)))
  app.use(healthRoutes(deps))
  return app
}

let compiled: { method: string; pattern: RegExp }[] = []

/** The methods the routes answer a path with. Only asked about requests that failed. */
const methodsOf = (routes: { method: string; path: string }[], path: string): string[] => {
  if (compiled.length !== routes.length) {
    compiled = routes.map(({ method, path: template }) => ({
      method,
      pattern: new RegExp(
        `^${template
          .replace(/\/$/, '')
          .replaceAll(/[.+^${}()|[\]\\]/g, String.raw`\$&`)
          .replaceAll(/:[^/]+/g, '[^/]+')
          .replaceAll('*', '.*')}/?$`,
      ),
    }))
  }
  return [...new Set(compiled.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method))]
}
