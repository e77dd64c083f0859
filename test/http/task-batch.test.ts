// Many tasks in one request: all or nothing, in order, with pointers to what is wrong.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { projectScope } from '../../src/model/scope.ts'
import type { Task } from '../../src/model/task.ts'
import { callsOf, pointersOf, watching, type Calls } from '../support/tasks.ts'
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

interface Items {
  items: (Task | null)[]
}

const inbox = () => projectScope(ada.inboxId)
const several = (count: number) => Promise.all(Array.from({ length: count }, () => mine.task()))
const bulk = (ids: string[], changes: unknown) =>
  mine.call<Items>('PATCH', '/api/tasks/bulk', { ids, changes })
const batch = (...operations: unknown[]) => mine.call<Items>('POST', '/api/tasks/batch', { operations })
const refusedBatch = (...operations: unknown[]) => mine.refused('POST', '/api/tasks/batch', { operations })

test('bulk applies one change to many tasks and answers in the order of the ids', async () => {
  const tasks = await several(5)
  const done = await mine.call<Task>('PATCH', `/api/tasks/${tasks[2]!.id}`, { status: 'done' })
  const ids = tasks.map(({ id }) => id).toReversed()
  const { answer, logged } = await watching(world, [inbox()], () => bulk(ids, { status: 'done' }))
  expect(answer.status).toBe(200)
  expect(answer.body.items.map((task) => task!.id)).toEqual(ids)
  expect(answer.body.items.every((task) => task!.status === 'done' && task!.version === 2)).toBe(true)
  expect(answer.body.items[2]).toEqual(done.body)
  expect(logged).toEqual(Array(4).fill('project task.updated v2'))
  expect(answer.headers.get('tide-cursor')).not.toBeNull()
  const repeated = await bulk(ids, { status: 'done' })
  expect(repeated.headers.get('etag')).toStartWith('W/"')
  expect(repeated.headers.get('etag')).toBe(answer.headers.get('etag')) // of the same bytes
})

test('bulk over two projects has no single position', async () => {
  const here = await mine.task()
  const there = await mine.task({ projectId: (await mine.project()).id })
  const { status, headers } = await bulk([here.id, there.id], { priority: 'low' })
  expect([status, headers.get('tide-cursor')]).toEqual([200, null])
})

test('the position depends on the projects of all named tasks, also of those that do not change', async () => {
  const there = (await mine.project()).id
  const [here, inThere] = [await mine.task(), await mine.task({ projectId: there, priority: 'low' })]
  const changed = await bulk([here.id, inThere.id], { priority: 'low' })
  expect(changed.body.items.map((task) => task!.version)).toEqual([2, 1])
  expect(changed.headers.get('tide-cursor')).toBeNull()
  const mixed = await batch(
    { op: 'update', id: here.id, data: { priority: 'high' } },
    { op: 'update', id: inThere.id, data: { priority: 'low' } },
  )
  expect([mixed.status, mixed.headers.get('tide-cursor')]).toEqual([200, null])
  const deleted = await batch(
    { op: 'update', id: here.id, data: { priority: 'high' } },
    { op: 'delete', id: inThere.id },
  )
  expect([deleted.status, deleted.headers.get('tide-cursor')]).toEqual([200, null])
  // All of one project: the position is that of what changed; where nothing did, there is none.
  const two = [here.id, (await mine.task({ priority: 'high' })).id]
  expect((await bulk(two, { priority: 'high' })).headers.has('tide-cursor')).toBe(false)
  await mine.call('PATCH', `/api/tasks/${here.id}`, { priority: 'low' })
  const { answer, logged } = await watching(world, [inbox()], () => bulk(two, { priority: 'high' }))
  expect([logged.length, answer.headers.has('tide-cursor')]).toEqual([1, true])
})

test('bulk is all or nothing', async () => {
  const tasks = await several(3)
  const { answer, logged } = await watching(world, [inbox()], () =>
    mine.refused('PATCH', '/api/tasks/bulk', {
      ids: [...tasks.map(({ id }) => id), Bun.randomUUIDv7()],
      changes: { title: 'x' },
    }),
  )
  expect([answer.status, pointersOf(answer), logged]).toEqual([404, ['/ids/3'], []])
  for (const task of tasks) expect(await mine.get(task.id)).toEqual(task)
})

test('bulk takes 1 to 100 ids and a patch with a member', async () => {
  const [task] = await several(1)
  const wrong: [unknown, string][] = [
    [{ ids: [], changes: { title: 'x' } }, '/ids'],
    [{ ids: Array.from({ length: 101 }, () => task!.id), changes: { title: 'x' } }, '/ids'],
    [{ ids: Array.from({ length: 1000 }, () => task!.id), changes: { title: 'x' } }, '/ids'],
    [{ ids: ['x'], changes: { title: 'x' } }, '/ids/0'],
    [{ ids: [task!.id], changes: {} }, '/changes'],
    [{ ids: [task!.id], changes: { version: 2 } }, '/changes/version'],
    [{ ids: [task!.id] }, '/changes'],
  ]
  for (const [body, pointer] of wrong) {
    const answer = await mine.refused('PATCH', '/api/tasks/bulk', body)
    expect([answer.status, pointersOf(answer)]).toEqual([422, [pointer]])
  }
})

test('bulk gives a whole set one parent', async () => {
  const [parent, ...children] = await several(4)
  const { status, body } = await bulk(
    children.map(({ id }) => id),
    { parentId: parent!.id },
  )
  expect([status, body.items.map((task) => task!.parentId)]).toEqual([200, Array(3).fill(parent!.id)])
  const cycle = await mine.refused('PATCH', '/api/tasks/bulk', {
    ids: [parent!.id],
    changes: { parentId: children[0]!.id },
  })
  expect([cycle.status, pointersOf(cycle)]).toEqual([422, ['/changes/parentId']])
})

