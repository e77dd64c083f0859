// The OpenAPI document describes the server exactly: every route, no other, each with its security and what it
// can answer; valid by the official schema; every example valid by the model it illustrates.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { Validator } from '@seriousme/openapi-schema-validator'
import { Value } from '@sinclair/typebox/value'
import { Ajv2020 } from 'ajv/dist/2020'
import { codes, errorCodes, statusOf } from '../../src/errors.ts'
import { exampleOf, models, plain } from '../../src/http/openapi/components.ts'
import { createContract, formats } from '../support/contract.ts'
import { routesOf, type Route } from '../support/routes.ts'
import { startWorld, testPassword, type CallOptions, type World } from '../support/world.ts'

interface Operation {
  operationId: string
  summary: string
  tags: string[]
  security: object[]
  parameters?: { name: string; in: string; $ref?: string; schema: { type: string } }[]
  requestBody?: { content: Record<string, Content> }
  responses: Record<string, Answered>
}

interface Answered {
  $ref?: string
  description: string
  content?: Record<string, Content>
  headers?: Record<string, object>
}

interface Content {
  schema: { $ref?: string; examples?: unknown[] }
  example?: unknown
}

interface Document {
  openapi: string
  tags: { name: string }[]
  paths: Record<string, Record<string, Operation>>
  components: Record<'schemas' | 'responses' | 'securitySchemes', Record<string, unknown>>
}

let world: World
let document: Document
let routes: Route[]
let operations: { route: Route; operation: Operation }[]

const templateOf = (path: string): string => path.replaceAll(/:(\w+)/g, '{$1}').replace(/(.)\/$/, '$1')

const hidden = (route: Route): boolean =>
  /^\/(?:api\/docs|api\/pages|admin|board|problems)(?:\/|$)/.test(route.template) ||
  /^\/api\/(open|async)api\.json$/.test(route.template)

const operationOf = ({ method, template }: Route): Operation => {
  const operation = document.paths[templateOf(template)]?.[method.toLowerCase()]
  if (!operation) throw new Error(`${method} ${template} is not in the document`)
  return operation
}

beforeAll(async () => {
  world = await startWorld()
  document = (await world.call<Document>('GET', '/api/openapi.json')).body
  routes = (await routesOf(world)).filter((route) => !hidden(route))
  operations = routes.map((route) => ({
    route,
    operation: operationOf(route),
  }))
})

afterAll(() => world[Symbol.asyncDispose]())

/** Fails with the names of the routes a rule does not hold for. */
const expectOfEach = (rule: (operation: Operation, route: Route) => boolean): void => {
  expect(
    operations
      .filter(({ operation, route }) => !rule(operation, route))
      .map(({ route }) => `${route.method} ${route.template}`),
  ).toEqual([])
}

const isWrite = (route: Route): boolean => route.method !== 'GET'
const takes = (operation: Operation, name: string): boolean =>
  operation.parameters?.some(({ $ref }) => $ref === `#/components/parameters/${name}`) ?? false
const documents = (operation: Operation, ...statuses: number[]): boolean =>
  statuses.every((status) => operation.responses[status]?.$ref === `#/components/responses/Problem${status}`)

describe('the document', () => {
  test('is valid OpenAPI 3.1', async () => {
    const { valid, errors } = await new Validator().validate({ ...structuredClone(document) })
    expect(errors ?? []).toEqual([])
    expect(valid).toBe(true)
    expect(document.openapi).toBe('3.1.0')
  })

  test('has no reference that leads nowhere', () => {
    const targets = JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)
    for (const [, pointer] of targets) {
      const target = pointer!
        .split('/')
        .reduce<unknown>(
          (at, key): unknown => (typeof at === 'object' && at !== null ? Reflect.get(at, key) : undefined),
          document,
        )
      expect({ pointer, found: target !== undefined }).toEqual({ pointer, found: true })
    }
  })

  test('names every security scheme that an operation accepts, and no other', () => {
    const accepted = operations.flatMap(({ operation }) => operation.security.flatMap(Object.keys))
    expect(Object.keys(document.components.securitySchemes).toSorted()).toEqual(
      [...new Set(accepted)].toSorted(),
    )
    expect(document.components.securitySchemes['refreshCookie']).toMatchObject({
      type: 'apiKey',
      in: 'cookie',
      name: 'tide_refresh',
    })
    const ofCookie = operations.filter(({ operation }) =>
      operation.security.some((alternative) => 'refreshCookie' in alternative),
    )
    expect(ofCookie.map(({ route, operation }) => [route.template, operation.security])).toEqual([
      ['/api/auth/refresh', [{}, { refreshCookie: [] }]],
      ['/api/auth/logout', [{}, { bearer: [] }, { refreshCookie: [] }]],
    ])
  })

  test('is the same on every request and costs nothing when it is known', async () => {
    const first = await world.call('GET', '/api/openapi.json')
    const etag = first.headers.get('etag')!
    const second = await world.call('GET', '/api/openapi.json', { headers: { 'If-None-Match': etag } })
    expect(second.status).toBe(304)
  })

  test('names every error code, under the status it has', () => {
    for (const code of errorCodes) {
      const response = document.components.responses[`Problem${statusOf[codes[code][0]]}`]
      expect(JSON.stringify(response)).toContain(`"${code}":{"value":`)
    }
  })

  test('gives an example of each shape that is one', () => {
    const wrong = Object.entries(models).flatMap(([name, model]) => {
      const error = Value.Errors(model, exampleOf(plain(model))).First()
      return error ? [`${name}${error.path}: ${error.message}`] : []
    })
    expect(wrong).toEqual([])
  })
})

