// Repeats of a write with its Idempotency-Key get the stored response word for word, while the caller may still read its
// subject, on every route that takes a key; and the cost of storing the responses.
import { projectScope } from '../../src/model/scope.ts'
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Comment } from '../../src/model/comment.ts'
import type { Project } from '../../src/model/project.ts'
import type { Task } from '../../src/model/task.ts'
import { routesOf } from '../support/routes.ts'
import { callsOf, type Calls } from '../support/tasks.ts'
import { upload } from '../support/uploads.ts'
import { startWorld, type Answer, type Person, type World } from '../support/world.ts'

let world: World
let owner: Person
let editor: Person
let owners: Calls
let editors: Calls

beforeAll(async () => {
  world = await startWorld()
  ;({ owner, editor } = await world.people('owner', 'editor'))
  owners = callsOf(world, owner)
  editors = callsOf(world, editor)
})

afterAll(() => world[Symbol.asyncDispose](), 20_000)

const keyed = <T = any>(
  by: Calls,
  method: string,
  path: string,
  body?: unknown,
  key = Bun.randomUUIDv7(),
): { first: Promise<Answer<T>>; again: () => Promise<Answer<T>> } => {
  const form = typeof body === 'string' ? { 'Content-Type': 'multipart/form-data; boundary=b' } : {}
  const send = () => by.call<T>(method, path, body, { 'Idempotency-Key': key, ...form })
  return { first: send(), again: send }
}

const expectReplay = (first: Answer<unknown>, again: Answer<unknown>): void => {
  expect({ status: again.status, body: again.body }).toEqual({ status: first.status, body: first.body })
  for (const name of ['etag', 'location', 'tide-cursor'])
    expect({ [name]: again.headers.get(name) }).toEqual({ [name]: first.headers.get(name) })
  expect(again.headers.get('idempotency-replayed')).toBe('true')
}

describe('the same request', () => {
  test('is the same JSON value: order of members and white space do not count', async () => {
    const send = (body: string) =>
      world.call('POST', '/api/tasks', { token: owner.token, body, headers: { 'Idempotency-Key': 'same' } })
    const first = await send('{"title":"x","tags":["a","b"],"status":"todo"}')
    expect(first.status).toBe(201)
    expectReplay(first, await send('{ "status": "todo",\n "tags": ["a", "b"], "title": "\\u0078" }'))
    for (const other of [
      '{"title":"x","tags":["b","a"],"status":"todo"}',
      '{"title":"x","tags":["a","b"]}',
      '{"title":"x","tags":["a","b"],"status":"done"}',
    ])
      expect((await send(other)).body.code).toBe('idempotency_key_reused')
  })

  test('without a body is none with one', async () => {
    const { id } = await owners.project()
    const path = `/api/projects/${id}/archive`
    const { first, again } = keyed(owners, 'POST', path)
    expectReplay(await first, await again())
  })
})

