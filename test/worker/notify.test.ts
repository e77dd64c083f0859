// Who is notified of what: each cause once, never the actor, never a user who cannot read it.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { Value } from '@sinclair/typebox/value'
import { systemWrite, write } from '../../src/domain/write.ts'
import { projectScope } from '../../src/model/scope.ts'
import type { Comment } from '../../src/model/comment.ts'
import { Notification } from '../../src/model/notification.ts'
import type { Worker } from '../../src/worker/runner.ts'
import { prepared } from '../support/tasks.ts'
import { eventually } from '../support/eventually.ts'
import { png } from '../support/images.ts'
import { formOf } from '../support/uploads.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { announced, inboxes, openWorker } from './rig.ts'

let world: World
let worker: Worker
let owner: Person
let editor: Person
let viewer: Person
let stranger: Person
let projectId: string

beforeAll(async () => {
  world = await startWorld()
  worker = await openWorker({ ...world, overdueIntervalMs: 100 })
  ;({ owner, editor, viewer, stranger } = await world.people('owner', 'editor', 'viewer', 'stranger'))
  projectId = (await world.project(owner, { editor: [editor], viewer: [viewer] })).id
})

afterAll(async () => {
  await worker[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

const newProject = async (): Promise<string> => (await world.project(owner)).id

const invite = (who: Person, role: string, by = owner, project = projectId) =>
  world.ask(by, 'POST', `/api/projects/${project}/members`, { email: who.email, role })

const newTask = async (who: Person, fields: object = {}): Promise<string> =>
  (await prepared(() => world.ask(who, 'POST', '/api/tasks', { projectId, title: 'Write it', ...fields }))).id

const patch = (who: Person, taskId: string, fields: object) =>
  world.ask(who, 'PATCH', `/api/tasks/${taskId}`, fields)

/** Every consumer has handled what was appended so far. */
const settled = (): Promise<void> =>
  eventually(
    async () => {
      const late = await world.server.deps.db.read(
        (sql) => sql`
          select from feed_head h join consumer_cursor c using (shard)
          where c.seq < h.seq`,
      )
      expect(late.length).toBe(0)
    },
    { timeoutMs: 20_000, everyMs: 50 },
  )

/** The notifications of one task or project, equal in inboxes and log. */
const notified = async (about: string): Promise<string[]> => {
  await settled()
  const inbox = await inboxes(world)
  expect(await announced(world)).toEqual(inbox)
  return inbox
    .filter((line) => line.includes(about))
    .map((line) => `${line.split(' ')[0]} ${nameOf(line.split(' ')[2]!)}`)
    .sort()
}

const nameOf = (id: string): string =>
  ({ [owner.id]: 'owner', [editor.id]: 'editor', [viewer.id]: 'viewer', [stranger.id]: 'stranger' })[id] ?? id

test('an assignee is notified once, by creation and by update', async () => {
  const created = await newTask(owner, { assigneeId: editor.id })
  const updated = await newTask(owner)
  await patch(owner, updated, { assigneeId: viewer.id })
  await patch(owner, updated, { title: 'Another title' })
  expect(await notified(created)).toEqual(['assigned editor'])
  expect(await notified(updated)).toEqual(['assigned viewer'])
})

test('assigning a task to oneself notifies no one', async () => {
  const task = await newTask(editor, { assigneeId: editor.id })
  expect(await notified(task)).toEqual([])
})

test('the notification has the shape of REST, in the inbox and in the log', async () => {
  const task = await newTask(owner, { assigneeId: editor.id, title: 'Ship it' })
  await notified(task)
  const entries = await world.entries(`user:${editor.id}`)
  const { data, id, actor } = JSON.parse(entries.at(-1)!.frame!)
  expect(Value.Check(Notification, data)).toBe(true)
  expect({ id, actor }).toEqual({ id: data.id, actor: owner.id })
  expect(data).toMatchObject({
    kind: 'assigned',
    taskId: task,
    projectId,
    data: { title: 'Ship it' },
    readAt: null,
  })
  const inbox = await world.ask(editor, 'GET', '/api/notifications?limit=1')
  expect(inbox.items[0]).toEqual(data)
})

test('completion notifies creator and assignee but not the actor', async () => {
  const both = await newTask(owner, { assigneeId: viewer.id })
  await patch(editor, both, { status: 'done' })
  expect(await notified(both)).toEqual(['assigned viewer', 'completed owner', 'completed viewer'].sort())
  const own = await newTask(owner, { assigneeId: editor.id })
  await patch(editor, own, { status: 'done' })
  expect(await notified(own)).toEqual(['assigned editor', 'completed owner'])
})

test('a task completed again notifies again', async () => {
  const task = await newTask(owner)
  await patch(editor, task, { status: 'done' })
  await patch(editor, task, { status: 'todo' })
  await patch(editor, task, { status: 'done' })
  expect(await notified(task)).toEqual(['completed owner', 'completed owner'])
})

test('a share notifies its user once, and not again when its permission changes', async () => {
  const task = await newTask(owner)
  await world.ask(owner, 'POST', `/api/tasks/${task}/shares`, { userId: stranger.id, permission: 'view' })
  await world.ask(owner, 'PATCH', `/api/tasks/${task}/shares/${stranger.id}`, { permission: 'edit' })
  expect(await notified(task)).toEqual(['shared stranger'])
})

test('a shared task notifies its users once although the log has the change in several scopes', async () => {
  const task = await newTask(owner)
  await world.ask(owner, 'POST', `/api/tasks/${task}/shares`, { userId: stranger.id, permission: 'edit' })
  await patch(owner, task, { assigneeId: stranger.id })
  await patch(stranger, task, { status: 'done' })
  expect(await notified(task)).toEqual(['assigned stranger', 'completed owner', 'shared stranger'])
})

test('an invited member is notified; the creator of a project or of an Inbox is not', async () => {
  const project = await newProject()
  await invite(stranger, 'viewer', owner, project)
  await settled()
  const rows = await world.server.deps.db.read(
    (sql) =>
      sql`select user_id as "userId", kind, task_id as "taskId", data from notifications where project_id = ${project}`,
  )
  expect([...rows]).toEqual([
    { userId: stranger.id, kind: 'project_invited', taskId: null, data: { name: 'Apollo', role: 'viewer' } },
  ])
})

test('a task that moves to another project notifies no one', async () => {
  const other = await newProject()
  await invite(editor, 'editor', owner, other)
  const task = await newTask(owner, { assigneeId: editor.id })
  await notified(task)
  await world.ask(owner, 'POST', `/api/tasks/${task}/move`, { projectId: other })
  expect(await notified(task)).toEqual(['assigned editor'])
})

const say = (who: Person, taskId: string, fields: object = {}): Promise<Comment> =>
  world.ask(who, 'POST', `/api/tasks/${taskId}/comments`, { body: 'Done?', ...fields })

test('a comment notifies creator, assignee and earlier commenters, but not its author', async () => {
  const task = await newTask(owner, { assigneeId: editor.id })
  await say(editor, task)
  expect(await notified(task)).toEqual(['assigned editor', 'commented owner'])
  await say(viewer, task)
  expect(await notified(task)).toEqual(
    ['assigned editor', 'commented editor', 'commented owner', 'commented owner'].sort(),
  )
  const own = await newTask(editor)
  await say(viewer, own)
  await notified(own)
  await say(owner, own)
  expect(await notified(own)).toEqual(['commented editor', 'commented editor', 'commented viewer'])
})

test('a mentioned user is notified of the mention alone, each mention once, and never of the own one', async () => {
  const task = await newTask(owner, { assigneeId: editor.id })
  const comment = await say(viewer, task, { mentions: [editor.id, viewer.id] })
  expect(await notified(task)).toEqual(['assigned editor', 'commented owner', 'mentioned editor'])
  await world.ask(viewer, 'PATCH', `/api/comments/${comment.id}`, { mentions: [editor.id, owner.id] })
  await world.ask(viewer, 'PATCH', `/api/comments/${comment.id}`, { body: 'Another text' })
  const after = ['assigned editor', 'commented owner', 'mentioned editor', 'mentioned owner']
  expect(await notified(task)).toEqual(after)
  const { items } = await world.ask(owner, 'GET', '/api/notifications?limit=1')
  expect(items[0]).toMatchObject({
    kind: 'mentioned',
    taskId: task,
    projectId,
    actor: { id: viewer.id },
    data: { title: 'Write it', commentId: comment.id },
  })
})

test('comments on a shared task notify its readers once although the log has them in several scopes', async () => {
  const task = await newTask(owner)
  await world.ask(owner, 'POST', `/api/tasks/${task}/shares`, { userId: stranger.id, permission: 'view' })
  await say(stranger, task, { mentions: [owner.id] })
  await say(owner, task)
  expect(await notified(task)).toEqual(['commented stranger', 'mentioned owner', 'shared stranger'])
})

test('a worker that was away notifies of comments that exist, and users who can read them', async () => {
  const task = await newTask(owner)
  await world.ask(owner, 'POST', `/api/tasks/${task}/shares`, { userId: stranger.id, permission: 'view' })
  await say(stranger, task)
  await notified(task)
  await worker[Symbol.asyncDispose]()
  const gone = await say(editor, task, { mentions: [owner.id] })
  await say(editor, task, { mentions: [stranger.id, viewer.id] })
  await world.ask(owner, 'DELETE', `/api/comments/${gone.id}`)
  await world.ask(owner, 'DELETE', `/api/tasks/${task}/shares/${stranger.id}`)
  const archived = (await world.project(owner, { viewer })).id
  const silent = await newTask(owner, { projectId: archived })
  await say(viewer, silent, { mentions: [owner.id] })
  await world.ask(owner, 'POST', `/api/projects/${archived}/archive`)
  worker = await openWorker({ ...world, overdueIntervalMs: 100 })
  expect(await notified(task)).toEqual(
    ['shared stranger', 'commented owner', 'commented owner', 'mentioned viewer'].sort(),
  )
  expect(await notified(silent)).toEqual([])
}, 20_000)

test('what a user does not want in the inbox has no row and no entry, also if others are notified', async () => {
  await world.ask(owner, 'PATCH', '/api/notifications/preferences', {
    kinds: { commented: { inApp: false } },
  })
  const task = await newTask(owner, { assigneeId: editor.id })
  await say(viewer, task)
  await say(viewer, task, { mentions: [owner.id] })
  expect(await notified(task)).toEqual(
    ['assigned editor', 'commented editor', 'commented editor', 'mentioned owner'].sort(),
  )
  await world.ask(owner, 'PATCH', '/api/notifications/preferences', { kinds: null })
  expect((await notified(task)).length).toBe(4)
})

test('more changes than sockets receive individually are all notified', async () => {
  const tasks = await Promise.all(
    Array.from({ length: 250 }, () => newTask(owner, { assigneeId: editor.id })),
  )
  await write(world.server.deps, systemWrite, async (tx) => {
    await tx`update tasks set status = 'done', completed_at = now(), version = 2 where id = any(${tasks}::uuid[])`
    return {
      value: null,
      entries: tasks.map((id) => ({
        scope: projectScope(projectId),
        type: 'task.updated' as const,
        id,
        version: 2,
        data: {},
        actorId: editor.id,
        changes: { status: { from: 'todo', to: 'done' } },
      })),
    }
  })
  await settled()
  const inbox = await inboxes(world)
  expect(tasks.filter((id) => !inbox.includes(`completed ${id} ${owner.id}`))).toEqual([])
  expect(await announced(world)).toEqual(inbox)
}, 20_000)

test('profile changes are announced to the projects of their user, other changes of the account are not (P-EVT-6)', async () => {
  const project = await newProject()
  const one = await world.register('Ada')
  await invite(one, 'viewer', owner, project)
  await world.ask(one, 'PATCH', '/api/users/me', { name: 'Ada Lovelace' })
  await world.ask(one, 'PATCH', '/api/users/me', { timeZone: 'Europe/London' })
  await settled()
  const announcements = async (id: string) => {
    const entries = await world.entries(projectScope(id))
    return entries.filter(({ type }) => type === 'member.updated')
  }
  const [entry, ...more] = await announcements(project)
  expect(more).toEqual([])
  const { data, changed, actor } = JSON.parse(entry!.frame!)
  const { items } = await world.ask(owner, 'GET', `/api/projects/${project}/members`)
  expect(data).toEqual(items.find(({ userId }: { userId: string }) => userId === one.id))
  expect(data).toMatchObject({ name: 'Ada Lovelace', role: 'viewer' })
  expect([entry!.entityId, changed, actor]).toEqual([one.id, ['name'], one.id])
  expect(entry!.changes).toEqual({ name: { from: 'Ada', to: 'Ada Lovelace' } })
  expect(await announcements(one.inboxId)).toHaveLength(1)
  expect(await announcements(projectId)).toEqual([])
})

test('another picture is announced to the projects of its user, and its removal', async () => {
  const project = await newProject()
  const one = await world.register('Ada')
  await invite(one, 'viewer', owner, project)
  const headers = { Authorization: `Bearer ${one.token}` }
  const path = `${world.url}/api/users/me/avatar`
  const put = await fetch(path, { method: 'PUT', headers, body: formOf('me.png', png(2, 2)) })
  const { avatarUrl } = await put.json()
  expect((await fetch(path, { method: 'DELETE', headers })).status).toBe(204)
  await settled()
  const entries = (await world.entries(projectScope(project))).filter(({ type }) => type === 'member.updated')
  expect(entries.map(({ changes }) => changes)).toEqual([
    { avatarUrl: { from: null, to: avatarUrl } },
    { avatarUrl: { from: avatarUrl, to: null } },
  ])
  // The data is the member as it is when the announcement is made.
  expect(JSON.parse(entries.at(-1)!.frame!)).toMatchObject({
    changed: ['avatarUrl'],
    data: { userId: one.id, avatarUrl: null },
  })
})

test('in no log does a notification of a project follow the loss of access to it', async () => {
  const project = await newProject()
  for (let round = 0; round < 25; round += 1) {
    await invite(viewer, 'editor', owner, project)
    const tasks = Array.from({ length: 4 }, () =>
      world.call('POST', '/api/tasks', {
        token: owner.token,
        body: { projectId: project, title: 'Race', assigneeId: viewer.id },
      }),
    )
    await Promise.all(tasks.slice(0, round % 5)) // the removal meets different stages of handling
    await world.ask(owner, 'DELETE', `/api/projects/${project}/members/${viewer.id}`)
    await Promise.all(tasks)
  }
  await settled()
  let hasAccess = false
  let count = 0
  for (const { type, entityId, frame } of await world.entries(`user:${viewer.id}`)) {
    if (entityId === project) hasAccess = type === 'access.granted'
    if (type !== 'notification.created') continue
    const { data } = JSON.parse(frame!)
    if (data.projectId !== project) continue
    count += 1
    expect(hasAccess).toBe(true)
  }
  expect(count).toBeGreaterThan(0)
}, 30_000)
