// Moving tasks: their order in a project, and from one project into another.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { projectScope, userScope } from '../../src/model/scope.ts'
import type { Project } from '../../src/model/project.ts'
import type { Task } from '../../src/model/task.ts'
import { callsOf, entriesOf, frameOf, pointersOf, watching, type Calls } from '../support/tasks.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

let world: World
let ada: Person
let bob: Person
let mine: Calls

beforeAll(async () => {
  world = await startWorld()
  ;({ Ada: ada, Bob: bob } = await world.people('Ada', 'Bob'))
  mine = callsOf(world, ada)
})

afterAll(() => world[Symbol.asyncDispose]())

const move = (task: Task, body: Record<string, unknown>) =>
  mine.call<Task>('POST', `/api/tasks/${task.id}/move`, body)

const refusedMove = (task: Task, body: Record<string, unknown>) =>
  mine.refused('POST', `/api/tasks/${task.id}/move`, body)

const inOrder = async (project: Project): Promise<string[]> => {
  const { body } = await mine.call<{ items: Task[] }>(
    'GET',
    `/api/tasks?projectId=${project.id}&sort=rank&limit=100`,
  )
  return body.items.map((task) => task.title)
}

const projectWith = async (...titles: string[]): Promise<{ project: Project; tasks: Task[] }> => {
  const project = await mine.project()
  const tasks: Task[] = []
  for (const title of titles) tasks.push(await mine.task({ title, projectId: project.id }))
  return { project, tasks }
}

describe('within a project', () => {
  test('before, after and last', async () => {
    const { project, tasks } = await projectWith('a', 'b', 'c', 'd')
    const [a, b, c, d] = tasks as [Task, Task, Task, Task]
    const { answer, logged } = await watching(world, [projectScope(project.id)], () =>
      move(d, { before: a.id }),
    )
    expect([answer.status, answer.body]).toEqual([
      200,
      { ...d, rank: answer.body.rank, version: 2, updatedAt: expect.any(String) },
    ])
    expect(logged).toEqual(['project task.updated v2'])
    expect(frameOf((await entriesOf(world, d)).at(-1))).toMatchObject({
      changed: ['rank'],
      data: answer.body,
    })
    expect(await inOrder(project)).toEqual(['d', 'a', 'b', 'c'])
    await move(a, { after: b.id })
    expect(await inOrder(project)).toEqual(['d', 'b', 'a', 'c'])
    await move(d, {})
    expect(await inOrder(project)).toEqual(['b', 'a', 'c', 'd'])
    await move(c, { before: a.id, projectId: project.id })
    expect(await inOrder(project)).toEqual(['b', 'c', 'a', 'd'])
    await move(b, { after: d.id })
    expect(await inOrder(project)).toEqual(['c', 'a', 'd', 'b'])
  })

  test('to where it is already changes nothing', async () => {
    const { project, tasks } = await projectWith('a', 'b', 'c')
    const [a, b, c] = tasks as [Task, Task, Task]
    const { logged } = await watching(world, [projectScope(project.id)], async () => {
      for (const place of [{ after: a.id }, { before: c.id }])
        expect((await move(b, place)).headers.get('tide-cursor')).toBeNull()
      expect((await move(c, {})).body).toEqual(c)
    })
    expect(logged).toEqual([])
  })

  test('reordering keeps the parent and the content version', async () => {
    const { project, tasks } = await projectWith('root', 'x')
    const child = await mine.task({ title: 'child', projectId: project.id, parentId: tasks[0]!.id })
    expect((await move(child, { before: tasks[0]!.id })).body).toMatchObject({
      parentId: tasks[0]!.id,
      version: 2,
    })
    const edited = await mine.call<Task>(
      'PATCH',
      `/api/tasks/${child.id}`,
      { title: 'c' },
      { 'If-Match': '"1"' },
    )
    expect(edited.status).toBe(200)
  })

  test('between equal ranks the following tasks move, and are logged', async () => {
    const { project, tasks } = await projectWith('a', 'b', 'c', 'd', 'e')
    const [a, b, c, d, e] = tasks as [Task, Task, Task, Task, Task]
    await world.server.deps.db.transact(
      (tx) => tx`update tasks set rank = ${a.rank} where id = any(${[b.id, c.id]}::uuid[])`,
    )
    const { logged } = await watching(world, [projectScope(project.id)], () => move(e, { after: a.id }))
    expect(logged).toEqual(Array(3).fill('project task.updated v2'))
    expect(await inOrder(project)).toEqual(['a', 'e', 'b', 'c', 'd'])
    expect((await mine.get(d.id)).version).toBe(1)
  })

  test('a neighbour must be another task of the project', async () => {
    const { tasks } = await projectWith('a', 'b')
    const [a, b] = tasks as [Task, Task]
    const elsewhere = await mine.task()
    for (const place of [
      { before: a.id },
      { after: a.id },
      { before: elsewhere.id },
      { after: Bun.randomUUIDv7() },
    ]) {
      const answer = await refusedMove(a, place)
      expect([answer.status, pointersOf(answer)]).toEqual([422, [`/${Object.keys(place)[0]}`]])
    }
    expect((await refusedMove(a, { before: b.id, after: b.id })).status).toBe(422)
    expect((await refusedMove(a, { rank: 'x' })).status).toBe(422)
  })
})

