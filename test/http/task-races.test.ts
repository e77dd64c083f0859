// Tasks under simultaneous requests: one effect a key, one winner a version, trees that stay trees.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { projectScope } from '../../src/model/scope.ts'
import type { Task } from '../../src/model/task.ts'
import { callsOf, entriesOf, type Calls } from '../support/tasks.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

let world: World
let ada: Person
let mine: Calls

beforeAll(async () => {
  world = await startWorld()
  ada = await world.register('Ada')
  mine = callsOf(world, ada)
})

afterAll(() => world[Symbol.asyncDispose]())

const at50 = <T>(act: (index: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: 50 }, (_, index) => act(index)))

test('fifty equal requests with one Idempotency-Key have one effect and one answer', async () => {
  const key = { 'Idempotency-Key': crypto.randomUUID() }
  const before = await world.entryCount()
  const answers = await at50(() => mine.call<Task>('POST', '/api/tasks', { title: 'Once' }, key))
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]))
  expect(new Set(answers.map(({ body }) => JSON.stringify(body))).size).toBe(1)
  expect(answers.filter(({ headers }) => headers.get('idempotency-replayed') === 'true').length).toBe(49)
  expect(new Set(answers.map(({ headers }) => headers.get('tide-cursor'))).size).toBe(1)
  expect(new Set(answers.map(({ headers }) => headers.get('etag'))).size).toBe(1)
  expect(await world.entryCount()).toBe(before + 1)
  const other = await mine.refused('POST', '/api/tasks', { title: 'Twice' }, key)
  expect([other.status, other.body.code]).toEqual([422, 'idempotency_key_reused'])
  const bob = await world.register()
  const theirs = await callsOf(world, bob).call<Task>('POST', '/api/tasks', { title: 'Once' }, key)
  expect([theirs.status, theirs.body.creatorId]).toEqual([201, bob.id])
})

test('a failed request keeps nothing under its key', async () => {
  const key = { 'Idempotency-Key': crypto.randomUUID() }
  const task = await mine.task()
  const patch = (tag: string) =>
    mine.call('PATCH', `/api/tasks/${task.id}`, { title: 'Two' }, { ...key, 'If-Match': tag })
  expect((await patch('"7"')).status).toBe(412)
  expect((await patch('"1"')).status).toBe(200)
  const again = await patch('"1"')
  expect([again.status, again.headers.get('idempotency-replayed')]).toEqual([200, 'true'])
})

test('of fifty updates with the same If-Match one wins, and no retried one is lost', async () => {
  const task = await mine.task({ description: '' })
  let refused = 0
  const add = async (index: number): Promise<void> => {
    for (;;) {
      const { version, description } = await mine.get(task.id)
      const body = { description: `${description} ${index}`.trim() }
      const { status } = await mine.call('PATCH', `/api/tasks/${task.id}`, body, {
        'If-Match': `"${version}"`,
      })
      if (status === 200) return
      expect(status).toBe(412)
      refused += 1
    }
  }
  await at50(add)
  const { description, version } = await mine.get(task.id)
  expect(new Set(description.split(' ')).size).toBe(50)
  expect(version).toBe(51)
  expect(refused).toBeGreaterThan(0)
  const entries = await entriesOf(world, task)
  expect(entries.map((entry) => entry.version)).toEqual(Array.from({ length: 51 }, (_, index) => index + 1))
}, 30_000)

test('of fifty creations with one id one wins', async () => {
  const id = Bun.randomUUIDv7()
  const statuses = (await at50(() => mine.call('POST', '/api/tasks', { id, title: 'Mine' }))).map(
    (a) => a.status,
  )
  expect(statuses.filter((status) => status === 201).length).toBe(1)
  expect(statuses.filter((status) => status === 409).length).toBe(49)
})