describe('long texts', () => {
  // 7,168 characters, 14 KiB in UTF-8, above what a frame of the log carries; and one that a frame carries.
  const long = 'é'.repeat(7_168)
  const short = 'a'.repeat(2_000)

  const bytesOf = async (scope: string, key: string) => {
    const [row] = await world.server.deps.db.read(
      (sql) => sql<{ changes: number; stored: number }[]>`
        select
          (select coalesce(sum(octet_length(changes::text)), 0)::int from feed where scope = ${scope} and op = ${key}) as changes,
          (select octet_length(coalesce(body, '') || texts::text)::int from idempotency_keys where key = ${key}) as stored`,
    )
    return row!
  }

  test('are in neither the changes nor the stored answer of one bulk change of many tasks', async () => {
    const project = await owners.project()
    const ids: string[] = []
    for (let n = 0; n < 20; n += 1)
      ids.push((await owners.task({ projectId: project.id, description: `before ${short}` })).id)
    const indented = `  ${long} `
    const body = { ids, changes: { description: indented } }
    const { first, again } = keyed<{ items: Task[] }>(owners, 'PATCH', '/api/tasks/bulk', body, 'bulk-long')
    const answer = await first
    expect(answer.body.items[0]!.description).toBe(indented)
    const { changes, stored } = await bytesOf(projectScope(project.id), 'bulk-long')
    expect(changes).toBeLessThan(20 * 200)
    expect(stored).toBeLessThan(20 * 1_000)
    const entry = (await world.entries(projectScope(project.id))).at(-1)!
    expect(entry.changes).toEqual({
      description: { from: { length: short.length + 7 }, to: { length: indented.length } },
    })
    expectReplay(answer, await again())
    // Also when the text is another by now.
    await owners.call('PATCH', '/api/tasks/bulk', { ids, changes: { description: 'short' } })
    expectReplay(answer, await again())
  })

  test('that the request did not bring come from its entry of the log, or from the row', async () => {
    const task = await owners.task({ description: short })
    const huge = await owners.task({ description: long })
    const path = `/api/tasks/${task.id}`
    const patch = keyed<Task>(owners, 'PATCH', path, { status: 'done' })
    const first = await patch.first
    const bulk = keyed(owners, 'PATCH', '/api/tasks/bulk', {
      ids: [task.id, huge.id],
      changes: { priority: 'low' },
    })
    const both = await bulk.first
    expectReplay(both, await bulk.again())
    await owners.call('PATCH', path, { description: 'another' })
    expectReplay(first, await patch.again())
    // Too long for a frame and changed since: the present text.
    await owners.call('PATCH', `/api/tasks/${huge.id}`, { description: 'newer' })
    const { body } = await bulk.again()
    expect(body.items.map(({ description }: Task) => description)).toEqual([short, 'newer'])
  })

  test('of a task that was created and deleted are those of the request', async () => {
    const made = keyed<Task>(owners, 'POST', '/api/tasks', { title: 'x', description: long })
    const first = await made.first
    await owners.call('DELETE', `/api/tasks/${first.body.id}`)
    expectReplay(first, await made.again())
  })

  test('of a project', async () => {
    const made = keyed<Project>(owners, 'POST', '/api/projects', { name: 'x', description: long })
    const first = await made.first
    expectReplay(first, await made.again())
    const path = `/api/projects/${first.body.id}`
    const patch = keyed<Project>(owners, 'PATCH', path, { name: 'y' })
    const second = await patch.first
    expect(second.body.description).toBe(long)
    expectReplay(second, await patch.again())
  })
})

