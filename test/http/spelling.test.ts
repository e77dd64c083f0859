// What is read in more than one spelling and always written in one: ids and instants, the scheme of credentials, and
// the encoding of bodies, of which there is only one.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { gzipSync } from 'node:zlib'
import { newId } from '../../src/model/scalar.ts'
import { sendRaw } from '../support/raw-http.ts'
import { routesOf } from '../support/routes.ts'
import { openSocket } from '../support/socket.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

let world: World
let person: Person
let projectId: string

beforeAll(async () => {
  world = await startWorld()
  person = await world.register()
  projectId = (await ask('POST', '/api/projects', { name: 'Spelling' })).body.id
})

afterAll(() => world[Symbol.asyncDispose](), 20_000)

const ask = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
  world.call(method, path, { token: person.token, headers, ...(body !== undefined && { body }) })

const capitals = (id: string): string => id.toUpperCase()

const makeTask = async (fields: object = {}): Promise<string> =>
  (await ask('POST', '/api/tasks', { title: 'spelt', projectId, ...fields })).body.id

/** Everything in an answer that looks like an id. */
const idsIn = (value: unknown): string[] =>
  JSON.stringify(value).match(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi) ?? []

const expectLowerCase = (value: unknown): void => {
  const ids = idsIn(value)
  expect(ids.length).toBeGreaterThan(0)
  expect(ids).toEqual(ids.map((id) => id.toLowerCase()))
}

describe('an id in capitals', () => {
  test('is found in every path', async () => {
    const [friend, taskId] = [await world.register(), await makeTask({ tags: ['a'] })]
    const [task, project] = [`/api/tasks/${capitals(taskId)}`, `/api/projects/${capitals(projectId)}`]
    const member = await ask('POST', `${project}/members`, { email: friend.email, role: 'viewer' })
    expect(member.headers.get('location')).toBe(`/api/projects/${projectId}/members/${friend.id}`)
    const answers = [
      await ask('GET', project),
      await ask('GET', `${project}/snapshot`),
      await ask('PATCH', project, { description: 'x' }),
      await ask('GET', task),
      await ask('PATCH', task, { title: 'y' }),
      await ask('POST', `${task}/tags`, { tags: ['b'] }),
      await ask('POST', `${task}/move`, {}),
      await ask('PATCH', `${project}/members/${capitals(friend.id)}`, { role: 'editor' }),
      await ask('GET', `/api/users/${capitals(friend.id)}`),
    ]
    for (const { status, body } of answers) {
      expect(status).toBe(200)
      expectLowerCase(body)
    }
    expect((await ask('DELETE', `${project}/members/${capitals(friend.id)}`)).status).toBe(204)
    expect((await ask('DELETE', task)).status).toBe(204)
  })

  test('is found in queries, also of the pages that follow', async () => {
    const parentId = await makeTask()
    for (let n = 0; n < 3; n += 1) await makeTask({ parentId, assigneeId: person.id })
    const query = `projectId=${capitals(projectId)}&parentId=${capitals(parentId)}&assigneeId=${capitals(person.id)}&creatorId=${capitals(person.id)}&limit=2`
    const first = await ask('GET', `/api/tasks?${query}`)
    expect(first.body.items).toHaveLength(2)
    expectLowerCase(first.body)
    const cursor = encodeURIComponent(first.body.nextCursor)
    for (const spelling of [
      query,
      query.toLowerCase().replace(/(project|parent|assignee|creator)id/g, '$1Id'),
    ])
      expect((await ask('GET', `/api/tasks?${spelling}&cursor=${cursor}`)).body.items).toHaveLength(1)
  })

  test('is found in bodies: single, in arrays, bulk, batch and move', async () => {
    const id = newId()
    const made = await ask('POST', '/api/tasks', {
      id: capitals(id),
      title: 'TITLE IN CAPITALS',
      projectId: capitals(projectId),
      assigneeId: capitals(person.id),
    })
    expect(made.status).toBe(201)
    expect(made.body).toMatchObject({ id, projectId, assigneeId: person.id, title: 'TITLE IN CAPITALS' })
    expect(made.headers.get('location')).toBe(`/api/tasks/${id}`)
    expect((await ask('POST', '/api/tasks', { id, title: 'again' })).body.code).toBe('id_taken')
    const other = await makeTask()
    const bulk = await ask('PATCH', '/api/tasks/bulk', {
      ids: [capitals(id), capitals(other)],
      changes: { parentId: null, assigneeId: capitals(person.id) },
    })
    expect(bulk.body.items.map((item: { id: string }) => item.id)).toEqual([id, other])
    const batch = await ask('POST', '/api/tasks/batch', {
      operations: [
        { op: 'update', id: capitals(id), data: { parentId: capitals(other) } },
        { op: 'create', id: capitals(newId()), data: { title: 'z', projectId: capitals(projectId) } },
        { op: 'create', data: { id: capitals(newId()), title: 'z', parentId: capitals(other), projectId } },
        { op: 'delete', id: capitals(other) },
      ],
    })
    expect(batch.status).toBe(200)
    expectLowerCase(batch.body)
    const [a, b] = [await makeTask(), await makeTask()]
    expect((await ask('POST', `/api/tasks/${b}/move`, { before: capitals(a) })).status).toBe(200)
    const friend = await world.register()
    await ask('POST', `/api/projects/${projectId}/members`, { email: friend.email, role: 'viewer' })
    const second = (await ask('POST', '/api/projects', { name: 'Second' })).body.id
    const added = await ask('POST', `/api/projects/${second}/members`, {
      userId: capitals(friend.id),
      role: 'viewer',
    })
    expect(added.body.userId).toBe(friend.id)
  })

  test('is the same resource to an Idempotency-Key', async () => {
    const id = await makeTask()
    const headers = { 'Idempotency-Key': newId() }
    const first = await ask('PATCH', `/api/tasks/${id}`, { title: 'once' }, headers)
    const again = await ask('PATCH', `/api/tasks/${capitals(id)}`, { title: 'once' }, headers)
    expect(again.headers.get('idempotency-replayed')).toBe('true')
    expect(again.body).toEqual(first.body)
  })

  test('names the same scope in sync and on the socket, and the same place', async () => {
    const { cursor } = (await ask('GET', `/api/projects/${projectId}/snapshot`)).body
    const taskId = await makeTask()
    const sync = await ask('GET', `/api/sync?scope=project:${capitals(projectId)}&cursor=${cursor}`)
    expect(sync.body.scopes[0]).toMatchObject({ scope: `project:${projectId}`, events: [{ id: taskId }] })
    await using socket = await world.socket(person)
    socket.send({ t: 'sub', rid: 1, scope: `project:${capitals(projectId)}`, cursor })
    expect((await socket.take('sub')).scope).toBe(`project:${projectId}`)
    expect((await socket.take('event')).scope).toBe(`project:${projectId}`)
    socket.send({ t: 'sub', rid: 2, scope: `user:${capitals(person.id)}` })
    expect((await socket.take('sub')).scope).toBe(`user:${person.id}`)
    socket.send({ t: 'watch', rid: 3, key: `task:${capitals(taskId)}` })
    expect((await socket.take('presence')).key).toBe(`task:${taskId}`)
    socket.send({ t: 'unwatch', rid: 4, key: `task:${taskId}` })
    expect((await socket.take((frame) => frame.t === 'ok' && frame.rid === 4)).t).toBe('ok')
    socket.send({ t: 'unsub', rid: 5, scope: `project:${capitals(projectId)}` })
    await socket.take((frame) => frame.t === 'ok' && frame.rid === 5)
  })
})

