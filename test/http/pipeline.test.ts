// The request pipeline on every route: authentication before anything else, one shape of error, the security headers,
// request ids, and paths that lead to exactly one route.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import type { ErrorCode } from '../../src/errors.ts'
import type { Problem } from '../../src/model/problem.ts'
import type { SessionAnswer } from '../../src/model/user.ts'
import { routesOf, type Route } from '../support/routes.ts'
import { startWorld, type Answer, type Person, type World } from '../support/world.ts'

let world: World
let person: Person
let routes: Route[]

beforeAll(async () => {
  world = await startWorld()
  person = await world.register()
  routes = await routesOf(world)
})

afterAll(() => world[Symbol.asyncDispose](), 20_000)

const expectProblem = (answer: Answer<Problem>, status: number, code: ErrorCode, path: string): void => {
  expect({ path, status: answer.status, code: answer.body.code }).toEqual({ path, status, code })
  expect(answer.headers.get('content-type')).toBe('application/problem+json')
  expect(answer.body).toMatchObject({ type: `/problems/${code}`, status, instance: path.split('?')[0]! })
  expect(answer.body.requestId).toBe(answer.headers.get('x-request-id')!)
}

describe('without valid credentials', () => {
  const credentials: [string, Record<string, string>][] = [
    ['no token', {}],
    ['another scheme', { Authorization: 'Basic YTpi' }],
    ['a token that is none', { Authorization: 'Bearer none' }],
    ['two tokens', { Authorization: 'Bearer a, Bearer b' }],
  ]

  for (const [what, headers] of credentials) {
    test(`every guarded route answers 401 to ${what}, before it looks at anything else`, async () => {
      const guarded = routes.filter((route) => route.isGuarded)
      expect(guarded.length).toBeGreaterThan(20)
      const before = await world.entryCount()
      for (const { method, path } of guarded) {
        const hasBody = method !== 'GET'
        const answer = await world.call(method, `${path}?no-such-parameter=1`, {
          headers: { ...headers, ...(hasBody && { 'Content-Type': 'text/plain' }) },
          ...(hasBody && { body: '{"half":' }),
        })
        expectProblem(answer, 401, 'unauthenticated', path)
        expect(answer.headers.get('www-authenticate')).toBe('Bearer')
      }
      expect(await world.entryCount()).toBe(before)
    })
  }

  test('HEAD is guarded like GET', async () => {
    for (const { path } of routes.filter((route) => route.isGuarded && route.method === 'GET'))
      expect({ path, status: (await fetch(world.url + path, { method: 'HEAD' })).status }).toEqual({
        path,
        status: 401,
      })
  })

  test('an invalid id is 401 without credentials', async () => {
    for (const { method, template } of routes.filter((route) => route.isGuarded && /:/.test(route.template)))
      expect((await world.call(method, template.replaceAll(/:\w+/g, 'no-id'))).status).toBe(401)
  })
})

describe('every answer', () => {
  test('carries the security headers and names no server software, for every status', async () => {
    const { token } = person
    const project = await world.call('POST', '/api/projects', { token, body: { name: 'Headers' } })
    const path = `/api/projects/${project.body.id}`
    const answers: [number, Answer<unknown>][] = [
      [200, await world.call('GET', path, { token })],
      [201, project],
      [
        304,
        await world.call('GET', path, { token, headers: { 'If-None-Match': project.headers.get('etag')! } }),
      ],
      [400, await world.call('POST', '/api/projects', { token, body: '{' })],
      [401, await world.call('GET', path)],
      [404, await world.call('GET', '/none')],
      [405, await world.call('POST', '/livez')],
      [412, await world.call('PATCH', path, { token, body: { name: 'x' }, headers: { 'If-Match': '"0"' } })],
      [413, await world.call('POST', '/api/projects', { token, body: `"${'x'.repeat(1024 * 1024)}"` })],
      [
        415,
        await world.call('POST', '/api/projects', {
          token,
          body: 'x',
          headers: { 'Content-Type': 'text/plain' },
        }),
      ],
      [422, await world.call('POST', '/api/projects', { token, body: {} })],
      [500, await failing(() => world.call('GET', '/readyz'))],
      [204, await world.call('DELETE', path, { token })],
    ]
    for (const [status, { status: answered, headers }] of answers) {
      expect({
        status: answered,
        sniff: headers.get('x-content-type-options'),
        policy: headers.get('content-security-policy'),
        referrer: headers.get('referrer-policy'),
        server: headers.get('server'),
        powered: headers.get('x-powered-by'),
      }).toEqual({
        status,
        sniff: 'nosniff',
        policy: "default-src 'none'; frame-ancestors 'none'",
        referrer: 'no-referrer',
        server: null,
        powered: null,
      })
      expect(headers.get('x-request-id')).toMatch(/^\S+$/)
      expect(headers.get('cache-control')).toMatch(/no-store|private, no-cache/)
    }
  })

  test('of an internal error contains nothing about its cause', async () => {
    const { status, body } = await failing(() => world.call<Problem>('GET', '/readyz'))
    expect(status).toBe(500)
    expect(Object.keys(body).toSorted((a, b) => a.localeCompare(b))).toEqual([
      'code',
      'detail',
      'instance',
      'requestId',
      'status',
      'title',
      'type',
    ])
    expect(JSON.stringify(body)).not.toContain('planted')
  })
})

