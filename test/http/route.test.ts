// What routes declare: which are public, which take conditions, and how each reads its body. A test application with a
// reader of its own shows that another kind of body needs no change of the pipeline.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { Type } from '@sinclair/typebox'
import { AppError } from '../../src/errors.ts'
import type { BodyReader } from '../../src/http/body/reader.ts'
import { mountRoutes } from '../../src/http/mount.ts'
import { describe as openApiOf } from '../../src/http/openapi/openapi.ts'
import { describedIn } from '../../src/http/route.ts'
import { RouteGroup } from '../../src/http/route-group.ts'
import { Id } from '../../src/model/scalar.ts'
import { eventually } from '../support/eventually.ts'
import { routesOf, type Route } from '../support/routes.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

let world: World
let person: Person
let routes: Route[]

beforeAll(async () => {
  world = await startWorld()
  person = await world.register()
  routes = await routesOf(world)
})

afterAll(() => world[Symbol.asyncDispose](), 20_000)

const namesOf = (chosen: Route[]): string[] =>
  chosen.map(({ method, template }) => `${method} ${template}`).toSorted()

describe('the declarations of the routes', () => {
  test('make exactly these public', () => {
    expect(namesOf(routes.filter(({ traits }) => traits.access === 'public'))).toEqual([
      'GET /admin/dead-letters.css',
      'GET /admin/dead-letters.js',
      'GET /admin/keep-signed-in.js',
      'GET /admin/sign-in',
      'GET /admin/sign-in.css',
      'GET /admin/sign-in.js',
      'GET /api/asyncapi.json',
      'GET /api/docs',
      'GET /api/docs/start.js',
      'GET /api/docs/swagger-ui.css',
      'GET /api/docs/swagger-ui.js',
      'GET /api/mail/unsubscribe',
      'GET /api/openapi.json',
      'GET /api/pages/accept-invitation',
      'GET /api/pages/account.js',
      'GET /api/pages/page.css',
      'GET /api/pages/reset-password',
      'GET /api/pages/verify-email',
      'GET /api/ws',
      'GET /board',
      'GET /board/board.css',
      'GET /board/board.js',
      'GET /health',
      'GET /livez',
      'GET /metrics',
      'GET /problems',
      'GET /problems/:code',
      'GET /readyz',
      'GET /version',
      'POST /api/auth/email/verify/confirm',
      'POST /api/auth/login',
      'POST /api/auth/logout',
      'POST /api/auth/password-reset/confirm',
      'POST /api/auth/password-reset/request',
      'POST /api/auth/refresh',
      'POST /api/auth/register',
      'POST /api/mail/unsubscribe',
    ])
  })

  test('exempt exactly these from the request limit', () => {
    expect(namesOf(routes.filter(({ traits }) => traits.rateLimit !== 'requests'))).toEqual([
      'GET /api/ws',
      'GET /health',
      'GET /livez',
      'GET /metrics',
      'GET /readyz',
      'GET /version',
    ])
  })

  test('compare versions on exactly these', () => {
    expect(namesOf(routes.filter(({ traits }) => traits.versioned))).toEqual([
      'DELETE /api/comments/:id',
      'DELETE /api/projects/:id',
      'DELETE /api/tasks/:id',
      'DELETE /api/tasks/:id/tags/:tag',
      'PATCH /api/comments/:id',
      'PATCH /api/projects/:id',
      'PATCH /api/tasks/:id',
      'PUT /api/tasks/:id',
    ])
  })

  test('take an Idempotency-Key on every guarded write of the API outside /api/auth, and nowhere else', () => {
    const writes = routes.filter(
      ({ method, isGuarded, template }) =>
        method !== 'GET' && isGuarded && template.startsWith('/api/') && !template.startsWith('/api/auth/'),
    )
    expect(namesOf(routes.filter(({ traits }) => traits.idempotent))).toEqual(namesOf(writes))
  })
})