test('an instant may be written with t and z in small letters', async () => {
  const made = await ask('POST', '/api/tasks', { title: 'due', projectId, dueAt: '2026-11-20t10:00:00.5z' })
  expect(made.body.dueAt).toBe('2026-11-20T10:00:00.500Z')
  const query = 'dueAfter=2026-11-20t10:00:00z&dueBefore=2026-11-20t10:00:01z'
  expect((await ask('GET', `/api/tasks?projectId=${projectId}&${query}`)).body.items).toHaveLength(1)
  const batch = await ask('POST', '/api/tasks/batch', {
    operations: [{ op: 'update', id: made.body.id, data: { dueAt: '2026-11-21t10:00:00+01:00' } }],
  })
  expect(batch.body.items[0].dueAt).toBe('2026-11-21T09:00:00.000Z')
})

test('Bearer may be followed by several spaces and written in any case', async () => {
  for (const scheme of ['Bearer  ', 'bearer   ', 'BEARER '])
    expect(
      (
        await sendRaw(
          world.url,
          `GET /api/users/me HTTP/1.1\nHost: h\nAuthorization: ${scheme}${person.token}`,
        )
      ).status,
    ).toBe(200)
  await using socket = await openSocket(world.url, {
    headers: { Authorization: `Bearer   ${person.token}` },
  })
  expect((await socket.take('welcome')).user).toBe(person.id)
})

describe('a body', () => {
  test('that is compressed or in another charset is 415 on every route that reads one', async () => {
    const zipped = gzipSync('{}')
    const headersOf: Record<string, string>[] = [
      { 'Content-Encoding': 'gzip' },
      { 'Content-Encoding': 'br' },
      { 'Content-Encoding': 'identity, gzip' },
      { 'Content-Type': 'application/json; charset=latin1' },
      { 'Content-Type': 'application/json;charset="UTF-16"' },
      { 'Content-Type': 'application/json; x=y; Charset = us-ascii' },
    ]
    for (const { method, path } of (await routesOf(world)).filter((route) => route.takesBody))
      for (const headers of headersOf) {
        const response = await fetch(world.url + path, {
          method,
          body: headers['Content-Encoding'] ? zipped : '{}',
          headers: {
            'Content-Type': 'application/json',
            Authorization: `Bearer ${person.token}`,
            ...headers,
          },
        })
        const { code } = (await response.json()) as { code: string }
        expect({ method, path, headers, status: response.status, code }).toEqual({
          method,
          path,
          headers,
          status: 415,
          code: 'unsupported_media_type',
        })
      }
  })

  test('may declare UTF-8', async () => {
    for (const headers of [
      { 'Content-Encoding': 'identity' },
      { 'Content-Type': 'application/json; charset=UTF-8' },
      { 'Content-Type': 'application/json;charset="utf-8"' },
      { 'Content-Type': 'Application/JSON; charset=utf8' },
    ] as Record<string, string>[])
      expect((await ask('POST', '/api/projects', { name: 'plain' }, headers)).status).toBe(201)
  })
})