describe('into another project', () => {
  test('it is deleted in the old scope and created in the new, two versions on', async () => {
    const here = await mine.project({ viewer: bob })
    const { project: there, tasks } = await projectWith('one', 'two')
    const parent = await mine.task({ projectId: here.id })
    const root = await mine.task({
      projectId: here.id,
      parentId: parent.id,
      assigneeId: bob.id,
      title: 'root',
    })
    const child = await mine.task({ projectId: here.id, parentId: root.id, assigneeId: ada.id })
    const { answer, logged } = await watching(world, [projectScope(here.id), projectScope(there.id)], () =>
      move(root, { projectId: there.id, before: tasks[1]!.id }),
    )
    expect([answer.status, answer.body]).toMatchObject([
      200,
      { projectId: there.id, parentId: null, assigneeId: null, version: 3 },
    ])
    expect(logged).toEqual([
      'project task.deleted v2',
      'project task.deleted v2',
      'project task.created v3',
      'project task.created v3',
    ])
    expect(await mine.get(child.id)).toMatchObject({
      projectId: there.id,
      parentId: root.id,
      assigneeId: ada.id,
      version: 3,
      rank: child.rank,
    })
    const titles = await inOrder(there)
    expect(titles.indexOf('root')).toBeLessThan(titles.indexOf('two'))
    expect(titles.indexOf('root')).toBeGreaterThan(titles.indexOf('one'))
    const arrived = await entriesOf(world, answer.body)
    const last = (await world.entries(projectScope(there.id))).at(-1)
    expect(answer.headers.get('tide-cursor')).toBe(frameOf(last).cursor)
    expect(frameOf(arrived[0]).data).toEqual(answer.body)
    const stale = await mine.refused('PATCH', `/api/tasks/${root.id}`, { title: 'x' }, { 'If-Match': '"1"' })
    expect(stale.status).toBe(412)
  })

  test('a sharee keeps it, receives one entry and may stay assigned', async () => {
    const here = await mine.project()
    const there = await mine.project()
    const task = await mine.task({ projectId: here.id })
    await mine.share(task, bob, 'edit')
    await mine.call('PATCH', `/api/tasks/${task.id}`, { assigneeId: bob.id })
    const { version } = await mine.get(task.id)
    const { answer, logged } = await watching(world, [userScope(bob.id)], () =>
      move(task, { projectId: there.id }),
    )
    expect(answer.body).toMatchObject({ assigneeId: bob.id, version: version + 2 })
    expect(logged).toEqual([`user task.updated v${version + 2}`])
    expect(await callsOf(world, bob).get(task.id)).toEqual(answer.body)
  })

  test('it needs an editor on both sides', async () => {
    const readable = await callsOf(world, bob).project({ viewer: ada })
    const task = await mine.task()
    const { status, body } = await refusedMove(task, { projectId: readable.id })
    expect([status, body.code]).toEqual([403, 'forbidden'])
    const theirs = await callsOf(world, bob).task({ projectId: readable.id })
    expect((await refusedMove(theirs, { projectId: ada.inboxId })).status).toBe(403)
    expect(await mine.get(task.id)).toEqual(task)
  })
})