/** Something no route expects goes wrong while `work` runs. */
const failing = async <T>(work: () => Promise<T>): Promise<T> => {
  const { deps } = world.server
  const { redisHealth } = deps
  deps.redisHealth = () => {
    throw Object.assign(new TypeError('planted: select * from users on 10.0.0.7'), {
      code: 'VALIDATION',
      status: 200,
    })
  }
  try {
    return await work()
  } finally {
    Object.assign(deps, { redisHealth })
  }
}

describe('X-Request-Id', () => {
  test('is echoed where it is one, in header and problem', async () => {
    for (const id of ['abc', '01933b6e-7c4a-7d3e-8f21-5a9c0b7d1e42', 'a'.repeat(128), 'trace:1/2=3+4@x']) {
      const answer = await world.call('GET', '/none', { headers: { 'X-Request-Id': id } })
      expect(answer.headers.get('x-request-id')).toBe(id)
      expect(answer.body.requestId).toBe(id)
    }
  })

  test('is generated where it is invalid', async () => {
    for (const id of ['', 'a'.repeat(129), 'with space', '<script>', 'é', '"quoted"', 'a,b']) {
      const answer = await world.call('GET', '/none', { headers: { 'X-Request-Id': id } })
      expect(answer.headers.get('x-request-id')).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/)
    }
  })
})

describe('the log of a server', () => {
  test('has one line for each request, and nothing that is secret or personal in any', async () => {
    const child = Bun.spawn([process.execPath, 'src/main.ts', 'server', '--json'], {
      cwd: join(import.meta.dir, '../..'),
      env: {
        PATH: process.env['PATH'],
        DATABASE_URL: world.databaseUrl,
        REDIS_URL: world.redisUrl,
        JWT_SECRETS: 'k1:planted-secret-0123456789abcdef-planted',
        RATE_LIMIT: 'off',
        PORT: '0',
        LOG_LEVEL: 'trace',
      },
      stdout: 'pipe',
      stderr: 'pipe',
    })
    const lines = logLines(child.stdout)
    const stderr = new Response(child.stderr).text()
    const { url } = (await lines.next()).value!
    const person = {
      email: 'planted.person@example.com',
      password: 'planted password 7',
      name: 'Planted Name',
    }
    const ask = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
      fetch(`${String(url)}${path}`, {
        method,
        headers: { 'Content-Type': 'application/json', 'X-Request-Id': 'the-request', ...headers },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      })
    const registered: SessionAnswer = await (await ask('POST', '/api/auth/register', person)).json()
    const bearer = { Authorization: `Bearer ${registered.accessToken}` }
    const requested = [
      ask('POST', '/api/auth/login', { ...person, name: undefined }),
      ask('POST', '/api/auth/login', { email: person.email, password: 'planted wrong' }),
      ask('POST', '/api/auth/register', person),
      ask('POST', '/api/auth/refresh', { refreshToken: registered.refreshToken }),
      ask('POST', '/api/auth/refresh', undefined, { Cookie: 'tide_refresh=planted-cookie' }),
      ask('GET', `/api/users/search?q=${encodeURIComponent(person.email)}`, undefined, bearer),
      ask('GET', '/api/projects?planted=1', undefined, { Authorization: 'Bearer planted-token' }),
      ask('POST', '/api/projects', { name: 'planted content' }, bearer),
      ask('GET', '/readyz'),
      ask('GET', '/version', undefined, {
        traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
      }),
      ask('GET', '/livez', undefined, { traceparent: '00-planted-planted-01' }),
    ]
    await Promise.all(requested)
    child.kill('SIGTERM')
    const logged: Record<string, unknown>[] = []
    for await (const line of lines) logged.push(line)
    expect(await child.exited).toBe(0)

    const text = JSON.stringify(logged) + (await stderr)
    expect(text.toLowerCase()).not.toContain('planted')
    expect(text).not.toContain(registered.accessToken)
    expect(text).not.toContain(registered.refreshToken)
    expect(logged.map(({ msg }) => msg)).toContain(
      "Cookies and sockets are allowed for pages of the server's own origin, loopback and private-network addresses (development only)",
    )
    const requests = logged.filter(({ msg }) => msg === 'request')
    expect(requests.length).toBe(requested.length + 1)
    for (const line of requests)
      expect(line).toMatchObject({ requestId: 'the-request', level: 'info', name: 'server' })
    expect(requests.every(({ status, durationMs }) => Number(status) >= 200 && Number(durationMs) >= 0)).toBe(
      true,
    )
    expect(requests.filter(({ traceId }) => traceId !== undefined)).toMatchObject([
      {
        path: '/version',
        traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
        parentSpanId: '00f067aa0ba902b7',
      },
    ])
    expect(requests.find(({ path }) => path === '/api/users/search')).toMatchObject({
      method: 'GET',
      userId: registered.user.id,
    })
  }, 30_000)
})

/** Every line is one JSON object, the ready line too. */
async function* logLines(stream: ReadableStream<Uint8Array>): AsyncGenerator<Record<string, unknown>> {
  let rest = ''
  const decoder = new TextDecoder()
  for await (const chunk of stream) {
    rest += decoder.decode(chunk, { stream: true })
    const whole = rest.split('\n')
    rest = whole.pop()!
    for (const line of whole) yield JSON.parse(line)
  }
}