test('tags of a moved task that are too long once folded are pointed at where they are', async () => {
  const [task] = await several(1)
  const tags = ['İ'.repeat(30)] // two code points each in lower case
  for (const moved of [{}, { parentId: null }]) {
    const batch = await refusedBatch({ op: 'update', id: task!.id, data: { tags, ...moved } })
    const changed = { ids: [task!.id], changes: { tags, ...moved } }
    const inBulk = await mine.refused('PATCH', '/api/tasks/bulk', changed)
    expect([batch.status, pointersOf(batch)]).toEqual([422, ['/operations/0/data/tags/0']])
    expect([inBulk.status, pointersOf(inBulk)]).toEqual([422, ['/changes/tags/0']])
  }
})

test('a batch runs in order, each operation seeing those before it', async () => {
  const [old, gone] = await several(2)
  const id = Bun.randomUUIDv7()
  const { answer, logged } = await watching(world, [inbox()], () =>
    batch(
      { op: 'create', data: { id, title: 'Made' } },
      { op: 'create', data: { title: 'Below', parentId: id } },
      { op: 'update', id, data: { title: 'Made and changed' }, ifVersion: 1 },
      { op: 'update', id: old!.id, data: { parentId: id } },
      { op: 'delete', id: gone!.id, ifVersion: 1 },
    ),
  )
  expect(answer.status).toBe(200)
  const [made, below, changed, moved, deleted] = answer.body.items
  expect([made!.title, changed!.title, changed!.version]).toEqual(['Made', 'Made and changed', 2])
  expect([below!.parentId, moved!.parentId, deleted]).toEqual([id, id, null])
  expect(logged).toEqual([
    'project task.created v1',
    'project task.created v1',
    'project task.updated v2',
    'project task.updated v2',
    'project task.deleted v2',
  ])
  expect(answer.headers.get('tide-cursor')).not.toBeNull()
  const again = await refusedBatch({ op: 'create', id, data: { title: 'Again' } })
  expect([again.status, again.body.code, pointersOf(again)]).toEqual([409, 'id_taken', ['/operations/0']])
})

test('a batch is all or nothing, whatever its last operation breaks', async () => {
  const [task, stale] = await several(2)
  await mine.call('PATCH', `/api/tasks/${stale!.id}`, { title: 'Newer' })
  const first = [
    { op: 'create', data: { title: 'Never' } },
    { op: 'update', id: task!.id, data: { title: 'Never' } },
  ]
  const last: [unknown, number, string][] = [
    [{ op: 'update', id: stale!.id, data: { title: 'x' }, ifVersion: 1 }, 412, '/operations/2'],
    [{ op: 'delete', id: Bun.randomUUIDv7() }, 404, '/operations/2/id'],
    [{ op: 'update', id: task!.id, data: { parentId: task!.id } }, 422, '/operations/2/data/parentId'],
    [
      { op: 'create', data: { title: 'x', assigneeId: Bun.randomUUIDv7() } },
      422,
      '/operations/2/data/assigneeId',
    ],
    [{ op: 'create', data: { id: task!.id, title: 'x' } }, 409, '/operations/2'],
  ]
  for (const [operation, status, pointer] of last) {
    const { answer, logged } = await watching(world, [inbox()], () => refusedBatch(...first, operation))
    expect([answer.status, pointersOf(answer), logged]).toEqual([status, [pointer], []])
  }
  expect(await mine.get(task!.id)).toEqual(task!)
})

test('what is no operation is refused with a pointer', async () => {
  const [task] = await several(1)
  const wrong: [unknown, string][] = [
    [{ op: 'upsert', data: { title: 'x' } }, '/operations/0/op'],
    [{ op: 'create' }, '/operations/0/data'],
    [{ op: 'create', data: { title: 'x', version: 3 } }, '/operations/0/data/version'],
    [{ op: 'create', data: { title: 'x' }, ifVersion: 1 }, '/operations/0/ifVersion'],
    [{ op: 'update', id: task!.id, data: {} }, '/operations/0/data'],
    [{ op: 'update', data: { title: 'x' } }, '/operations/0/id'],
    [{ op: 'delete', id: task!.id, data: {} }, '/operations/0/data'],
    [{ op: 'delete', id: task!.id, ifVersion: 0 }, '/operations/0/ifVersion'],
    [{ op: 'delete', id: 'x' }, '/operations/0/id'],
  ]
  for (const [operation, pointer] of wrong) {
    const answer = await refusedBatch(operation)
    expect([answer.status, pointersOf(answer)]).toEqual([422, [pointer]])
  }
  expect((await refusedBatch()).status).toBe(422)
})

test('a hundred deletions with subtasks leave one entry each, and a refetch instead of a flood', async () => {
  const project = await mine.project()
  const create = (data: Record<string, unknown>) => ({
    op: 'create',
    data: { projectId: project.id, title: 'x', ...data },
  })
  const roots = Array.from({ length: 100 }, () => Bun.randomUUIDv7())
  await batch(...roots.map((id) => create({ id })))
  for (let round = 0; round < 2; round += 1) await batch(...roots.map((parentId) => create({ parentId })))
  const before = await world.entries(projectScope(project.id))
  const { status } = await batch(...roots.map((id) => ({ op: 'delete', id })))
  expect(status).toBe(200)
  const logged = (await world.entries(projectScope(project.id))).slice(before.length)
  expect(logged.filter((entry) => entry.type === 'task.deleted' && entry.quiet).length).toBe(300)
  expect(logged.filter((entry) => entry.frame !== null).map((entry) => entry.type)).toEqual(['scope.refetch'])
})
