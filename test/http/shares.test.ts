// Shares of single tasks over HTTP: logged for the task's project and for the user.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { projectScope, userScope } from '../../src/model/scope.ts'
import type { LogEntry } from '../../src/model/event.ts'
import type { Project } from '../../src/model/project.ts'
import { newId } from '../../src/model/scalar.ts'
import type { Task } from '../../src/model/task.ts'
import { frameOf } from '../support/tasks.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

let world: World
let ada: Person
let bob: Person

beforeAll(async () => {
  world = await startWorld()
  ;({ Ada: ada, Bob: bob } = await world.people('Ada', 'Bob'))
})

afterAll(() => world[Symbol.asyncDispose]())

const makeTask = async (projectId = ada.inboxId): Promise<{ task: Task; path: string }> => {
  const { status, body } = await world.call<Task>('POST', '/api/tasks', {
    token: ada.token,
    body: { title: 'Shared', projectId },
  })
  expect(status).toBe(201)
  return { task: body, path: `/api/tasks/${body.id}/shares` }
}

const share = (path: string, body: Record<string, unknown>, by: Person = ada) =>
  world.call('POST', path, { token: by.token, body })

/** The last entry of the task's project and of the person, which differ in their scope alone. */
const lastOfBoth = async (task: Task, person: Person) => ({
  inProject: (await world.entries(projectScope(task.projectId))).at(-1),
  ofPerson: (await world.entries(userScope(person.id))).at(-1),
})

test('a task of an Inbox is shared by e-mail and logged for the project and the user', async () => {
  const { task, path } = await makeTask()
  const { status, body, headers } = await share(path, { email: bob.email, permission: 'view' })
  expect(status).toBe(201)
  expect(body).toEqual({
    taskId: task.id,
    userId: bob.id,
    name: 'Bob',
    avatarUrl: null,
    permission: 'view',
    createdAt: expect.any(String),
  })
  expect(headers.get('location')).toBe(`${path}/${bob.id}`)
  const { inProject, ofPerson } = await lastOfBoth(task, bob)
  for (const entry of [inProject, ofPerson]) {
    expect(entry).toMatchObject({
      type: 'share.added',
      entityId: task.id,
      actorId: ada.id,
      control: null,
      changes: { userId: { from: null, to: bob.id }, permission: { from: null, to: 'view' } },
    })
    expect(entry?.version).toBe(entry!.seq)
    expect(frameOf(entry).data).toEqual(body)
  }
  expect(headers.get('tide-cursor')).toBe(frameOf(inProject).cursor)
  expect((await world.call('GET', `/api/tasks/${task.id}`, { token: bob.token })).status).toBe(200)
  expect((await world.call('GET', `/api/projects/${task.projectId}`, { token: bob.token })).status).toBe(404)
})

test('a changed permission is another share.added; the same permission is nothing', async () => {
  const { task, path } = await makeTask()
  await share(path, { userId: bob.id, permission: 'view' })
  const change = () =>
    world.call('PATCH', `${path}/${bob.id}`, { token: ada.token, body: { permission: 'edit' } })
  const answer = await change()
  expect(answer).toMatchObject({ status: 200, body: { userId: bob.id, permission: 'edit' } })
  const { inProject, ofPerson } = await lastOfBoth(task, bob)
  for (const entry of [inProject, ofPerson]) {
    expect(entry).toMatchObject({
      type: 'share.added',
      changes: { permission: { from: 'view', to: 'edit' } },
    })
    expect(frameOf(entry)).toMatchObject({ changed: ['permission'], data: answer.body })
  }
  const before = await world.entryCount()
  const same = await change()
  expect(same).toMatchObject({ status: 200, body: answer.body })
  expect(same.headers.get('tide-cursor')).toBeNull()
  expect(await world.entryCount()).toBe(before)
})

test('an ended share is logged for both, and the next request of the user is 404', async () => {
  const { task, path } = await makeTask()
  await share(path, { userId: bob.id, permission: 'edit' })
  expect((await world.call('DELETE', `${path}/${bob.id}`, { token: ada.token })).status).toBe(204)
  const { inProject, ofPerson } = await lastOfBoth(task, bob)
  for (const entry of [inProject, ofPerson]) {
    expect(entry).toMatchObject({
      type: 'share.removed',
      entityId: task.id,
      control: null,
      changes: { userId: { from: bob.id, to: null }, permission: { from: 'edit', to: null } },
    })
    expect(frameOf(entry).data).toEqual({ taskId: task.id, userId: bob.id })
  }
  const attempts = await Promise.all([
    world.call('GET', `/api/tasks/${task.id}`, { token: bob.token }),
    world.call('GET', path, { token: bob.token }),
    world.call('PATCH', `/api/tasks/${task.id}`, { token: bob.token, body: { title: 'Mine' } }),
    world.call('DELETE', `${path}/${bob.id}`, { token: ada.token }),
    world.call('PATCH', `${path}/${bob.id}`, { token: ada.token, body: { permission: 'view' } }),
  ])
  expect(attempts.map((attempt) => attempt.status)).toEqual([404, 404, 404, 404, 404])
})

