// Rights on tasks, the scopes that receive entries, and that a user without access learns nothing.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { projectScope, userScope } from '../../src/model/scope.ts'
import type { Project } from '../../src/model/project.ts'
import type { Task } from '../../src/model/task.ts'
import { callsOf, entriesOf, frameOf, pointersOf, watching, type Calls } from '../support/tasks.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

let world: World
let [owner, editor, viewer, stranger, admin, watcher, helper]: Person[] = []
let as: Record<string, Calls>
let project: Project
let task: Task

beforeAll(async () => {
  world = await startWorld()
  const names = ['Owner', 'Editor', 'Viewer', 'Stranger', 'Watcher', 'Helper']
  ;[owner, editor, viewer, stranger, watcher, helper] = await Promise.all(
    names.map((name) => world.register(name)),
  )
  admin = await world.registerAdmin()
  const people = { owner, editor, viewer, stranger, admin, watcher, helper }
  as = Object.fromEntries(Object.entries(people).map(([name, person]) => [name, callsOf(world, person!)]))
  project = await as['owner']!.project({ editor: editor!, viewer: viewer! })
  task = await as['owner']!.task({ projectId: project.id })
  await as['owner']!.share(task, watcher!, 'view')
  await as['owner']!.share(task, helper!, 'edit')
})

afterAll(() => world[Symbol.asyncDispose]())

const callers = ['owner', 'editor', 'viewer', 'stranger', 'admin', 'watcher', 'helper']

/** What each person is answered, by status. */
const statuses = async (
  act: (calls: Calls, name: string) => Promise<number>,
): Promise<Record<string, number>> => {
  const found: Record<string, number> = {}
  for (const name of callers) found[name] = await act(as[name]!, name)
  return found
}

describe('the table of rights', () => {
  test('reading', async () => {
    expect(
      await statuses(async (calls) => (await calls.call('GET', `/api/tasks/${task.id}`)).status),
    ).toEqual({
      owner: 200,
      editor: 200,
      viewer: 200,
      stranger: 404,
      admin: 200,
      watcher: 200,
      helper: 200,
    })
  })

  test('changing fields and tags', async () => {
    const expected = {
      owner: 200,
      editor: 200,
      viewer: 403,
      stranger: 404,
      admin: 200,
      watcher: 403,
      helper: 200,
    }
    const path = `/api/tasks/${task.id}`
    const writes: [string, string, (name: string) => unknown][] = [
      ['PATCH', path, (name) => ({ title: `By ${name}` })],
      ['PUT', path, (name) => ({ title: `Put by ${name}` })],
      ['POST', `${path}/tags`, (name) => ({ tags: [name] })],
      ['PATCH', '/api/tasks/bulk', (name) => ({ ids: [task.id], changes: { description: name } })],
      [
        'POST',
        '/api/tasks/batch',
        (name) => ({
          operations: [{ op: 'update', id: task.id, data: { description: `In a batch by ${name}` } }],
        }),
      ],
    ]
    for (const [method, url, body] of writes)
      expect(
        await statuses(async (calls, name) => (await calls.call(method, url, body(name))).status),
      ).toEqual(expected)
  })

  test('creating in the project', async () => {
    const body = { title: 'New', projectId: project.id }
    expect(await statuses(async (calls) => (await calls.call('POST', '/api/tasks', body)).status)).toEqual({
      owner: 201,
      editor: 201,
      viewer: 403,
      stranger: 422,
      admin: 201,
      watcher: 422,
      helper: 422,
    })
  })

  test('moving, reparenting and deleting', async () => {
    const expected = {
      owner: 200,
      editor: 200,
      viewer: 403,
      stranger: 404,
      admin: 200,
      watcher: 403,
      helper: 403,
    }
    const other = await as['owner']!.task({ projectId: project.id })
    const inTurn = async (calls: Calls, name: string) => {
      const where = name === 'editor' ? { before: other.id } : { after: other.id }
      return (await calls.call('POST', `/api/tasks/${task.id}/move`, where)).status
    }
    expect(await statuses(inTurn)).toEqual(expected)
    const reparent = async (calls: Calls, name: string) => {
      const parentId = ['editor', 'helper'].includes(name) ? null : other.id
      return (await calls.call('PATCH', `/api/tasks/${task.id}`, { parentId })).status
    }
    // Each request names another parent than the one before, so that each would change the task.
    expect(await statuses(reparent)).toEqual(expected)
    await as['owner']!.call('PATCH', `/api/tasks/${task.id}`, { parentId: null })
    const remove = async (calls: Calls, name: string) => {
      const fresh = await as['owner']!.task({ projectId: project.id })
      await as['owner']!.share(fresh, watcher!, 'view')
      await as['owner']!.share(fresh, helper!, 'edit')
      const { status } = await calls.call('DELETE', `/api/tasks/${fresh.id}`)
      expect([name, (await as['owner']!.call('GET', `/api/tasks/${fresh.id}`)).status]).toEqual([
        name,
        status === 204 ? 404 : 200,
      ])
      return status
    }
    expect(await statuses(remove)).toEqual({ ...expected, owner: 204, editor: 204, admin: 204 })
  })
})

