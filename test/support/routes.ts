// Every route of the application, read from the application itself: generated tests iterate over it and include a new
// route without an edit.
import { createApp } from '../../src/app/http-app.ts'
import type { RouteSchemas } from '../../src/http/violations.ts'
import type { RouteTraits } from '../../src/http/route.ts'
import { Sockets } from '../../src/ws/sockets.ts'
import type { World } from './world.ts'

export interface Route {
  method: string
  /** As declared, `/api/tasks/:id`. */
  template: string
  /** With an id that names nothing in the place of each parameter. */
  path: string
  isGuarded: boolean
  takesBody: boolean
  /** Whether the body it reads, if any, is JSON. */
  readsJson: boolean
  takesQuery: boolean
  schemas: RouteSchemas
  traits: RouteTraits
}

const unknownId = '01933b6e-7c4a-7d3e-8f21-000000000000'

export const routesOf = async ({ server }: World): Promise<Route[]> => {
  await using sockets = new Sockets(server.deps)
  return createApp(server.deps, sockets).routes.map(({ method, path: template, hooks, traits }) => {
    const path = template.replaceAll(/:\w+/g, unknownId).replace(/(.)\/$/, '$1')
    return {
      method,
      template,
      path,
      isGuarded: traits.access !== 'public',
      takesBody: hooks.body !== undefined,
      readsJson: traits.body.mediaTypes(method).includes('application/json'),
      takesQuery: hooks.query !== undefined,
      schemas: hooks,
      traits,
    }
  })
}
