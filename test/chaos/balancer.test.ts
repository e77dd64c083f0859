// The balancer of faults: requests go to ready servers only, and those in flight to a silent server end and are repeated.
import { expect, test } from 'bun:test'
import { createApi } from '../oracle/api.ts'
import { eventually } from '../support/eventually.ts'
import { readinessOf, startBalancer } from './balancer.ts'

type State = 'ready' | 'unready' | 'silent'

/** A server whose health check and requests answer as its state says; a silent one never answers. */
const startServer = () => {
  const never = new Promise<Response>(() => {})
  const server = {
    state: 'ready' as State,
    requests: 0,
    url: '',
    [Symbol.asyncDispose]: () => http.stop(true),
  }
  const http = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    idleTimeout: 0,
    fetch(request) {
      if (!request.url.endsWith('/readyz')) server.requests += 1
      if (server.state === 'silent') return never
      return Response.json({}, { status: server.state === 'ready' ? 200 : 503 })
    },
  })
  server.url = `http://127.0.0.1:${http.port}`
  return server
}

test('a server that is not ready receives no requests, and again some when it is', async () => {
  await using a = startServer()
  await using b = startServer()
  const servers = [a, b]
  const api = createApi({ servers })
  await using _balancer = startBalancer({ servers }, api)
  a.state = 'unready'
  await eventually(() => expect([...api.avoided]).toEqual([a.url]))
  for (let n = 0; n < 4; n += 1) await api.call('GET', '/api/tasks', null)
  expect([a.requests, b.requests]).toEqual([0, 4])
  a.state = 'ready'
  await eventually(() => expect(api.avoided.size).toBe(0))
  await Promise.all([api.call('GET', '/api/tasks', null), api.call('GET', '/api/tasks', null)])
  expect(a.requests).toBe(1)
  expect(api.counts).toMatchObject({ failed: 0, refused: 0, hung: 0 })
})

test('requests in flight to a server that became silent are repeated elsewhere and did not hang', async () => {
  await using a = startServer()
  await using b = startServer()
  const servers = [a, b]
  const api = createApi({ servers })
  a.state = 'silent'
  const calls = Promise.all([api.call('GET', '/api/tasks', null), api.call('GET', '/api/tasks', null)])
  await eventually(() => expect(a.requests).toBe(1))
  await using _balancer = startBalancer({ servers }, api)
  expect((await calls).map(({ status }) => status)).toEqual([200, 200])
  expect(api.counts).toMatchObject({ failed: 1, refused: 0, hung: 0 })
  expect(await readinessOf(a.url)).toBe('silent')
})

test('a request to a port that nothing listens on counts as refused, not as failed', async () => {
  await using a = startServer()
  const b = startServer()
  const { url } = b
  await b[Symbol.asyncDispose]()
  expect(await readinessOf(url)).toBe('refused')
  const api = createApi({ servers: [a, { url }] })
  await Promise.all([api.call('GET', '/api/tasks', null), api.call('GET', '/api/tasks', null)])
  expect(api.counts.refused).toBeGreaterThan(0)
  expect(api.counts.failed).toBe(0)
})