test('the sharee receives entries of the task while it is shared, and none afterwards', async () => {
  const { task, path } = await makeTask()
  const carol = await world.register('Carol')
  await share(path, { userId: carol.id, permission: 'view' })
  const rename = (title: string) =>
    world.call('PATCH', `/api/tasks/${task.id}`, { token: ada.token, body: { title } })
  await rename('While shared')
  await world.call('DELETE', `${path}/${carol.id}`, { token: ada.token })
  await rename('After the share')
  const types = (await world.entries(userScope(carol.id))).map((entry) => entry.type)
  expect(types.slice(-3)).toEqual(['share.added', 'task.updated', 'share.removed'])
})

test('of changes concurrent with the end of a share the sharee receives none after the end', async () => {
  const { task, path } = await makeTask()
  const carol = await world.register('Carol')
  await share(path, { userId: carol.id, permission: 'view' })
  await Promise.all([
    ...Array.from({ length: 10 }, (_, index) =>
      world.call('PATCH', `/api/tasks/${task.id}`, { token: ada.token, body: { title: `Title ${index}` } }),
    ),
    world.call('DELETE', `${path}/${carol.id}`, { token: ada.token }),
  ])
  const ofProject = await world.entries(projectScope(task.projectId))
  const received = await world.entries(userScope(carol.id))
  expect(received.at(-1)?.type).toBe('share.removed')
  const end = ofProject.findIndex((entry) => entry.type === 'share.removed' && entry.entityId === task.id)
  const versions = (entries: LogEntry[]) =>
    entries.filter((entry) => entry.type === 'task.updated').map((entry) => entry.version)
  expect(versions(received)).toEqual(
    versions(ofProject.slice(0, end).filter((entry) => entry.entityId === task.id)),
  )
})

test('a task takes 20 shares and no more, also in parallel', async () => {
  const { path } = await makeTask()
  const people = await Promise.all(Array.from({ length: 22 }, () => world.register()))
  const answers = await Promise.all(
    people.map((person) => share(path, { userId: person.id, permission: 'view' })),
  )
  expect(answers.filter((answer) => answer.status === 201)).toHaveLength(20)
  expect(answers.filter((answer) => answer.body.code === 'validation_failed')).toHaveLength(2)
  const { body } = await world.call('GET', `${path}?limit=15&page=2`, { token: ada.token })
  expect(body).toMatchObject({ total: 20, totalPages: 2 })
  expect(body.items).toHaveLength(5)
}, 30_000)

test('a second share with one person, an unknown person and an unknown task are refused', async () => {
  const { path } = await makeTask()
  await share(path, { userId: bob.id, permission: 'view' })
  const before = await world.entryCount()
  const refused = [
    await share(path, { userId: bob.id, permission: 'edit' }),
    await share(path, { userId: newId(), permission: 'view' }),
    await share(path, { email: 'no-account@example.com', permission: 'view' }),
    await share(path, { permission: 'view' }),
    await share(path, { userId: bob.id, permission: 'owner' }),
    await share(`/api/tasks/${newId()}/shares`, { userId: bob.id, permission: 'view' }),
  ].map(({ status, body }) => [status, body.code, body.errors?.[0]?.pointer])
  expect(refused).toEqual([
    [409, 'already_shared', undefined],
    [422, 'user_not_found', '/userId'],
    [422, 'user_not_found', '/email'],
    [422, 'validation_failed', ''],
    [422, 'validation_failed', '/permission'],
    [404, 'not_found', undefined],
  ])
  expect(await world.entryCount()).toBe(before)
})

test('in an archived project shares end, but none begins or changes', async () => {
  const project = await world.project(ada)
  const { path } = await makeTask(project.id)
  await share(path, { userId: bob.id, permission: 'view' })
  await world.call('POST', `/api/projects/${project.id}/archive`, { token: ada.token })
  const refused = [
    await share(path, { userId: ada.id, permission: 'view' }),
    await world.call('PATCH', `${path}/${bob.id}`, { token: ada.token, body: { permission: 'edit' } }),
  ]
  expect(refused.map((answer) => answer.body.code)).toEqual(['project_archived', 'project_archived'])
  expect((await world.call('DELETE', `${path}/${bob.id}`, { token: ada.token })).status).toBe(204)
})

const add = (project: Project, email: string, role: string) =>
  world.call('POST', `/api/projects/${project.id}/members`, { token: ada.token, body: { email, role } })

const leave = (project: Project, person: Person, by: Person) =>
  world.call('DELETE', `/api/projects/${project.id}/members/${person.id}`, { token: by.token })

