// Tasks that are due soon: one notification for each due time, as early as the recipient wants it, however that changes.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { comingDue, reminded } from '../../src/domain/notifications/due-sources.ts'
import { newDueStats, notifyDue } from '../../src/worker/loops/due.ts'
import { prepared } from '../support/tasks.ts'
import { startWorld, testPassword, type Person, type World } from '../support/world.ts'
import { announced, inboxes } from './rig.ts'

const signal = new AbortController().signal
const hourMs = 60 * 60_000
const inHours = (hours: number): string => new Date(Date.now() + hours * hourMs).toISOString()

let world: World
let owner: Person
let editor: Person
let early: Person
let projectId: string

beforeAll(async () => {
  world = await startWorld()
  ;({ owner, editor, early } = await world.people('owner', 'editor', 'early'))
  projectId = (await world.project(owner, { editor: [editor, early] })).id
  await prefer(early, { dueSoonHours: 72 })
})

afterAll(() => world[Symbol.asyncDispose]())

const prefer = (person: Person, patch: object) =>
  world.ask(person, 'PATCH', '/api/notifications/preferences', patch)

const newTask = async (fields: object): Promise<string> =>
  (await prepared(() => world.ask(owner, 'POST', '/api/tasks', { projectId, title: 'Soon', ...fields }))).id

const patch = (id: string, fields: object) => world.ask(owner, 'PATCH', `/api/tasks/${id}`, fields)

/** One run of the loop. */
const runOnce = async (stats = newDueStats()) => {
  const deps = { ...world.server.deps, stats, signal }
  await notifyDue(deps, comingDue)
  await notifyDue(deps, reminded)
  return stats
}

/** Who has been notified of the task, equal in inboxes and log. */
const notified = async (taskId: string): Promise<string[]> => {
  await runOnce()
  const inbox = await inboxes(world)
  expect(await announced(world)).toEqual(inbox)
  return inbox.filter((line) => line.startsWith(`due_soon ${taskId}`)).map((line) => line.split(' ')[2]!)
}

const reminderOf = async (taskId: string): Promise<{ recipientId: string; checkAt: string } | undefined> => {
  const [row] = await world.server.deps.db.read(
    (sql) => sql<{ recipientId: string; checkAt: string }[]>`
      select recipient_id as "recipientId", check_at as "checkAt" from due_soon_reminders where task_id = ${taskId}`,
  )
  return row
}

/** As if the time of the reminder had come. */
const passTime = (taskId: string) =>
  world.server.deps.db.transact(
    (tx) =>
      tx`update due_soon_reminders set check_at = now() - interval '1 second' where task_id = ${taskId}`,
  )

test('a task due within the recipient’s hours is notified once, with its due time', async () => {
  const dueAt = inHours(23)
  const task = await newTask({ assigneeId: editor.id, dueAt })
  expect(await notified(task)).toEqual([editor.id])
  expect(await notified(task)).toEqual([editor.id])
  expect(await reminderOf(task)).toBeUndefined()
  const { items } = await world.ask(editor, 'GET', '/api/notifications?limit=1')
  expect(items[0]).toMatchObject({
    kind: 'due_soon',
    taskId: task,
    projectId,
    actor: null,
    data: { title: 'Soon', dueAt },
  })
})

test('a task due later waits for its recipient, who is looked at again within the hour', async () => {
  const task = await newTask({ assigneeId: editor.id, dueAt: inHours(24.5) })
  expect(await notified(task)).toEqual([])
  const reminder = await reminderOf(task)
  expect(reminder!.recipientId).toBe(editor.id)
  const minutes = (Date.parse(reminder!.checkAt) - Date.now()) / 60_000
  expect(minutes).toBeGreaterThan(25)
  expect(minutes).toBeLessThan(31)
  const far = await newTask({ assigneeId: editor.id, dueAt: inHours(100) })
  expect(await notified(far)).toEqual([])
  expect((Date.parse((await reminderOf(far))!.checkAt) - Date.now()) / 60_000).toBeLessThan(61)
  // The look decides by the clock, not by the reminder.
  await passTime(far)
  expect(await notified(far)).toEqual([])
  expect(Date.parse((await reminderOf(far))!.checkAt)).toBeGreaterThan(Date.now())
  const beyond = await newTask({ assigneeId: editor.id, dueAt: inHours(24 * 8) })
  await runOnce()
  expect(await reminderOf(beyond)).toBeUndefined()
})

test('each person is notified by their own hours, and a change of them counts at once', async () => {
  const task = await newTask({ assigneeId: early.id, dueAt: inHours(70) })
  expect(await notified(task)).toEqual([early.id])
  const person = await world.register()
  await world.ask(owner, 'POST', `/api/projects/${projectId}/members`, {
    email: person.email,
    role: 'editor',
  })
  const later = await newTask({ assigneeId: person.id, dueAt: inHours(40) })
  expect(await notified(later)).toEqual([])
  await prefer(person, { dueSoonHours: 36 })
  expect(await notified(later)).toEqual([])
  await prefer(person, { dueSoonHours: 41 })
  expect(await notified(later)).toEqual([person.id])
  await prefer(person, { dueSoonHours: 1 })
  const short = await newTask({ assigneeId: person.id, dueAt: inHours(2) })
  expect(await notified(short)).toEqual([])
})