describe('what a stranger learns', () => {
  test('every verb on a task answers as for an id that does not exist', async () => {
    const random = Bun.randomUUIDv7()
    const asked: [string, string, unknown][] = [
      ['GET', '', undefined],
      ['PATCH', '', { title: 'x' }],
      ['PUT', '', { title: 'x' }],
      ['DELETE', '', undefined],
      ['POST', '/move', {}],
      ['POST', '/tags', { tags: ['x'] }],
      ['DELETE', '/tags/x', undefined],
    ]
    const before = await world.entryCount()
    for (const [method, rest, body] of asked) {
      const answers = await Promise.all(
        [task.id, random].map((id) => as['stranger']!.refused(method, `/api/tasks/${id}${rest}`, body)),
      )
      const [real, unreal] = answers.map(({ status, headers, body: { ...problem } }) => {
        const logged = Object.fromEntries(headers)
        delete logged['x-request-id']
        delete logged['date']
        return { status, logged, problem: { ...problem, instance: '', requestId: '' } }
      })
      expect(real).toEqual(unreal)
      expect(real!.status).toBe(404)
    }
    expect(await world.entryCount()).toBe(before)
    expect((await as['owner']!.get(task.id)).title).not.toBe('x')
  })

  test('foreign ids in bodies are 422, in lists and operations 404, the same as unknown ones', async () => {
    const own = await as['stranger']!.task()
    const path = `/api/tasks/${own.id}`
    const bodies: [string, string, (id: string) => unknown, number, string][] = [
      ['POST', '/api/tasks', (id) => ({ title: 'x', projectId: id }), 422, '/projectId'],
      ['POST', '/api/tasks', (id) => ({ title: 'x', parentId: id }), 422, '/parentId'],
      ['POST', '/api/tasks', (id) => ({ title: 'x', assigneeId: id }), 422, '/assigneeId'],
      ['PATCH', path, (id) => ({ parentId: id }), 422, '/parentId'],
      ['PATCH', path, (id) => ({ assigneeId: id }), 422, '/assigneeId'],
      ['POST', `${path}/move`, (id) => ({ projectId: id }), 422, '/projectId'],
      ['POST', `${path}/move`, (id) => ({ before: id }), 422, '/before'],
      ['POST', `${path}/move`, (id) => ({ after: id }), 422, '/after'],
      ['PATCH', '/api/tasks/bulk', (id) => ({ ids: [own.id, id], changes: { title: 'x' } }), 404, '/ids/1'],
      [
        'PATCH',
        '/api/tasks/bulk',
        (id) => ({ ids: [own.id], changes: { parentId: id } }),
        422,
        '/changes/parentId',
      ],
      [
        'POST',
        '/api/tasks/batch',
        (id) => ({
          operations: [
            { op: 'create', data: { title: 'x' } },
            { op: 'delete', id },
          ],
        }),
        404,
        '/operations/1/id',
      ],
      [
        'POST',
        '/api/tasks/batch',
        (id) => ({ operations: [{ op: 'update', id: own.id, data: { assigneeId: id } }] }),
        422,
        '/operations/0/data/assigneeId',
      ],
    ]
    const before = await world.entryCount()
    for (const [method, url, body, status, pointer] of bodies) {
      const foreign = pointer.endsWith('/projectId')
        ? project.id
        : pointer.endsWith('/assigneeId')
          ? owner!.id
          : task.id
      const answers = await Promise.all(
        [foreign, Bun.randomUUIDv7()].map((id) => as['stranger']!.refused(method, url, body(id))),
      )
      for (const answer of answers)
        expect([url, answer.status, pointersOf(answer)]).toEqual([url, status, [pointer]])
      expect(answers[0]!.body.errors).toEqual(answers[1]!.body.errors ?? [])
    }
    expect(await world.entryCount()).toBe(before)
    expect(await as['stranger']!.get(own.id)).toEqual(own)
  })
})