describe('a body', () => {
  /** Passes chunks on. */
  const rawBody: BodyReader = {
    kind: 'stream',
    maxBytes: 16 * 1024,
    mediaTypes: () => ['application/octet-stream'],
    read: async ({ request, mediaType, complete }) => {
      if (mediaType !== 'application/octet-stream') throw new AppError('unsupported_media_type')
      return request.body?.pipeThrough(new TransformStream({ flush: complete }))
    },
  }
  const detail = describedIn('Tasks')
  const bytesOf = (body: unknown) => new Response(body as ReadableStream).bytes()

  const things = () =>
    new RouteGroup('/api/things')
      .post('', () => ({ status: 200, headers: {}, body: '{}' }), { detail: detail('Takes no body') })
      .post(
        '/:id/content',
        async ({ body }) => ({ status: 200, headers: {}, body: new Blob([await bytesOf(body)]) }),
        {
          params: Type.Object({ id: Id() }),
          response: { 200: Type.String() },
          detail: detail('Consume a stream and answer its bytes', {
            body: rawBody,
            produces: 'application/octet-stream',
          }),
        },
      )

  const open = () => {
    const app = mountRoutes(world.server.deps, [things()]).listen({ port: 0, hostname: '127.0.0.1' })
    const url = `http://127.0.0.1:${app.server!.port}`
    return {
      send: (path: string, type: string, body: RequestInit['body'], token: string | null = person.token) =>
        fetch(url + path, {
          method: 'POST',
          headers: { 'Content-Type': type, ...(token !== null && { Authorization: `Bearer ${token}` }) },
          body: body ?? null,
        }),
      [Symbol.asyncDispose]: async () => {
        await app.stop(true)
      },
    }
  }

  const content = '/api/things/01933b6e-7c4a-7d3e-8f21-000000000000/content'

  test('is read by the reader that its route names, beyond the limit of JSON', async () => {
    await using server = open()
    const sent = crypto.getRandomValues(new Uint8Array(64 * 1024))
    const parts = Array.from({ length: 48 }, () => sent) // 3 MiB
    const answer = await server.send(content, 'application/octet-stream', new Blob(parts))
    expect(answer.status).toBe(200)
    expect((await answer.bytes()).length).toBe(48 * sent.length)
    await eventually(() => expect(world.server.deps.bodies.taken).toBe(0))
  })

  test('of a stream reserves no more than its reader holds', async () => {
    await using server = open()
    const gate = Promise.withResolvers<void>()
    const slow = new ReadableStream({
      async pull(controller) {
        controller.enqueue(new Uint8Array(200 * 1024))
        await gate.promise
        controller.close()
      },
    })
    const answer = server.send(content, 'application/octet-stream', slow)
    await eventually(() => expect(world.server.deps.bodies.taken).toBe(16 * 1024))
    gate.resolve()
    expect((await (await answer).bytes()).length).toBe(200 * 1024)
    await eventually(() => expect(world.server.deps.bodies.taken).toBe(0))
  })

  test('is not reached without credentials, and validation follows its reader', async () => {
    await using server = open()
    expect((await server.send(content, 'text/plain', 'x', null)).status).toBe(401)
    expect((await server.send(content, 'application/json', '{}')).status).toBe(415)
    const other = await server.send('/api/things/none/content', 'application/octet-stream', 'x')
    expect(other.status).toBe(404)
  })

  test('of a route that declares none is read as JSON and refused for its members', async () => {
    await using server = open()
    expect((await server.send('/api/things', 'application/octet-stream', 'x')).status).toBe(415)
    expect((await server.send('/api/things', 'application/json', '{')).status).toBe(400)
    expect((await server.send('/api/things', 'application/json', '{"a":1}')).status).toBe(422)
    expect((await server.send('/api/things', 'application/json', '{}')).status).toBe(200)
  })

  test('is in the document with the media types of its reader, and the answer with its own', async () => {
    const document: any = await openApiOf(things().routes)
    const { requestBody, responses } = document.paths['/api/things/{id}/content'].post
    expect(Object.keys(requestBody.content)).toEqual(['application/octet-stream'])
    expect(Object.keys(responses['200'].content)).toEqual(['application/octet-stream'])
    expect(document.paths['/api/things'].post.requestBody).toBeUndefined()
  })
})