describe('the routes', () => {
  test('are exactly those of the document', () => {
    const documented = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
    )
    const existing = routes.map((route) => `${route.method} ${templateOf(route.template)}`)
    expect(documented.toSorted()).toEqual(existing.toSorted())
  })

  test('have an id of their own, a known tag and a summary', () => {
    const known = new Set(document.tags.map(({ name }) => name))
    expectOfEach(({ summary, tags }) => summary.length > 5 && tags?.length === 1 && known.has(tags[0]!))
    const ids = operations.map(({ operation }) => operation.operationId)
    expect(ids.length).toBe(new Set(ids).size)
  })

  test('declare the tokens that the guard accepts', () => {
    const accepted = { public: '', session: 'bearer', admin: 'bearer', bearer: 'bearer,personalToken' }
    // An empty alternative: the credentials beside it are optional, and the operation is public.
    const required = (security: object[]): string[] =>
      security.some((one) => Object.keys(one).length === 0) ? [] : security.flatMap(Object.keys)
    expectOfEach(({ security }, { traits }) => required(security).join() === accepted[traits.access])
  })

  test('describe their successful answers', () => {
    expectOfEach(({ responses }) => {
      const successes = Object.keys(responses).filter((status) => /^[12]/.test(status))
      return (
        successes.length > 0 &&
        successes.every(
          (status) => ['101', '202', '204'].includes(status) || responses[status]!.content !== undefined,
        )
      )
    })
  })

  test('give an example of each JSON body and answer, which fits its schema', () => {
    const ajv = new Ajv2020({ strict: false, formats, allErrors: true })
    ajv.addSchema(document, 'document')
    const wrong: string[] = []
    let own = 0
    for (const { route, operation } of operations) {
      const place = ['paths', templateOf(route.template), route.method.toLowerCase()]
      const bodies: [string[], Record<string, Content> | undefined][] = [
        [[...place, 'requestBody'], operation.requestBody?.content],
        ...Object.entries(operation.responses).map(
          ([status, { content }]) => [[...place, 'responses', status], content] as [string[], typeof content],
        ),
      ]
      for (const [pointer, content] of bodies)
        for (const [type, { schema, example }] of Object.entries(content ?? {})) {
          const isModel = schema.$ref?.startsWith('#/components/schemas/') ?? false
          if (!type.endsWith('json') || isModel) continue
          own += 1
          const path = [...pointer, 'content', type, 'schema']
          const $ref = path.map((part) => encodeURIComponent(part.replaceAll('/', '~1'))).join('/')
          const fits = ajv.getSchema(`document#/${$ref}`)!
          for (const one of schema.examples ?? [example])
            if (!fits(one)) wrong.push(`${path.join(' ')}: ${ajv.errorsText(fits.errors)}`)
        }
    }
    expect(wrong).toEqual([])
    expect(own).toBeGreaterThan(20)
  })

  test('describe the problems they can answer', () => {
    expectOfEach((operation) => documents(operation, 400, 500, 503))
    expectOfEach((operation, route) => !route.isGuarded || documents(operation, 401, 403, 429))
    expectOfEach((operation, route) => !route.template.includes(':') || documents(operation, 404))
    expectOfEach((operation, route) => !route.takesBody || documents(operation, 413, 415, 422))
    expectOfEach((operation, route) => !isWrite(route) || documents(operation, 409))
  })

  test('take an Idempotency-Key where they write, and If-Match where a version can be met', () => {
    expectOfEach(
      (operation, route) =>
        takes(operation, 'IdempotencyKey') ===
        (route.isGuarded && isWrite(route) && !route.template.startsWith('/api/auth/')),
    )
    expectOfEach(
      (operation, { template }) =>
        (takes(operation, 'IfMatch') || template === '/api/tasks/batch') === documents(operation, 412),
    )
    const guardedByVersion = operations.filter(({ operation }) => takes(operation, 'IfMatch'))
    expect(guardedByVersion.map(({ route }) => `${route.method} ${templateOf(route.template)}`)).toContain(
      'PATCH /api/projects/{id}',
    )
  })

  test('list Tide-Cursor where the log has an entry of the write', () => {
    const without = operations
      .filter(({ operation }) => takes(operation, 'IdempotencyKey'))
      .filter(({ operation }) =>
        Object.entries(operation.responses).some(
          ([status, { headers }]) => status.startsWith('2') && !headers?.['Tide-Cursor'],
        ),
      )
    expect(without.map(({ route }) => `${route.method} ${templateOf(route.template)}`).toSorted()).toEqual([
      'DELETE /api/invitations/{id}',
      'POST /api/attachments/{id}/complete',
      'POST /api/invitations',
      'POST /api/tasks/{id}/attachments/uploads',
    ])
  })

  test('take JSON and nothing else, but for files, which are forms', () => {
    expectOfEach(({ requestBody }, route) => {
      const types = Object.keys(requestBody?.content ?? {})
      const expected = !route.takesBody
        ? []
        : route.template === '/api/mail/unsubscribe' // the form of mail programs (RFC 8058)
          ? [...route.traits.body.mediaTypes(route.method)]
          : route.traits.body.kind === 'stream'
            ? ['multipart/form-data']
            : route.method === 'PATCH'
              ? ['application/json', 'application/merge-patch+json']
              : ['application/json']
      return Bun.deepEquals(types, expected)
    })
  })
})

