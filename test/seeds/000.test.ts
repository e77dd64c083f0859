// Seed 000, "Task Management API": its endpoints, its flow of tokens, live updates and notifications, permissions, caching,
// paging, limits, headers and documentation, in the words of this API.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { openRedis } from '../../src/redis/connection.ts'
import { createLog } from '../../src/log.ts'
import type { Task } from '../../src/model/task.ts'
import type { Worker } from '../../src/worker/runner.ts'
import { eventually } from '../support/eventually.ts'
import { openSocket } from '../support/socket.ts'
import { startWorld, testPassword, type Answer, type Person, type World } from '../support/world.ts'
import { openWorker } from '../worker/rig.ts'

let world: World
let worker: Worker
let ada: Person
let bob: Person

beforeAll(async () => {
  world = await startWorld({ allowedOrigins: ['https://tasks.example.com'] })
  worker = await openWorker({ ...world, overdueIntervalMs: 60_000 })
  ;({ ada, bob } = await world.people('ada', 'bob'))
}, 60_000)

afterAll(async () => {
  await worker?.[Symbol.asyncDispose]()
  await world?.[Symbol.asyncDispose]()
}, 30_000)

const as = <T = any>(person: Person, method: string, path: string, body?: unknown): Promise<Answer<T>> =>
  world.call<T>(method, path, { token: person.token, ...(body !== undefined && { body }) })

const create = (person: Person, fields: object = {}): Promise<Task> =>
  world.ask<Task>(person, 'POST', '/api/tasks', { title: 'Write it', ...fields })

const titles = async (person: Person, query = ''): Promise<string[]> =>
  (await world.ask<{ items: Task[] }>(person, 'GET', `/api/tasks?${query}`)).items.map(({ title }) => title)

describe('authentication', () => {
  test('credentials give two tokens, the access token opens requests, the refresh token gives new ones', async () => {
    const account = { name: 'Cleo', email: 'cleo@example.com', password: testPassword }
    const made = await world.call('POST', '/api/auth/register', { body: account })
    expect(made).toMatchObject({ status: 201, body: { user: { email: account.email, role: 'user' } } })
    const login = await world
      .call('POST', '/api/auth/login', { body: account, headers: {} })
      .catch(() => null)
    expect(login).toMatchObject({ status: 422 }) // an unknown field is not dropped silently
    const { email, password } = account
    const signedIn = await world.call('POST', '/api/auth/login', { body: { email, password } })
    const { accessToken, refreshToken, expiresIn } = signedIn.body
    expect(expiresIn).toBe(900)
    expect((await world.call('GET', '/api/users/me', { token: accessToken })).status).toBe(200)
    const refreshed = await world.call('POST', '/api/auth/refresh', { body: { refreshToken } })
    expect(refreshed.status).toBe(200)
    expect((await world.call('GET', '/api/users/me', { token: refreshed.body.accessToken })).status).toBe(200)
  })

  test('a refresh token is no access token, and the reverse', async () => {
    const { accessToken, refreshToken } = ada.session
    expect((await world.call('GET', '/api/tasks', { token: refreshToken })).status).toBe(401)
    const refused = await world.call('POST', '/api/auth/refresh', { body: { refreshToken: accessToken } })
    expect(refused.status).toBe(401)
  })

  test('a bcrypt hash of an earlier system still signs in', async () => {
    const dora = await world.register('Dora')
    const hash = await Bun.password.hash('an old password', { algorithm: 'bcrypt', cost: 4 })
    await world.server.deps.db.transact(
      (tx) => tx`update users set password_hash = ${hash} where id = ${dora.id}`,
    )
    const body = { email: dora.email, password: 'an old password' }
    expect((await world.call('POST', '/api/auth/login', { body })).status).toBe(200)
  })

  test('losing Redis signs no user out', async () => {
    const redis = openRedis(world.redisUrl, 'request', createLog('test', 'silent'))
    await eventually(() => redis.client.flushall())
    await redis[Symbol.asyncDispose]()
    expect((await as(ada, 'GET', '/api/users/me')).status).toBe(200)
    const { refreshToken } = bob.session
    expect((await world.call('POST', '/api/auth/refresh', { body: { refreshToken } })).status).toBe(200)
  })
})

