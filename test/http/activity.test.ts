// Activity as members, sharees and admins read it: what happened, in which order, to whom it is shown after moves and
// deletions, and what admins did by their right alone.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Activity } from '../../src/model/activity.ts'
import { newId } from '../../src/model/scalar.ts'
import type { Worker } from '../../src/worker/runner.ts'
import { openSocket } from '../support/socket.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { openWorker } from '../worker/rig.ts'

let world: World
let worker: Worker
let owner: Person
let editor: Person
let viewer: Person
let stranger: Person

beforeAll(async () => {
  world = await startWorld()
  worker = await openWorker({ ...world, overdueIntervalMs: 60_000 })
  ;({ owner, editor, viewer, stranger } = await world.people('owner', 'editor', 'viewer', 'stranger'))
}, 30_000)

afterAll(async () => {
  await worker[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

/** The consumer has handled what was appended so far. */
const settled = (): Promise<void> =>
  eventually(async () => {
    const late = await world.server.deps.db.read(
      (sql) => sql`
        select from feed_head h join consumer_cursor c using (shard)
        where c.consumer = 'activity' and c.seq < h.seq`,
    )
    expect(late.length).toBe(0)
  })

const list = async (person: Person, query: string): Promise<Activity[]> => {
  await settled()
  return (await world.ask(person, 'GET', `/api/activity?limit=100&${query}`)).items
}

const typesOf = (items: Activity[]): string[] => items.map(({ type }) => type)

const statusOf = async (person: Person, path: string): Promise<number> =>
  (await world.call('GET', path, { token: person.token })).status

const newTask = (person: Person, projectId: string, fields: object = {}) =>
  world.ask(person, 'POST', '/api/tasks', { projectId, title: 'Write it', ...fields })

test('says what changed, by whom, from what to what, newest first', async () => {
  const project = await world.project(owner, { editor })
  const task = await newTask(owner, project.id, { priority: 'high' })
  await world.ask(editor, 'PATCH', `/api/tasks/${task.id}`, { status: 'done', title: 'Written' })
  await world.ask(owner, 'DELETE', `/api/tasks/${task.id}`)
  const items = await list(viewer, `projectId=${project.id}`).catch(() => null)
  expect(items).toBeNull()
  const [deleted, updated, created, joined, made] = await list(owner, `projectId=${project.id}`)
  expect(made).toMatchObject({ type: 'project.created', entityId: project.id, taskId: null })
  expect(joined).toMatchObject({ type: 'member.added', entityId: editor.id, actor: { id: owner.id } })
  expect(created).toMatchObject({
    type: 'task.created',
    actor: { id: owner.id, name: 'owner', avatarUrl: null },
    projectId: project.id,
    taskId: task.id,
    entityId: task.id,
    override: false,
    createdAt: expect.any(String),
  })
  expect(created!.changes['priority']).toEqual({ from: null, to: 'high' })
  expect(updated).toMatchObject({
    type: 'task.updated',
    actor: { id: editor.id },
    changes: {
      status: { from: 'todo', to: 'done' },
      title: { from: 'Write it', to: 'Written' },
    },
  })
  expect(deleted).toMatchObject({ type: 'task.deleted', changes: { title: { from: 'Written', to: null } } })
  expect(new Set(Object.keys(deleted!))).toEqual(
    new Set(['id', 'type', 'actor', 'projectId', 'taskId', 'entityId', 'changes', 'override', 'createdAt']),
  )
})

test('of one task, also to viewers and those it is shared with, and 404 to strangers', async () => {
  const project = await world.project(owner, { viewer })
  const task = await newTask(owner, project.id)
  const other = await newTask(owner, project.id)
  await world.ask(owner, 'POST', `/api/tasks/${task.id}/shares`, { userId: editor.id, permission: 'view' })
  await settled()
  for (const person of [owner, viewer, editor]) {
    const { items } = await world.ask(person, 'GET', `/api/tasks/${task.id}/activity`)
    expect(typesOf(items)).toEqual(['share.added', 'task.created'])
    expect(items[0]).toMatchObject({ taskId: task.id, entityId: editor.id })
    expect(await list(person, `taskId=${task.id}`)).toEqual(items)
  }
  const paths = [
    `/api/tasks/${task.id}/activity`,
    `/api/activity?taskId=${task.id}`,
    `/api/activity?projectId=${project.id}`,
    `/api/activity?projectId=${project.id}&taskId=${task.id}`,
  ]
  for (const path of paths) expect(await statusOf(stranger, path)).toBe(404)
  // A sharee reads the one task, not its project or another task of it.
  expect(await statusOf(editor, `/api/activity?projectId=${project.id}`)).toBe(404)
  expect(await statusOf(editor, `/api/activity?taskId=${other.id}`)).toBe(404)
  expect(await statusOf(editor, `/api/activity?projectId=${project.id}&taskId=${task.id}`)).toBe(200)
  expect(await statusOf(owner, `/api/tasks/${newId()}/activity`)).toBe(404)
})

test('ends with the right to read: a removed member, a removed share', async () => {
  const project = await world.project(owner, { viewer })
  const task = await newTask(owner, project.id)
  await world.ask(owner, 'POST', `/api/tasks/${task.id}/shares`, { userId: editor.id, permission: 'edit' })
  expect((await list(viewer, `projectId=${project.id}`)).length).toBe(4)
  const ofEditor = (items: Activity[]) => items.filter(({ taskId }) => taskId === task.id)
  expect(ofEditor(await list(editor, ''))).toHaveLength(2)
  await world.ask(owner, 'DELETE', `/api/projects/${project.id}/members/${viewer.id}`)
  await world.ask(owner, 'DELETE', `/api/tasks/${task.id}/shares/${editor.id}`)
  expect(await statusOf(viewer, `/api/activity?projectId=${project.id}`)).toBe(404)
  expect(await statusOf(editor, `/api/activity?taskId=${task.id}`)).toBe(404)
  const inProject = (items: Activity[]) => items.filter(({ projectId }) => projectId === project.id)
  expect(inProject(await list(viewer, ''))).toEqual([])
  expect(inProject(await list(editor, ''))).toEqual([])
})

test('a moved task: each project keeps what happened in it, and neither shows the other', async () => {
  const from = await world.project(owner, { viewer })
  const to = await world.project(owner, { editor })
  const task = await newTask(owner, from.id)
  await world.ask(owner, 'PATCH', `/api/tasks/${task.id}`, { title: 'There' })
  await world.ask(owner, 'POST', `/api/tasks/${task.id}/move`, { projectId: to.id })
  await world.ask(editor, 'PATCH', `/api/tasks/${task.id}`, { title: 'Here' })
  await settled()
  const { items } = await world.ask(editor, 'GET', `/api/tasks/${task.id}/activity`)
  expect(typesOf(items)).toEqual(['task.updated', 'task.created'])
  expect(JSON.stringify(items)).not.toContain(from.id)
  expect(await statusOf(editor, `/api/activity?projectId=${from.id}&taskId=${task.id}`)).toBe(404)
  const before = await list(viewer, `projectId=${from.id}&taskId=${task.id}`)
  expect(typesOf(before)).toEqual(['task.deleted', 'task.updated', 'task.created'])
  expect(JSON.stringify(before)).not.toContain(to.id)
  expect(await statusOf(viewer, `/api/tasks/${task.id}/activity`)).toBe(404)
})

test('a deleted task is 404 by itself; the members of its project read what happened to it', async () => {
  const project = await world.project(owner, { viewer })
  const task = await newTask(owner, project.id)
  await world.ask(owner, 'DELETE', `/api/tasks/${task.id}`)
  expect(await statusOf(owner, `/api/tasks/${task.id}/activity`)).toBe(404)
  expect(await statusOf(owner, `/api/activity?taskId=${task.id}`)).toBe(404)
  const items = await list(viewer, `projectId=${project.id}&taskId=${task.id}`)
  expect(typesOf(items)).toEqual(['task.deleted', 'task.created'])
  await world.ask(owner, 'DELETE', `/api/projects/${project.id}`)
  expect(await statusOf(owner, `/api/activity?projectId=${project.id}`)).toBe(404)
})

test('filters combine; the list of all leaves archived projects out', async () => {
  const ada = await world.register('Ada')
  const one = await world.project(ada, { editor })
  const two = await world.project(ada)
  const task = await newTask(ada, one.id)
  await world.ask(editor, 'PATCH', `/api/tasks/${task.id}`, { status: 'done' })
  await newTask(ada, two.id)
  const all = await list(ada, '')
  expect(new Set(all.map(({ projectId }) => projectId))).toEqual(new Set([one.id, two.id, ada.inboxId]))
  expect(all.map(({ id }) => id)).toEqual(
    all
      .map(({ id }) => id)
      .toSorted()
      .toReversed(),
  )
  expect(typesOf(await list(ada, 'type=task.updated,member.added'))).toEqual(['task.updated', 'member.added'])
  expect(typesOf(await list(ada, `actorId=${editor.id}`))).toEqual(['task.updated'])
  expect(await list(ada, `actorId=${editor.id}&type=task.created`)).toEqual([])
  expect(typesOf(await list(ada, `actorId=${ada.id}&projectId=${two.id}&type=task.created`))).toEqual([
    'task.created',
  ])
  const [update] = await list(ada, 'type=task.updated')
  const at = update!.createdAt
  expect((await list(ada, `after=${at}`)).some(({ id }) => id === update!.id)).toBe(true)
  expect((await list(ada, `before=${at}`)).some(({ id }) => id === update!.id)).toBe(false)
  expect((await list(ada, `after=${at}`)).length + (await list(ada, `before=${at}`)).length).toBe(all.length)
  expect(await list(ada, 'after=2099-01-01T00:00:00Z')).toEqual([])
  expect(await list(ada, 'before=0001-01-01T00:00:00Z')).toEqual([])
  await world.ask(ada, 'POST', `/api/projects/${two.id}/archive`)
  expect((await list(ada, '')).some(({ projectId }) => projectId === two.id)).toBe(false)
  expect((await list(ada, `projectId=${two.id}`))[0]).toMatchObject({ type: 'project.updated' })
})

test('pages by cursor and by number hold every row once', async () => {
  const project = await world.project(owner)
  for (let n = 0; n < 6; n += 1) await newTask(owner, project.id, { title: `${n}` })
  const whole = await list(owner, `projectId=${project.id}`)
  expect(whole).toHaveLength(7)
  const path = `/api/activity?projectId=${project.id}&limit=3`
  const seen: Activity[] = []
  let cursor: string | null = null
  do {
    const page: { items: Activity[]; nextCursor: string | null } = await world.ask(
      owner,
      'GET',
      cursor === null ? path : `${path}&cursor=${cursor}`,
    )
    seen.push(...page.items)
    cursor = page.nextCursor
  } while (cursor !== null)
  expect(seen).toEqual(whole)
  const second = await world.ask(owner, 'GET', `${path}&page=2`)
  expect(second).toMatchObject({ items: whole.slice(3, 6), page: 2, total: 7, totalPages: 3 })
  const answer = await world.call('GET', path, { token: owner.token })
  const tag = answer.headers.get('etag')!
  const repeat = await world.call('GET', path, { token: owner.token, headers: { 'If-None-Match': tag } })
  expect(repeat.status).toBe(304)
  const forged = await world.call('GET', `/api/activity?cursor=${'a'.repeat(40)}`, { token: owner.token })
  expect(forged).toMatchObject({ status: 400, body: { code: 'bad_cursor' } })
})

test.each<[string, string]>([
  ['type=task.exploded', '/type'],
  ['type=', '/type'],
  ['actorId=me', '/actorId'],
  ['after=yesterday', '/after'],
  ['before=2026-02-30T00:00:00Z', '/before'],
  ['projectId=1', '/projectId'],
  ['limit=101', '/limit'],
])('%s is refused', async (query, pointer) => {
  const answer = await world.call('GET', `/api/activity?${query}`, { token: owner.token })
  expect(answer).toMatchObject({ status: 422, body: { errors: [{ pointer }] } })
})

test('an unknown parameter is 400', async () => {
  const answer = await world.call('GET', '/api/activity?user=1', { token: owner.token })
  expect(answer).toMatchObject({ status: 400, body: { code: 'unknown_parameter' } })
})

test('writes of an admin are marked where only the right of admins permitted them', async () => {
  const admin = await world.registerAdmin()
  const project = await world.project(owner, { viewer: admin })
  const task = await newTask(owner, project.id)
  await world.ask(admin, 'PATCH', `/api/tasks/${task.id}`, { title: 'By right' })
  const own = await newTask(admin, admin.inboxId)
  await world.ask(admin, 'POST', '/api/tasks/batch', {
    operations: [
      { op: 'create', data: { projectId: project.id, title: 'Theirs' } },
      { op: 'create', data: { projectId: admin.inboxId, title: 'Mine' } },
    ],
  })
  await world.ask(admin, 'PATCH', `/api/projects/${project.id}`, { name: 'Renamed' })
  await world.ask(owner, 'PATCH', `/api/projects/${project.id}/members/${admin.id}`, { role: 'editor' })
  await world.ask(admin, 'PATCH', `/api/tasks/${task.id}`, { title: 'As a member' })
  const marks = (await list(owner, `projectId=${project.id}&actorId=${admin.id}`)).map(
    ({ type, override, changes }) => [type, override, changes['title']?.to ?? changes['name']?.to],
  )
  expect(marks).toEqual([
    ['task.updated', false, 'As a member'],
    ['project.updated', true, 'Renamed'],
    ['task.created', true, 'Theirs'],
    ['task.updated', true, 'By right'],
  ])
  const mine = await list(admin, `projectId=${admin.inboxId}&type=task.created`)
  expect(mine.map(({ override }) => override)).toEqual([false, false])
  expect(own.projectId).toBe(admin.inboxId)
})

test('reads of an admin are noted once per admin, project and hour, before they are answered', async () => {
  const admin = await world.registerAdmin()
  const { id: projectId } = await world.project(owner)
  const task = await newTask(owner, projectId)
  const notes = async (): Promise<Activity[]> => list(owner, `projectId=${projectId}&type=project.read`)
  await world.ask(admin, 'GET', '/api/tasks')
  await world.ask(admin, 'GET', '/api/activity')
  expect(await statusOf(admin, `/api/tasks/${newId()}`)).toBe(404)
  expect(await notes()).toEqual([])
  await world.ask(admin, 'GET', `/api/tasks/${task.id}`)
  const [note] = await notes()
  expect(note).toMatchObject({
    type: 'project.read',
    actor: { id: admin.id },
    entityId: projectId,
    taskId: null,
    changes: {},
    override: true,
  })
  await using other = await world.another() // whose memory has no notes
  const token = { headers: { Authorization: `Bearer ${admin.token}` } }
  const paths = [
    `/api/projects/${projectId}`,
    `/api/projects/${projectId}/members`,
    `/api/projects/${projectId}/snapshot`,
    `/api/tasks?projectId=${projectId}`,
    `/api/tasks/${task.id}/shares`,
    `/api/tasks/${task.id}/activity`,
    `/api/activity?projectId=${projectId}`,
  ]
  for (const path of paths)
    for (const url of [world.url, other.url]) expect((await fetch(url + path, token)).status).toBe(200)
  expect(await notes()).toEqual([note!])
  await world.server.deps.db.transact(
    (tx) => tx`update activity set created_at = created_at - interval '1 hour' where id = ${note!.id}`,
  )
  await using third = await world.another()
  expect((await fetch(`${third.url}/api/tasks/${task.id}`, token)).status).toBe(200)
  expect(await notes()).toHaveLength(2)
})

test('an answer that was read by the right of admins is not kept: each reading is noted', async () => {
  const admin = await world.registerAdmin()
  const { id: projectId } = await world.project(owner)
  const { kept } = world.server.deps
  for (const path of [`/api/tasks/stats?projectId=${projectId}`, `/api/tasks?projectId=${projectId}`]) {
    const before = kept.counts
    await world.ask(owner, 'GET', path)
    await world.ask(owner, 'GET', path)
    expect(kept.counts).toMatchObject({ built: before.built + 1, hits: before.hits + 1 })
    await world.ask(admin, 'GET', path)
    await world.ask(admin, 'GET', path)
    expect(kept.counts).toMatchObject({ built: before.built + 3, hits: before.hits + 1 })
  }
})

test.each([
  'each of the routes that read a project',
  'a subscription of a socket',
  'a watch of who is there',
  'a signal to those who are there',
  'a long poll',
])('notes the reading of an admin by %s', async (what) => {
  const admin = await world.registerAdmin()
  const { id: projectId } = await world.project(owner)
  const { cursor } = await world.ask(owner, 'GET', `/api/projects/${projectId}/snapshot`)
  if (what.startsWith('a sub')) {
    await using socket = await openSocket(world.url, { token: admin.token })
    await socket.take('welcome')
    socket.send({ t: 'sub', rid: 1, scope: `project:${projectId}`, cursor: null })
    await socket.take('synced')
  } else if (what.startsWith('a watch') || what.startsWith('a signal')) {
    await using socket = await openSocket(world.url, { token: admin.token })
    await socket.take('welcome')
    const frame = what.startsWith('a watch') ? { t: 'watch' } : { t: 'signal', kind: 'typing' }
    socket.send({ ...frame, rid: 1, key: `project:${projectId}` })
    await socket.take('ok')
  } else if (what.startsWith('a long'))
    await world.ask(admin, 'GET', `/api/sync?scope=project:${projectId}&cursor=${cursor}`)
  else await world.ask(admin, 'GET', `/api/projects/${projectId}/members`)
  expect(await list(owner, `projectId=${projectId}&type=project.read`)).toHaveLength(1)
})

test('counters and profiles are no activity of their own; a bulk change is one row a task', async () => {
  const project = await world.project(owner, { editor })
  await world.ask(editor, 'PATCH', '/api/users/me', { name: `editor ${newId()}` })
  const ids: string[] = []
  for (let n = 0; n < 3; n += 1) ids.push((await newTask(owner, project.id)).id)
  await world.ask(owner, 'PATCH', '/api/tasks/bulk', { ids, changes: { priority: 'low' } })
  const found = typesOf(await list(owner, `projectId=${project.id}`))
  expect(found).toEqual([
    'task.updated',
    'task.updated',
    'task.updated',
    'task.created',
    'task.created',
    'task.created',
    'member.added',
    'project.created',
  ])
})

test('a deleted account leaves its activity without a name', async () => {
  const gone = await world.register('Gone')
  const project = await world.project(owner, { editor: gone })
  await newTask(gone, project.id)
  const { status } = await world.call('DELETE', '/api/users/me', {
    token: gone.token,
    body: { password: 'correct horse battery' },
  })
  expect(status).toBe(204)
  const [row] = await list(owner, `projectId=${project.id}&type=task.created`)
  expect(row!.actor).toBeNull()
})
