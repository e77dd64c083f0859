// Activity without a worker: a read shows the writes that were answered before it, and a worker that starts later adds
// no row a second time.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Activity } from '../../src/model/activity.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { openWorker } from '../worker/rig.ts'

let world: World
let owner: Person
let editor: Person
let sharee: Person
let stranger: Person

beforeAll(async () => {
  world = await startWorld()
  ;({ owner, editor, sharee, stranger } = await world.people('owner', 'editor', 'sharee', 'stranger'))
}, 30_000)

afterAll(() => world[Symbol.asyncDispose]())

const typesOf = async (person: Person, path: string): Promise<string[]> => {
  const { items } = await world.ask<{ items: Activity[] }>(person, 'GET', path)
  return items.map(({ type }) => type)
}

test('a read shows every write answered before it, by task, by project and of all projects', async () => {
  const { id: projectId } = await world.project(owner, { editor })
  const task = await world.ask(owner, 'POST', '/api/tasks', { projectId, title: 'Write it' })
  await world.ask(editor, 'PATCH', `/api/tasks/${task.id}`, { title: 'Written' })
  await world.ask(editor, 'POST', `/api/tasks/${task.id}/comments`, { body: 'Done' })
  const ofTask = ['comment.created', 'task.updated', 'task.created']
  expect(await typesOf(owner, `/api/tasks/${task.id}/activity`)).toEqual(ofTask)
  const ofProject = [...ofTask, 'member.added', 'project.created']
  expect(await typesOf(editor, `/api/activity?projectId=${projectId}`)).toEqual(ofProject)
  expect((await typesOf(editor, '/api/activity')).slice(0, 5)).toEqual(ofProject)
  await world.ask(owner, 'PATCH', `/api/tasks/${task.id}`, { title: 'Read' })
  const page = await world.ask(editor, 'GET', `/api/activity?projectId=${projectId}&page=1&limit=2`)
  expect([page.total, page.items[0].type, page.items[0].changes.title]).toEqual([
    6,
    'task.updated',
    { from: 'Written', to: 'Read' },
  ])
})

test('whom a task is shared with reads what happened to it at once', async () => {
  const { id: projectId } = await world.project(owner)
  const task = await world.ask(owner, 'POST', '/api/tasks', { projectId, title: 'Share it' })
  await world.ask(owner, 'POST', `/api/tasks/${task.id}/shares`, { email: sharee.email, permission: 'edit' })
  await world.ask(sharee, 'PATCH', `/api/tasks/${task.id}`, { title: 'Shared' })
  const types = ['task.updated', 'share.added', 'task.created']
  expect((await typesOf(sharee, '/api/activity')).slice(0, 3)).toEqual(types)
  const refused = await world.call('GET', `/api/activity?projectId=${projectId}`, { token: stranger.token })
  expect(refused.status).toBe(404)
})

test('a worker that starts later adds no row a second time', async () => {
  const { id: projectId } = await world.project(owner)
  const path = `/api/activity?projectId=${projectId}&page=1`
  for (const title of ['one', 'two']) await world.ask(owner, 'POST', '/api/tasks', { projectId, title })
  const before = await world.ask(owner, 'GET', path)
  expect(before.total).toBe(3)
  await using _worker = await openWorker({ ...world, overdueIntervalMs: 60_000 })
  await eventually(async () => {
    const late = await world.server.deps.db.read(
      (sql) => sql`
        select from feed_head h left join consumer_cursor c on c.shard = h.shard and c.consumer = 'activity'
        where c.seq is null or c.seq < h.seq`,
    )
    expect(late.length).toBe(0)
  })
  expect(await world.ask(owner, 'GET', path)).toEqual(before)
})