describe('the eight endpoints', () => {
  test('create, list, read, replace and delete a task', async () => {
    const made = await as(ada, 'POST', '/api/tasks', { title: 'Buy milk', priority: 'high' })
    expect(made).toMatchObject({ status: 201, body: { title: 'Buy milk', status: 'todo', version: 1 } })
    const path = `/api/tasks/${made.body.id}`
    expect(made.headers.get('location')).toBe(path)
    expect(await titles(ada)).toContain('Buy milk')
    const replaced = await as(ada, 'PUT', path, { title: 'Buy bread', status: 'done' })
    // What the replacement leaves out has its default again.
    expect(replaced).toMatchObject({
      status: 200,
      body: { title: 'Buy bread', status: 'done', priority: 'medium' },
    })
    expect(await world.ask(ada, 'GET', path)).toEqual(replaced.body)
    expect((await as(ada, 'DELETE', path)).status).toBe(204)
    expect((await as(ada, 'GET', path)).status).toBe(404)
    expect((await as(ada, 'DELETE', path)).status).toBe(404)
  })

  test('a replacement without the title is 422, and nothing changes', async () => {
    const { id } = await create(ada, { title: 'Kept' })
    const answer = await as(ada, 'PUT', `/api/tasks/${id}`, { status: 'done' })
    expect(answer).toMatchObject({ status: 422, body: { errors: [{ pointer: '/title' }] } })
    expect(await world.ask(ada, 'GET', `/api/tasks/${id}`)).toMatchObject({ title: 'Kept', status: 'todo' })
  })
})

describe('projects, comments and permissions', () => {
  test('roles decide who reads, writes and manages; a stranger learns of nothing', async () => {
    const { viewer, editor } = await world.people('viewer', 'editor')
    const project = await world.project(ada, { viewer, editor })
    const task = await create(ada, { projectId: project.id })
    const path = `/api/tasks/${task.id}`
    expect((await as(viewer, 'GET', path)).status).toBe(200)
    expect((await as(viewer, 'PATCH', path, { title: 'No' })).status).toBe(403)
    expect((await as(viewer, 'POST', `${path}/comments`, { body: 'A word' })).status).toBe(201)
    expect((await as(editor, 'PATCH', path, { title: 'Yes' })).status).toBe(200)
    expect((await as(editor, 'DELETE', `/api/projects/${project.id}`)).status).toBe(403)
    for (const [method, body] of [['GET'], ['PATCH', { title: 'No' }], ['DELETE']] as const)
      expect((await as(bob, method, path, body)).status).toBe(404)
    expect(await titles(bob)).not.toContain('Yes')
    const { items } = await world.ask(editor, 'GET', `${path}/comments`)
    expect(items).toMatchObject([{ body: 'A word', author: { id: viewer.id } }])
    expect(await world.ask(ada, 'GET', path)).toMatchObject({ commentCount: 1 })
  })
})

describe('live updates', () => {
  test('a socket receives each change of a task once and in order, then the notification', async () => {
    const project = await world.project(ada, { editor: bob })
    await using socket = await world.socket(bob)
    for (const [rid, scope] of [`project:${project.id}`, 'user:me'].entries())
      socket.send({ t: 'sub', rid, scope, cursor: null })
    await socket.take('synced')
    await socket.take('synced')
    const { id } = await create(ada, { projectId: project.id, assigneeId: bob.id })
    const notified = await socket.take(({ data }) => data?.kind === 'assigned')
    expect(notified).toMatchObject({
      type: 'notification.created',
      data: { taskId: id, actor: { id: ada.id } },
    })
    await as(ada, 'PUT', `/api/tasks/${id}`, { title: 'Changed' })
    await as(ada, 'DELETE', `/api/tasks/${id}`)
    await socket.take(({ type }) => type === 'task.deleted')
    const seen = socket.frames.filter(({ t, id: entity }) => t === 'event' && entity === id)
    expect(seen.map(({ type, version }) => [type, version])).toEqual([
      ['task.created', 1],
      ['task.updated', 2],
      ['task.deleted', 3],
    ])
    const inbox = await world.ask(bob, 'GET', '/api/notifications')
    expect(inbox).toMatchObject({ items: [{ kind: 'assigned', taskId: id }, { kind: 'project_invited' }] })
  })

  test('a socket without a token receives nothing: the seeds left theirs open', async () => {
    const answer = await fetch(`${world.url}/api/ws`, {
      headers: {
        Upgrade: 'websocket',
        Connection: 'Upgrade',
        'Sec-WebSocket-Version': '13',
        'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
        Authorization: 'Bearer none',
      },
    })
    expect(answer.status).toBe(401)
  })

  test('a socket without any credentials gets no frame, whatever happens meanwhile, and is closed with 4012', async () => {
    await using quick = await world.another({}, { helloTimeoutMs: 300, sweepIntervalMs: 20 })
    await using open = await openSocket(quick.url)
    const { id } = await create(ada, { title: 'Not for everyone' })
    await as(ada, 'PATCH', `/api/tasks/${id}`, { assigneeId: ada.id })
    expect(await open.closed()).toBe(4012)
    expect(open.frames).toEqual([])
  })
})