describe('the check of every answer the tests see', () => {
  test('fails for a status, a media type, a body or a request that is not in the document', async () => {
    const contract = createContract(await (await fetch(`${world.url}/api/openapi.json`)).json())
    const json = new Headers({ 'content-type': 'application/json; charset=utf-8', 'x-request-id': 'one' })
    const seen = {
      method: 'GET',
      path: '/livez',
      status: 200,
      headers: json,
      text: '{"status":"up"}',
      sent: undefined,
    }
    contract.check(seen)
    for (const wrong of [
      { ...seen, status: 202 },
      { ...seen, status: 418, text: '' },
      { ...seen, headers: new Headers({ 'content-type': 'text/plain', 'x-request-id': 'one' }) },
      { ...seen, headers: new Headers({ 'content-type': 'application/json' }) },
      { ...seen, headers: new Headers({ 'content-type': 'application/json', 'x-request-id': 'a b' }) },
      { ...seen, headers: new Headers([...json, ['tide-cursor', 'epoch.0.1']]) },
      { ...seen, headers: new Headers([...json, ['cache-control', 'private, no-cache']]) },
      { ...seen, text: '{"status":"down"}' },
      { ...seen, text: '{}' },
      { ...seen, sent: '{}' },
      { ...seen, path: '/unknown' },
      { ...seen, method: 'DELETE', status: 405, text: '' },
    ])
      expect(() => contract.check(wrong)).toThrow()
  })
})