describe('sharing', () => {
  test('a sharee receives entries of changes and of the end of the share', async () => {
    const shared = await as['owner']!.task({ projectId: project.id })
    await as['owner']!.share(shared, helper!, 'edit')
    const scopes = [projectScope(project.id), userScope(helper!.id), userScope(watcher!.id)]
    const { logged, answer } = await watching(world, scopes, async () => {
      const patched = await as['helper']!.call<Task>('PATCH', `/api/tasks/${shared.id}`, { title: 'Helped' })
      await as['owner']!.call('DELETE', `/api/tasks/${shared.id}`)
      return patched
    })
    const { version } = answer.body
    expect(logged).toEqual([
      `project task.updated v${version}`,
      `project task.deleted v${version + 1}`,
      `user task.updated v${version}`,
      `user task.deleted v${version + 1}`,
    ])
    const update = (await entriesOf(world, shared)).find((entry) => entry.type === 'task.updated')
    expect(answer.headers.get('tide-cursor')).toBe(frameOf(update).cursor)
  })

  test('an assignee must be able to read the task: a member, or one it is shared with', async () => {
    const assign = (name: string, assigneeId: string) =>
      as[name]!.refused('PATCH', `/api/tasks/${task.id}`, { assigneeId })
    for (const person of [viewer!, watcher!, helper!, owner!])
      expect((await assign('editor', person.id)).status).toBe(200)
    const unreadable = await assign('editor', stranger!.id)
    const unknown = await assign('editor', Bun.randomUUIDv7())
    for (const answer of [unreadable, unknown])
      expect([answer.status, pointersOf(answer)]).toEqual([422, ['/assigneeId']])
    expect(unreadable.body.errors).toEqual(unknown.body.errors ?? [])
    const fresh = { title: 'x', projectId: project.id, assigneeId: watcher!.id }
    expect(pointersOf(await as['owner']!.refused('POST', '/api/tasks', fresh))).toEqual(['/assigneeId'])
  })

  test('a removed member stays named as assignee, and an edit of something else keeps it', async () => {
    const leaver = await world.register('Leaver')
    const team = await as['owner']!.project({ editor: leaver })
    const held = await as['owner']!.task({ projectId: team.id, assigneeId: leaver.id })
    expect((await as['owner']!.call('DELETE', `/api/projects/${team.id}/members/${leaver.id}`)).status).toBe(
      204,
    )
    const edited = await as['owner']!.call<Task>('PATCH', `/api/tasks/${held.id}`, { title: 'Kept' })
    expect([edited.status, edited.body.assigneeId]).toEqual([200, leaver.id])
    expect((await callsOf(world, leaver).refused('GET', `/api/tasks/${held.id}`)).status).toBe(404)
  })
})

test('an archived project is read-only', async () => {
  const old = await as['owner']!.project({ editor: editor! })
  const live = await as['owner']!.task()
  const held = await as['owner']!.task({ projectId: old.id })
  expect((await as['owner']!.call('POST', `/api/projects/${old.id}/archive`)).status).toBe(200)
  const path = `/api/tasks/${held.id}`
  const writes: [string, string, unknown][] = [
    ['POST', '/api/tasks', { title: 'x', projectId: old.id }],
    ['PATCH', path, { title: 'x' }],
    ['PUT', path, { title: 'x' }],
    ['DELETE', path, undefined],
    ['POST', `${path}/tags`, { tags: ['x'] }],
    ['POST', `${path}/move`, { projectId: owner!.inboxId }],
    ['POST', `/api/tasks/${live.id}/move`, { projectId: old.id }],
    ['PATCH', '/api/tasks/bulk', { ids: [live.id, held.id], changes: { title: 'x' } }],
    ['POST', '/api/tasks/batch', { operations: [{ op: 'delete', id: held.id }] }],
  ]
  const before = await world.entryCount()
  for (const [method, url, body] of writes) {
    const { status, body: problem } = await as['owner']!.refused(method, url, body)
    expect([method, url, status, problem.code]).toEqual([method, url, 409, 'project_archived'])
  }
  expect(await world.entryCount()).toBe(before)
  expect(await as['owner']!.get(held.id)).toEqual(held)
})
