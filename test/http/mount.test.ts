// What a request must not cost: counted, because times depend on the machine. Elysia runs no hook, nothing waits for a
// timer, and what a request allocates is a known number of objects.
import { afterAll, beforeAll, expect, spyOn, test } from 'bun:test'
import { createApp } from '../../src/app/http-app.ts'
import { mountRoutes } from '../../src/http/mount.ts'
import { RouteGroup } from '../../src/http/route-group.ts'
import { Sockets } from '../../src/ws/sockets.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

let world: World
let person: Person

beforeAll(async () => {
  world = await startWorld({ rateLimit: true, requestsPerMinute: 1_000_000, registrationsPerHour: 100 })
  person = await world.register()
})

afterAll(() => world[Symbol.asyncDispose](), 20_000)

test('no route of the application has a hook of Elysia, and the application has one for errors alone', async () => {
  await using sockets = new Sockets(world.server.deps)
  const { app, routes } = createApp(world.server.deps, sockets)
  expect(app.routes).toHaveLength(routes.length)
  const hooked = app.routes.filter(({ hooks }) =>
    Object.values(hooks).some((hook) => Array.isArray(hook) && hook.length > 0),
  )
  expect(hooked.map(({ method, path }) => `${method} ${path}`)).toEqual([])
  const hooks = Object.entries(app.event).filter(([, those]) => Array.isArray(those) && those.length > 0)
  expect(hooks.map(([name]) => name)).toEqual(['error'])
})

/** An application with a guarded route that answers at once. */
const constant = () => {
  let handled = 0
  const group = new RouteGroup().get('/api/constant', () => {
    handled += 1
    return { status: 200, headers: {}, body: '{}' }
  })
  const app = mountRoutes(world.server.deps, [group]).listen({ port: 0, hostname: '127.0.0.1' })
  return {
    get handled() {
      return handled
    },
    ask: async () => {
      const answer = await fetch(`http://127.0.0.1:${app.server!.port}/api/constant`, {
        headers: { Authorization: `Bearer ${person.token}` },
      })
      expect(answer.status).toBe(200)
      await answer.text()
    },
    [Symbol.asyncDispose]: async () => {
      await app.stop(true)
    },
  }
}

test('a request without a body starts no timer and schedules nothing', async () => {
  await using route = constant()
  await route.ask()
  const requests = 300
  const timers = [
    spyOn(globalThis, 'setTimeout'),
    spyOn(globalThis, 'setImmediate'),
    spyOn(globalThis, 'queueMicrotask'),
  ]
  try {
    for (let n = 0; n < requests; n += 1) await route.ask()
    // The process has timers of its own, some ten a second: a request takes far less than a tenth of one.
    for (const timer of timers) expect(timer.mock.calls.length).toBeLessThan(requests / 3)
  } finally {
    for (const timer of timers) timer.mockRestore()
  }
  expect(route.handled).toBe(requests + 1)
})

test('a known token within its limits reaches the handler before the first await', async () => {
  const { deps } = world.server
  const group = new RouteGroup().get('/api/constant', () => ({ status: 200, headers: {}, body: '{}' }))
  const [route] = group.routes
  await using running = constant()
  await running.ask() // the token is memoised, the bucket holds grants
  const { createPipeline } = await import('../../src/http/pipeline.ts')
  const { createRouteTable } = await import('../../src/http/route-table.ts')
  const serve = createPipeline(deps, createRouteTable([route!]), () => '127.0.0.1').serve(route!)
  const request = new Request('http://localhost/api/constant', {
    headers: { Authorization: `Bearer ${person.token}` },
  })
  const answer = serve(Object.assign(request, { params: {} }))
  expect(answer).toBeInstanceOf(Response)
})