test('another assignee is notified by their own hours at once', async () => {
  const task = await newTask({ assigneeId: editor.id, dueAt: inHours(60) })
  expect(await notified(task)).toEqual([])
  await patch(task, { assigneeId: early.id })
  expect(await notified(task)).toEqual([early.id])
  await patch(task, { assigneeId: editor.id, dueAt: inHours(61) })
  expect(await notified(task)).toEqual([early.id])
})

test('a new due time and reopening notify again; other changes do not', async () => {
  const task = await newTask({ dueAt: inHours(20) })
  expect(await notified(task)).toHaveLength(1)
  await patch(task, { title: 'Other' })
  expect(await notified(task)).toHaveLength(1)
  await patch(task, { dueAt: inHours(21) })
  expect(await notified(task)).toHaveLength(2)
  await patch(task, { dueAt: inHours(90) })
  expect(await notified(task)).toHaveLength(2)
  await patch(task, { dueAt: inHours(22) })
  expect(await notified(task)).toHaveLength(3)
  await patch(task, { status: 'done' })
  await patch(task, { status: 'todo' })
  expect(await notified(task)).toHaveLength(4)
  expect(await reminderOf(task)).toBeUndefined()
})

test('what is done, overdue, without a due time or deleted is not announced, and its reminder goes', async () => {
  const waiting = await Promise.all(Array.from({ length: 4 }, () => newTask({ dueAt: inHours(50) })))
  await runOnce()
  const [done, past, none, gone] = waiting as [string, string, string, string]
  await patch(done, { status: 'done' })
  await patch(none, { dueAt: null })
  await world.ask(owner, 'DELETE', `/api/tasks/${gone}`)
  await world.server.deps.db.transact(
    (tx) => tx`update tasks set due_at = now() - interval '1 hour' where id = ${past}`,
  )
  for (const id of waiting) await passTime(id)
  expect((await Promise.all(waiting.map(notified))).flat()).toEqual([])
  expect(await Promise.all(waiting.map(reminderOf))).toEqual([undefined, undefined, undefined, undefined])
  const late = await newTask({ dueAt: inHours(-1) })
  expect(await notified(late)).toEqual([])
})

test('the recipient is the first of assignee, creator and owners who can read the task at that moment', async () => {
  const leaving = await world.register()
  await world.ask(owner, 'POST', `/api/projects/${projectId}/members`, {
    email: leaving.email,
    role: 'editor',
  })
  const task = await newTask({ assigneeId: leaving.id, dueAt: inHours(30) })
  await runOnce()
  await world.ask(owner, 'DELETE', `/api/projects/${projectId}/members/${leaving.id}`)
  await prefer(owner, { dueSoonHours: 48 })
  await passTime(task)
  expect(await notified(task)).toEqual([owner.id])
  await prefer(owner, { dueSoonHours: null })
  // The account of the recipient is deleted: the assignee is null, and the creator is notified by their own hours.
  const deleted = await world.register()
  await world.ask(owner, 'POST', `/api/projects/${projectId}/members`, {
    email: deleted.email,
    role: 'editor',
  })
  await prefer(deleted, { dueSoonHours: 2 })
  const other = await newTask({ assigneeId: deleted.id, dueAt: inHours(20) })
  expect(await notified(other)).toEqual([])
  await world.ask(deleted, 'DELETE', '/api/users/me', { password: testPassword })
  expect(await notified(other)).toEqual([owner.id])
})

test('tasks of an archived project are silent until it is unarchived and delay no others', async () => {
  const old = (await world.project(owner)).id
  const fresh = await newTask({ projectId: old, dueAt: inHours(5) })
  const waiting = await newTask({ projectId: old, dueAt: inHours(50) })
  await world.server.deps.db.transact((tx) => tx`update projects set archived_at = now() where id = ${old}`)
  expect(await notified(fresh)).toEqual([])
  await world.server.deps.db.transact((tx) => tx`update projects set archived_at = null where id = ${old}`)
  await runOnce()
  await world.ask(owner, 'POST', `/api/projects/${old}/archive`)
  await prefer(owner, { dueSoonHours: 60 })
  const others = await newTask({ dueAt: inHours(50) })
  expect(await notified(waiting)).toEqual([])
  expect(await notified(others)).toEqual([owner.id])
  await world.ask(owner, 'POST', `/api/projects/${old}/unarchive`)
  expect(await notified(waiting)).toEqual([owner.id])
  await prefer(owner, { dueSoonHours: 24 })
})

test('a user without due_soon in the inbox is not notified, now or later', async () => {
  await prefer(editor, { kinds: { due_soon: { inApp: false } } })
  const task = await newTask({ assigneeId: editor.id, dueAt: inHours(3) })
  expect(await notified(task)).toEqual([])
  await prefer(editor, { kinds: { due_soon: { inApp: true } } })
  expect(await notified(task)).toEqual([])
})

test('more tasks than fit a transaction are notified in several, also while others change preferences', async () => {
  const ids = await Promise.all(
    Array.from({ length: 230 }, () => newTask({ assigneeId: early.id, dueAt: inHours(80) })),
  )
  const first = await runOnce()
  expect([first.tasks, first.largest]).toEqual([230, 200])
  await Promise.all([
    prefer(early, { dueSoonHours: 90 }),
    runOnce(),
    prefer(early, { dueSoonHours: 91 }),
    runOnce(),
  ])
  await runOnce()
  const inbox = await inboxes(world)
  expect(
    ids.filter((id) => inbox.filter((line) => line === `due_soon ${id} ${early.id}`).length !== 1),
  ).toEqual([])
  expect(await announced(world)).toEqual(inbox)
}, 30_000)