describe('real answers', () => {
  test('have the shape the document gives them', async () => {
    const ajv = new Ajv2020({ strict: false, validateFormats: false })
    ajv.addSchema(document, 'document')
    expect(ajv.validate({ $ref: 'document#/components/schemas/Task' }, {})).toBe(false) // it can fail
    const wrong: string[] = []
    /** Calls a route and holds its answer against the document. */
    const call = async (method: string, template: string, path: string, options: CallOptions = {}) => {
      const answer = await world.call(method, path, options)
      const response = document.paths[template]?.[method.toLowerCase()]?.responses[answer.status]
      const at = `${method} ${path}: ${answer.status}`
      if (!response) wrong.push(`${at} is not documented: ${JSON.stringify(answer.body)}`)
      const named =
        response?.$ref?.slice(1) ??
        ['', 'paths', template, method.toLowerCase(), 'responses', String(answer.status)]
          .map((key) => key.replaceAll('~', '~0').replaceAll('/', '~1'))
          .join('/')
      const type = response?.$ref ? 'application~1problem+json' : 'application~1json'
      if (
        answer.body !== '' &&
        !ajv.validate({ $ref: `document#${named}/content/${type}/schema` }, answer.body)
      )
        wrong.push(`${at} ${ajv.errorsText()}: ${JSON.stringify(answer.body)}`)
      return answer
    }

    const person = await world.register('Ada')
    const { token } = person
    const other = await world.register('Grace')
    const credentials = { email: person.email, password: testPassword }
    const signedIn = await call('POST', '/api/auth/login', '/api/auth/login', { body: credentials })
    await call('POST', '/api/auth/login', '/api/auth/login', { body: { ...credentials, password: 'wrong' } })
    await call('POST', '/api/auth/register', '/api/auth/register', { body: { ...credentials, name: 'Ada' } })
    await call('POST', '/api/auth/refresh', '/api/auth/refresh', {
      body: { refreshToken: signedIn.body.refreshToken },
    })
    await call('GET', '/api/auth/sessions', '/api/auth/sessions', { token })
    await call('GET', '/api/users/me', '/api/users/me', { token })
    await call('PATCH', '/api/users/me', '/api/users/me', { token, body: { name: 'Ada L.' } })
    await call('GET', '/api/users/search', '/api/users/search?q=Gra', { token })
    await call('GET', '/api/users/{id}', `/api/users/${other.id}`, { token })
    await call('GET', '/api/projects', '/api/projects', { token })
    const project = await call('POST', '/api/projects', '/api/projects', { token, body: { name: 'Apollo' } })
    const projectPath = `/api/projects/${project.body.id}`
    await call('GET', '/api/projects/{id}', projectPath, { token })
    await call('GET', '/api/projects/{id}', projectPath, { token: other.token })
    const members = '/api/projects/{id}/members'
    await call('POST', members, `${projectPath}/members`, {
      token,
      body: { email: other.email, role: 'viewer' },
    })
    await call('POST', members, `${projectPath}/members`, {
      token,
      body: { email: other.email, role: 'king' },
    })
    await call('GET', members, `${projectPath}/members`, { token })
    const body = { projectId: project.body.id, title: 'Land', dueAt: '2030-01-01T00:00:00Z', tags: ['moon'] }
    const task = await call('POST', '/api/tasks', '/api/tasks', { token, body })
    const taskPath = `/api/tasks/${task.body.id}`
    await call('POST', '/api/tasks', '/api/tasks', { token, body: { ...body, id: task.body.id } })
    await call('GET', '/api/tasks', '/api/tasks?tag=moon&page=1', { token })
    await call('GET', '/api/tasks', '/api/tasks?cursor=none', { token })
    const stale = { 'If-Match': '"1"' }
    await call('PATCH', '/api/tasks/{id}', taskPath, { token, body: { status: 'done' }, headers: stale })
    await call('PATCH', '/api/tasks/{id}', taskPath, { token, body: { status: 'todo' }, headers: stale })
    await call('PATCH', '/api/tasks/{id}', taskPath, { token: other.token, body: { status: 'todo' } })
    await call('PUT', '/api/tasks/{id}', taskPath, { token, body: { title: 'Land softly' } })
    await call('POST', '/api/tasks/{id}/move', `${taskPath}/move`, {
      token,
      body: { projectId: person.inboxId },
    })
    await call('POST', '/api/tasks/{id}/shares', `${taskPath}/shares`, {
      token,
      body: { userId: other.id, permission: 'edit' },
    })
    await call('GET', '/api/tasks/{id}/shares', `${taskPath}/shares`, { token })
    const comments = '/api/tasks/{id}/comments'
    const comment = await call('POST', comments, `${taskPath}/comments`, { token, body: { body: 'Down?' } })
    await call('GET', comments, `${taskPath}/comments`, { token })
    await call('PATCH', '/api/comments/{id}', `/api/comments/${comment.body.id}`, {
      token,
      body: { body: 'Down!' },
      headers: { 'If-Match': '"7"' },
    })
    const operations = [
      { op: 'create', data: { title: 'One' } },
      { op: 'delete', id: task.body.id },
    ]
    await call('POST', '/api/tasks/batch', '/api/tasks/batch', { token, body: { operations } })
    await call('GET', '/api/notifications', '/api/notifications', { token })
    await call('GET', '/api/users/me/snapshot', '/api/users/me/snapshot', { token })
    const snapshot = await call('GET', '/api/projects/{id}/snapshot', `${projectPath}/snapshot`, { token })
    await call('PATCH', '/api/projects/{id}', projectPath, { token, body: { color: '#1e90ff' } })
    const sync = `/api/sync?scope=project:${project.body.id}&cursor=`
    await call('GET', '/api/sync', sync + snapshot.body.cursor, { token })
    await call('GET', '/api/sync', `${sync}none.0.0`, { token })
    await call('GET', '/api/sync', sync + snapshot.body.cursor.replace(/^\w+/, 'elsewhere'), { token })
    await call('DELETE', '/api/projects/{id}', projectPath, { token })
    await call('POST', '/api/auth/logout-all', '/api/auth/logout-all', { token })
    await call('GET', '/api/users/me', '/api/users/me', { token })
    for (const path of ['/livez', '/readyz', '/health', '/version']) await call('GET', path, path)
    expect(wrong).toEqual([])
  })
})