describe('a user who has been removed since', () => {
  /** Each route that takes a key: a write by a member who is then removed. Null: about the caller's own things only. */
  type Scene = (project: Project, task: Task, comment: Comment) => [path: string, body?: unknown]
  const attachments = new Map<string, string>()
  const scenes: Record<string, Scene | null> = {
    'POST /api/tasks': ({ id }) => ['/api/tasks', { title: 'x', projectId: id }],
    'PATCH /api/tasks/:id': (_, task) => [`/api/tasks/${task.id}`, { title: 'y' }],
    'PUT /api/tasks/:id': (_, task) => [`/api/tasks/${task.id}`, { title: 'y' }],
    'DELETE /api/tasks/:id': (_, task) => [`/api/tasks/${task.id}`],
    'POST /api/tasks/:id/tags': (_, task) => [`/api/tasks/${task.id}/tags`, { tags: ['b'] }],
    'DELETE /api/tasks/:id/tags/:tag': (_, task) => [`/api/tasks/${task.id}/tags/a`],
    'PATCH /api/tasks/bulk': (_, task) => ['/api/tasks/bulk', { ids: [task.id], changes: { title: 'y' } }],
    'POST /api/tasks/batch': (_, task) => [
      '/api/tasks/batch',
      { operations: [{ op: 'delete', id: task.id }] },
    ],
    'POST /api/tasks/:id/move': (_, task) => [`/api/tasks/${task.id}/move`, {}],
    'POST /api/tasks/:id/shares': (_, task) => [
      `/api/tasks/${task.id}/shares`,
      { email: stranger.email, permission: 'view' },
    ],
    'PATCH /api/tasks/:id/shares/:userId': (_, task) => [
      `/api/tasks/${task.id}/shares/${sharee.id}`,
      { permission: 'edit' },
    ],
    'DELETE /api/tasks/:id/shares/:userId': (_, task) => [`/api/tasks/${task.id}/shares/${sharee.id}`],
    'POST /api/tasks/:id/comments': (_, task) => [
      `/api/tasks/${task.id}/comments`,
      { body: 'x'.repeat(600) },
    ],
    'PATCH /api/comments/:id': (_, _task, comment) => [`/api/comments/${comment.id}`, { mentions: null }],
    'DELETE /api/comments/:id': (_, _task, comment) => [`/api/comments/${comment.id}`],
    'PATCH /api/projects/:id': ({ id }) => [`/api/projects/${id}`, { name: 'y' }],
    'POST /api/projects/:id/archive': ({ id }) => [`/api/projects/${id}/archive`],
    'POST /api/projects/:id/unarchive': ({ id }) => [`/api/projects/${id}/unarchive`],
    'POST /api/projects/:id/members': ({ id }) => [
      `/api/projects/${id}/members`,
      { email: stranger.email, role: 'viewer' },
    ],
    'PATCH /api/projects/:id/members/:userId': ({ id }) => [
      `/api/projects/${id}/members/${viewer.id}`,
      { role: 'editor' },
    ],
    'DELETE /api/projects/:id/members/:userId': ({ id }) => [`/api/projects/${id}/members/${viewer.id}`],
    'POST /api/tasks/:id/attachments': (_, task) => [
      `/api/tasks/${task.id}/attachments`,
      '--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nx\r\n--b--\r\n',
    ],
    'POST /api/attachments/:id/complete': (_, task) => [
      `/api/attachments/${attachments.get(task.id)}/complete`,
    ],
    'DELETE /api/attachments/:id': (_, task) => [`/api/attachments/${attachments.get(task.id)}`],
    'POST /api/tasks/:id/attachments/uploads': null, // 409 without S3
    // A new project has no member to remove, and a deleted one none at all; the rest is the caller's account.
    'POST /api/projects': null,
    'DELETE /api/projects/:id': null,
    'POST /api/notifications/:id/read': null,
    'POST /api/notifications/read-all': null,
    'PATCH /api/notifications/preferences': null,
    'POST /api/invitations': null,
    'DELETE /api/invitations/:id': null,
    'POST /api/users': null,
    'PATCH /api/users/:id': null,
    'DELETE /api/users/:id': null,
    'PATCH /api/users/me': null,
    'DELETE /api/users/me': null,
    'PUT /api/users/me/password': null,
    'PUT /api/users/me/avatar': null,
    'DELETE /api/users/me/avatar': null,
  }
  let stranger: Person
  let sharee: Person
  let viewer: Person

  test('is answered 404 in place of the stored answer, by every route', async () => {
    ;({ stranger, sharee } = await world.people('stranger', 'sharee'))
    viewer = await world.register()
    const taking = (await routesOf(world))
      .filter(
        ({ method, isGuarded, template }) =>
          method !== 'GET' && isGuarded && template.startsWith('/api/') && !template.startsWith('/api/auth/'),
      )
      .map(({ method, template }) => `${method} ${template}`)
    expect(Object.keys(scenes).toSorted()).toEqual(taking.toSorted())

    for (const [name, scene] of Object.entries(scenes)) {
      if (!scene) continue
      const project = await owners.project({ owner: editor, viewer: viewer })
      const task = await owners.task({ projectId: project.id, tags: ['a'] })
      await owners.share(task, sharee, 'view')
      const comment = await editors.call<Comment>('POST', `/api/tasks/${task.id}/comments`, {
        body: 'x',
        mentions: [viewer.id],
      })
      const file = await upload({ url: world.url, token: editor.token, taskId: task.id })
      attachments.set(task.id, file.body.id)
      const [path, body] = scene(project, task, comment.body)
      const { first, again } = keyed(editors, name.split(' ')[0]!, path, body)
      const answer = await first
      expect({ name, done: answer.status < 300 }).toEqual({ name, done: true })
      expectReplay(answer, await again())
      const removal = await owners.call('DELETE', `/api/projects/${project.id}/members/${editor.id}`)
      expect({ name, status: removal.status }).toEqual({ name, status: 204 })
      const refused = await again()
      expect({ name, status: refused.status, code: refused.body.code }).toEqual({
        name,
        status: 404,
        code: 'not_found',
      })
      expect(refused.headers.get('idempotency-replayed')).toBeNull()
    }
  }, 120_000)

  test('is answered again where the request itself took the right away', async () => {
    const project = await owners.project({ editor: editor })
    const leaving = keyed(editors, 'DELETE', `/api/projects/${project.id}/members/${editor.id}`)
    expectReplay(await leaving.first, await leaving.again())
    const deleting = keyed(owners, 'DELETE', `/api/projects/${project.id}`)
    expectReplay(await deleting.first, await deleting.again())
  })

  test('is answered 404 for a task that moved where it cannot be read', async () => {
    const [from, to] = [await owners.project({ editor: editor }), await owners.project()]
    const task = await owners.task({ projectId: from.id })
    const patch = keyed(editors, 'PATCH', `/api/tasks/${task.id}`, { title: 'y' })
    expect((await patch.first).status).toBe(200)
    await owners.call('POST', `/api/tasks/${task.id}/move`, { projectId: to.id })
    expect((await patch.again()).status).toBe(404)
  })
})