test('subtasks made while their parent is deleted are refused or deleted, and each deletion is logged', async () => {
  const parent = await mine.task()
  const [gone, ...made] = await Promise.all([
    mine.call('DELETE', `/api/tasks/${parent.id}`),
    ...Array.from({ length: 20 }, () =>
      mine.call<Task>('POST', '/api/tasks', { title: 'Below', parentId: parent.id }),
    ),
  ])
  expect(gone.status).toBe(204)
  for (const { status, body } of made) {
    expect([201, 422]).toContain(status)
    if (status !== 201) continue
    expect((await mine.call('GET', `/api/tasks/${body.id}`)).status).toBe(404)
    expect((await entriesOf(world, body)).map((entry) => entry.type)).toEqual([
      'task.created',
      'task.deleted',
    ])
  }
})

test('two tasks that become each other’s parent at once make no cycle', async () => {
  for (let round = 0; round < 10; round += 1) {
    const [a, b] = [await mine.task(), await mine.task()]
    const answers = await Promise.all([
      mine.call('PATCH', `/api/tasks/${a.id}`, { parentId: b.id }),
      mine.call('PATCH', `/api/tasks/${b.id}`, { parentId: a.id }),
    ])
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 422]))
  }
})

test('batches, bulks, moves and deletions over the same tasks all end, and the log is consistent', async () => {
  const project = await mine.project()
  const tasks: Task[] = []
  for (let index = 0; index < 12; index += 1) tasks.push(await mine.task({ projectId: project.id }))
  const ids = tasks.map(({ id }) => id)
  const pick = (index: number) => ids[(index * 7) % ids.length]!
  const answers = await at50((index) => {
    const shuffled = index % 2 ? ids : ids.toReversed()
    switch (index % 5) {
      case 0:
        return mine.call('PATCH', '/api/tasks/bulk', { ids: shuffled, changes: { title: `T${index}` } })
      case 1:
        return mine.call('POST', '/api/tasks/batch', {
          operations: shuffled.map((id) => ({ op: 'update', id, data: { description: `D${index}` } })),
        })
      case 2:
        return mine.call('POST', `/api/tasks/${pick(index)}/move`, { before: pick(index + 1) })
      case 3:
        return mine.call('PATCH', `/api/tasks/${pick(index)}`, { parentId: pick(index + 2) })
      default:
        return mine.call('POST', '/api/tasks/batch', {
          operations: [
            { op: 'create', data: { title: 'New', projectId: project.id } },
            { op: 'update', id: pick(index), data: { priority: 'low' } },
          ],
        })
    }
  })
  for (const { status } of answers) expect([200, 422, 409]).toContain(status)
  const entries = await world.entries(projectScope(project.id))
  for (const task of tasks) {
    const versions = entries.filter((entry) => entry.entityId === task.id).map((entry) => entry.version)
    expect(versions).toEqual(Array.from({ length: versions.length }, (_, index) => index + 1))
    expect((await mine.get(task.id)).version).toBe(versions.length)
  }
}, 30_000)

test('no task is created in a project after it was archived, nor by a member after the removal', async () => {
  for (let round = 0; round < 5; round += 1) {
    const project = await mine.project()
    const other = await world.register()
    await mine.call('POST', `/api/projects/${project.id}/members`, { email: other.email, role: 'editor' })
    const create = (token: string) =>
      world.call('POST', '/api/tasks', { token, body: { projectId: project.id, title: 'Late' } })
    await Promise.all([
      ...Array.from({ length: 15 }, () => create(other.token)),
      mine.call('DELETE', `/api/projects/${project.id}/members/${other.id}`),
      ...Array.from({ length: 15 }, () => create(other.token)),
    ])
    await Promise.all([
      ...Array.from({ length: 15 }, () => create(ada.token)),
      mine.call('POST', `/api/projects/${project.id}/archive`),
      ...Array.from({ length: 15 }, () => create(ada.token)),
    ])
    const entries = await world.entries(projectScope(project.id))
    const removed = entries.findIndex(({ type }) => type === 'member.removed')
    const archived = entries.findIndex(({ changes }) => changes?.['archivedAt'] !== undefined)
    const late = (from: number) => entries.slice(from).filter(({ type }) => type === 'task.created')
    expect(removed).toBeGreaterThan(0)
    expect(late(removed).filter(({ actorId }) => actorId === other.id)).toEqual([])
    expect(archived).toBeGreaterThan(0)
    expect(late(archived)).toEqual([])
  }
})