describe('what the document excludes, the server refuses', () => {
  const ajv = new Ajv2020({ strict: false, formats })
  const id = '01933b6e-7c4a-7d3e-8f21-5a9c0b7d1e42'
  const account = { email: 'ada@example.com', name: 'Ada', password: testPassword }
  const create = { op: 'create', data: { title: 'x' } }
  const bodies: [string, string, object][] = [
    ...[
      'ada',
      'ada..b@example.com',
      '.ada@example.com',
      'ada@-example.com',
      'ada@example..com',
      'ada@exam_ple.com',
      `ada@${'b'.repeat(64)}.com`,
      `${'a'.repeat(65)}@example.com`,
    ].map((email): [string, string, object] => ['POST', '/api/auth/register', { ...account, email }]),
    ['POST', '/api/auth/register', { ...account, timeZone: 'europe/berlin' }],
    ['POST', '/api/auth/register', { ...account, timeZone: '+01:00' }],
    ['POST', '/api/tasks', { title: '\u200b' }],
    ['POST', '/api/tasks', { title: 'a\0' }],
    ['POST', '/api/tasks', { title: 'x', tags: ['..'] }],
    ['POST', '/api/tasks', { title: 'x', id: '8c5e7a52-3d4b-4d0a-9f57-0a3f8a1f7c11' }],
    ['POST', '/api/tasks/batch', { operations: [{ ...create, op: 'upsert' }] }],
    ['POST', '/api/tasks/batch', { operations: [{ op: 'create' }] }],
    ['POST', '/api/tasks/batch', { operations: [{ ...create, ifVersion: 1 }] }],
    ['POST', '/api/tasks/batch', { operations: [{ op: 'delete', id, data: {} }] }],
    ['POST', '/api/tasks/batch', { operations: [{ op: 'update', id }] }],
    ['POST', '/api/tasks/{id}/shares', { permission: 'view' }],
    ['POST', '/api/tasks/{id}/shares', { permission: 'view', email: 'a@b.c', userId: id }],
    ['POST', '/api/projects/{id}/members', { role: 'viewer' }],
    ['POST', '/api/projects/{id}/members', { role: 'viewer', email: 'a@b.c', userId: id }],
    ['POST', '/api/tasks/{id}/move', { before: id, after: id }],
  ]

  test.each(bodies)('%s %s %j', async (method, template, body) => {
    if (!ajv.getSchema('document')) ajv.addSchema(document, 'document')
    const place = [
      'paths',
      template,
      method.toLowerCase(),
      'requestBody',
      'content',
      'application/json',
      'schema',
    ]
    const pointer = place
      .map((key) => encodeURIComponent(key.replaceAll('~', '~0').replaceAll('/', '~1')))
      .join('/')
    expect(ajv.validate({ $ref: `document#/${pointer}` }, body)).toBe(false)
    const { token } = await caller()
    const [collection, fields] = template.startsWith('/api/projects')
      ? ['/api/projects', { name: 'Apollo' }]
      : ['/api/tasks', { title: 'x' }]
    const { body: own } = await world.call('POST', collection, { token, body: fields })
    const answer = await world.call(method, template.replace('{id}', own.id), { token, body })
    expect([answer.status, answer.body.code]).toEqual([422, 'validation_failed'])
  })

  let person: ReturnType<World['register']> | undefined
  const caller = () => (person ??= world.register('Ada'))

  test('in queries, too', async () => {
    const { token } = await caller()
    for (const query of [
      'status=',
      'status=todo,',
      'tag=',
      'tag=a%00',
      `tag=${'x'.repeat(201)}`,
      'limit=01',
      'overdue=TRUE',
      'dueAfter=2026-11-20',
    ])
      expect([query, (await world.call('GET', `/api/tasks?${query}`, { token })).status]).toEqual([
        query,
        422,
      ])
    expect(
      (await world.call('GET', `/api/tasks?tag=${encodeURIComponent('😀'.repeat(200))}`, { token })).status,
    ).toBe(200)
  })
})