describe('caching and paging', () => {
  test('a read after a write sees it, also where the same list was read before, on another server too', async () => {
    await using second = await world.another()
    const read = async (url: string): Promise<number> => {
      const headers = { Authorization: `Bearer ${ada.token}` }
      const { items } = await (await fetch(`${url}/api/tasks?search=heron`, { headers })).json()
      return items.length
    }
    for (let count = 0; count < 4; count += 1) {
      expect([await read(world.url), await read(second.url)]).toEqual([count, count])
      await create(ada, { title: `Heron ${count}` })
    }
  })

  test('an unchanged list is 304, and pages hold every task once', async () => {
    const eve = await world.register('Eve')
    for (let n = 0; n < 5; n += 1) await create(eve, { title: `Task ${n}` })
    const first = await as(eve, 'GET', '/api/tasks?limit=2&sort=createdAt')
    const tag = first.headers.get('etag')!
    const again = await world.call('GET', '/api/tasks?limit=2&sort=createdAt', {
      token: eve.token,
      headers: { 'If-None-Match': tag },
    })
    expect(again.status).toBe(304)
    const seen = [...first.body.items]
    for (let cursor = first.body.nextCursor; cursor !== null;) {
      const { items, nextCursor } = await world.ask(
        eve,
        'GET',
        `/api/tasks?limit=2&sort=createdAt&cursor=${cursor}`,
      )
      seen.push(...items)
      cursor = nextCursor
    }
    expect(seen.map(({ title }) => title)).toEqual(['Task 0', 'Task 1', 'Task 2', 'Task 3', 'Task 4'])
    expect(await world.ask(eve, 'GET', '/api/tasks?page=3&limit=2')).toMatchObject({
      total: 5,
      totalPages: 3,
      page: 3,
    })
  })
})

describe('security', () => {
  test('SQL in values is text', async () => {
    const title = `'; drop table tasks; --`
    const { id } = await create(ada, { title })
    expect(await world.ask(ada, 'GET', `/api/tasks/${id}`)).toMatchObject({ title })
    expect(await titles(ada, `search=${encodeURIComponent("drop' or 1=1")}`)).toEqual([])
    expect((await as(ada, 'GET', '/api/tasks?sort=id;drop')).status).toBe(422)
  })

  test('answers have the headers that protect browsers, and listed origins alone may read them', async () => {
    const answer = await world.call('GET', '/api/tasks', {
      token: ada.token,
      headers: { Origin: 'https://tasks.example.com' },
    })
    expect(answer.headers.get('access-control-allow-origin')).toBe('https://tasks.example.com')
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
    expect(answer.headers.get('content-security-policy')).toContain("frame-ancestors 'none'")
    expect(answer.headers.has('x-powered-by')).toBe(false)
    const foreign = await world.call('GET', '/api/tasks', {
      token: ada.token,
      headers: { Origin: 'https://evil.example.com' },
    })
    expect(foreign.headers.has('access-control-allow-origin')).toBe(false)
  })

  test('requests over the limit are 429, counted in Redis', async () => {
    await using limited = await startWorld({ rateLimit: true, requestsPerMinute: 5 })
    const person = await limited.register()
    const answers = await Promise.all(
      Array.from({ length: 9 }, () => limited.call('GET', '/api/tasks', { token: person.token })),
    )
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(5)
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(4)
  })
})

test('the documentation is generated, names the eight endpoints, and has a page', async () => {
  const { body } = await world.call('GET', '/api/openapi.json')
  expect(body.openapi).toStartWith('3.')
  const operations = Object.entries<object>(body.paths).flatMap(([path, item]) =>
    Object.keys(item).map((method) => `${method} ${path}`),
  )
  for (const operation of [
    'post /api/auth/register',
    'post /api/auth/login',
    'post /api/auth/refresh',
    'get /api/tasks',
    'post /api/tasks',
    'get /api/tasks/{id}',
    'put /api/tasks/{id}',
    'delete /api/tasks/{id}',
  ])
    expect(operations).toContain(operation)
  const page = await fetch(`${world.url}/api/docs`)
  expect(page.headers.get('content-type')).toContain('text/html')
})