test('a task is not shared with a member: not with another, not with oneself, not by an admin', async () => {
  const project = await world.project(ada)
  const { path } = await makeTask(project.id)
  await add(project, bob.email, 'editor')
  const admin = await world.registerAdmin()
  const before = await world.entryCount()
  const refused = [
    await share(path, { userId: bob.id, permission: 'edit' }, bob),
    await share(path, { userId: ada.id, permission: 'edit' }, bob),
    await share(path, { email: bob.email, permission: 'view' }),
    await share(path, { userId: bob.id, permission: 'view' }, admin),
  ].map(({ status, body }) => [status, body.code])
  expect(refused).toEqual(refused.map(() => [409, 'already_member']))
  expect(await world.entryCount()).toBe(before)
})

test.each(['removed', 'leaving'])('shares with a member end when the member is %s', async (how) => {
  const project = await world.project(ada)
  const { task, path } = await makeTask(project.id)
  const carol = await world.register('Carol')
  await add(project, carol.email, 'editor')
  // As it could be before shares with members were refused.
  await world.server.deps.db.transact(
    (tx) => tx`insert into shares (task_id, user_id, permission) values (${task.id}, ${carol.id}, 'edit')`,
  )
  const elsewhere = await makeTask()
  await share(elsewhere.path, { userId: carol.id, permission: 'view' })
  const seen = (await world.entries(projectScope(project.id))).length
  expect((await leave(project, carol, how === 'removed' ? ada : carol)).status).toBe(204)
  const entries = (await world.entries(projectScope(project.id))).slice(seen)
  expect(entries.map((entry) => entry.type)).toEqual(['member.removed', 'share.removed', 'project.updated'])
  const received = (await world.entries(userScope(carol.id))).slice(-2)
  expect(received.map((entry) => entry.type)).toEqual(['share.removed', 'access.revoked'])
  const count = received.length + (await world.entries(userScope(carol.id))).length
  expect((await world.call('GET', `/api/tasks/${task.id}`, { token: carol.token })).status).toBe(404)
  await world.call('PATCH', `/api/tasks/${task.id}`, { token: ada.token, body: { title: 'Unheard' } })
  expect(received.length + (await world.entries(userScope(carol.id))).length).toBe(count)
  expect((await world.call('GET', path, { token: ada.token })).body.items).toEqual([])
  expect((await world.call('GET', `/api/tasks/${elsewhere.task.id}`, { token: carol.token })).status).toBe(
    200,
  )
})

test('a sharee who becomes a member loses the share, and leaves without one', async () => {
  const project = await world.project(ada)
  const { task, path } = await makeTask(project.id)
  const carol = await world.register('Carol')
  await share(path, { userId: carol.id, permission: 'view' })
  await add(project, carol.email, 'viewer')
  expect((await world.call('GET', path, { token: ada.token })).body.items).toEqual([])
  expect((await world.entries(userScope(carol.id))).slice(-2).map((entry) => entry.type)).toEqual([
    'share.removed',
    'access.granted',
  ])
  await leave(project, carol, carol)
  expect((await world.call('GET', `/api/tasks/${task.id}`, { token: carol.token })).status).toBe(404)
})

test('a task that moves into a project is no longer shared with its members', async () => {
  const project = await world.project(ada)
  const { task, path } = await makeTask()
  const [carol, dora] = [await world.register('Carol'), await world.register('Dora')]
  await share(path, { userId: carol.id, permission: 'edit' })
  await share(path, { userId: dora.id, permission: 'view' })
  await add(project, carol.email, 'viewer')
  const moved = await world.call('POST', `/api/tasks/${task.id}/move`, {
    token: ada.token,
    body: { projectId: project.id },
  })
  expect(moved.status).toBe(200)
  const { items } = (await world.call('GET', path, { token: ada.token })).body
  expect(items.map((item: { userId: string }) => item.userId)).toEqual([dora.id])
  expect((await world.entries(userScope(carol.id))).at(-1)?.type).toBe('share.removed')
  expect((await world.entries(userScope(dora.id))).at(-1)?.type).toBe('task.updated')
  await leave(project, carol, carol)
  expect((await world.call('GET', `/api/tasks/${task.id}`, { token: carol.token })).status).toBe(404)
})

test('of sharing with a person and adding that person at once, no share outlives the membership', async () => {
  for (let round = 0; round < 8; round += 1) {
    const project = await world.project(ada)
    const { task, path } = await makeTask(project.id)
    await Promise.all([
      share(path, { userId: bob.id, permission: 'view' }),
      add(project, bob.email, 'viewer'),
    ])
    const rows = await world.server.deps.db.read((sql) => sql`select from shares where task_id = ${task.id}`)
    expect(rows).toHaveLength(0)
    await leave(project, bob, bob)
    expect((await world.call('GET', `/api/tasks/${task.id}`, { token: bob.token })).status).toBe(404)
  }
})
