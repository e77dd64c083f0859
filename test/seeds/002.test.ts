// Seed 002, "Task Manager API": its documented endpoints and the behaviour of its 38 tests, in the words of this API, and
// the faults its text reports as never happening here.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Worker } from '../../src/worker/runner.ts'
import { eventually } from '../support/eventually.ts'
import { mailedToken } from '../support/mailed-link.ts'
import { startWorld, testPassword, type Answer, type Person, type World } from '../support/world.ts'
import { png as picture } from '../support/images.ts'
import { png, upload } from '../support/uploads.ts'
import { openWorker } from '../worker/rig.ts'

let world: World
let worker: Worker
let ada: Person
let bob: Person

beforeAll(async () => {
  world = await startWorld()
  worker = await openWorker({ ...world, overdueIntervalMs: 200, dataDir: world.config.dataDir })
  ;({ ada, bob } = await world.people('ada', 'bob'))
}, 60_000)

afterAll(async () => {
  await worker?.[Symbol.asyncDispose]()
  await world?.[Symbol.asyncDispose]()
}, 30_000)

const as = <T = any>(person: Person, method: string, path: string, body?: unknown): Promise<Answer<T>> =>
  world.call<T>(method, path, { token: person.token, ...(body !== undefined && { body }) })

interface TaskLike {
  id: string
  title: string
  tags: string[]
  status: string
}

const create = (person: Person, fields: object = {}): Promise<TaskLike> =>
  world.ask<TaskLike>(person, 'POST', '/api/tasks', {
    projectId: person.inboxId,
    title: 'Write it',
    ...fields,
  })

const titles = async (person: Person, query: string): Promise<string[]> => {
  const { items } = await world.ask<{ items: TaskLike[] }>(person, 'GET', `/api/tasks?${query}`)
  return items.map(({ title }) => title)
}

const dayMs = 24 * 60 * 60_000
const inDays = (days: number): string => new Date(Date.now() + days * dayMs).toISOString()

describe('authentication', () => {
  test('an account is created with 201, an address once, and a wrong password is 401', async () => {
    const account = { name: 'Cleo', email: 'cleo@example.com', password: testPassword }
    const made = await world.call('POST', '/api/auth/register', { body: account })
    expect(made.status).toBe(201) // the seed returned another status
    expect(JSON.stringify(made.body)).not.toContain(testPassword)
    expect((await world.call('POST', '/api/auth/register', { body: account })).status).toBe(409)
    const { email } = account
    const signIn = (password: string) => world.call('POST', '/api/auth/login', { body: { email, password } })
    expect((await signIn(testPassword)).status).toBe(200)
    expect((await signIn('another password')).status).toBe(401)
  })

  test('every endpoint but registration and sign-in needs a token: 401, never 403', async () => {
    const id = Bun.randomUUIDv7()
    for (const [method, path] of [
      ['GET', '/api/tasks'],
      ['POST', '/api/tasks'],
      ['GET', '/api/tasks/stats'],
      ['PATCH', '/api/tasks/bulk'],
      ['GET', `/api/tasks/${id}`],
      ['PATCH', `/api/tasks/${id}`],
      ['DELETE', `/api/tasks/${id}`],
      ['POST', `/api/tasks/${id}/tags`],
      ['DELETE', `/api/tasks/${id}/tags/x`],
      ['GET', '/api/users/me'],
    ] as const)
      expect([method, path, (await world.call(method, path)).status]).toEqual([method, path, 401])
  })
})

describe('tasks', () => {
  test('are created, read, changed and deleted; `completed` is what was asked for', async () => {
    const task = await create(ada, {
      title: 'Buy milk',
      description: 'Two litres',
      priority: 'high',
      status: 'done',
    })
    expect(task).toMatchObject({
      title: 'Buy milk',
      description: 'Two litres',
      priority: 'high',
      status: 'done',
    })
    expect(await world.ask(ada, 'GET', `/api/tasks/${task.id}`)).toMatchObject({ id: task.id })
    const changed = await world.ask(ada, 'PATCH', `/api/tasks/${task.id}`, { status: 'todo' })
    expect(changed).toMatchObject({ status: 'todo', completedAt: null, title: 'Buy milk' })
    expect((await as(ada, 'DELETE', `/api/tasks/${task.id}`)).status).toBe(204)
    expect((await as(ada, 'GET', `/api/tasks/${task.id}`)).status).toBe(404)
  })

  test('of others do not exist for a stranger, by any verb', async () => {
    const { id } = await create(ada)
    for (const [method, body] of [
      ['GET', undefined],
      ['PATCH', { title: 'Mine' }],
      ['DELETE', undefined],
    ] as const)
      expect((await as(bob, method, `/api/tasks/${id}`, body)).status).toBe(404)
    const { items } = await world.ask(bob, 'GET', '/api/tasks?limit=100')
    expect(items.map((task: TaskLike) => task.id)).not.toContain(id)
  })

  test('with a bad field are refused, and nothing is stored', async () => {
    const before = await world.entryCount()
    for (const fields of [
      { title: '' },
      { title: 'x'.repeat(256) },
      { priority: 'extreme' },
      { dueAt: 'soon' },
      { unknown: 1 },
    ])
      expect(
        (await as(ada, 'POST', '/api/tasks', { projectId: ada.inboxId, title: 'x', ...fields })).status,
      ).toBe(422)
    expect(await world.entryCount()).toBe(before)
  })
})

describe('lists', () => {
  let cleo: Person

  beforeAll(async () => {
    cleo = await world.register('Cleo')
    await create(cleo, { title: 'Alpha report', priority: 'low', tags: ['work', 'docs'], dueAt: inDays(-2) })
    await create(cleo, {
      title: 'Beta',
      description: 'the quarterly REPORT',
      priority: 'high',
      tags: ['work'],
      dueAt: inDays(2),
    })
    await create(cleo, {
      title: 'Gamma',
      priority: 'urgent',
      tags: ['home'],
      status: 'done',
      dueAt: inDays(-3),
    })
    await create(cleo, { title: 'delta', priority: 'medium' })
  })

  test.each([
    ['completed=true', ['Gamma']],
    ['completed=false', ['Alpha report', 'Beta', 'delta']],
    ['priority=high', ['Beta']],
    ['priority=high,urgent', ['Beta', 'Gamma']],
    ['tag=work', ['Alpha report', 'Beta']],
    ['tag=work&tag=docs', ['Alpha report']],
    ['tag=WORK', ['Alpha report', 'Beta']],
    ['overdue=true', ['Alpha report']],
    ['search=report', ['Alpha report', 'Beta']],
    ['search=quart', ['Beta']],
    ['search=report&priority=low', ['Alpha report']],
    ['completed=false&tag=work&overdue=true', ['Alpha report']],
  ])('%s', async (query, expected) => {
    expect(await titles(cleo, `${query}&sort=title`)).toEqual(expected)
  })

  test('by ranges of creation and due time', async () => {
    const between = `dueAfter=${inDays(-2.5)}&dueBefore=${inDays(1)}`
    expect(await titles(cleo, between)).toEqual(['Alpha report'])
    expect(await titles(cleo, `createdAfter=${inDays(-1)}&limit=100`)).toHaveLength(4)
    expect(await titles(cleo, `createdBefore=${inDays(-1)}`)).toEqual([])
  })

  test.each([
    ['title', ['Alpha report', 'Beta', 'delta', 'Gamma']],
    ['-title', ['Gamma', 'delta', 'Beta', 'Alpha report']],
    ['priority', ['Alpha report', 'delta', 'Beta', 'Gamma']],
    ['dueAt', ['Gamma', 'Alpha report', 'Beta', 'delta']],
    ['createdAt', ['Alpha report', 'Beta', 'Gamma', 'delta']],
    ['-createdAt', ['delta', 'Gamma', 'Beta', 'Alpha report']],
  ])('sorted by %s', async (sort, expected) => {
    expect(await titles(cleo, `sort=${sort}`)).toEqual(expected)
  })

  test('in pages, by number and by cursor, without a gap or a repeat', async () => {
    const page = await world.ask(cleo, 'GET', '/api/tasks?sort=title&limit=3&page=2')
    expect(page).toMatchObject({ page: 2, total: 4, totalPages: 2 })
    expect(page.items.map(({ title }: TaskLike) => title)).toEqual(['Gamma'])
    const first = await world.ask(cleo, 'GET', '/api/tasks?sort=title&limit=3')
    expect(await titles(cleo, `sort=title&limit=3&cursor=${first.nextCursor}`)).toEqual(['Gamma'])
  })

  test.each([
    'sort=password',
    'priority=extreme',
    'completed=maybe',
    'limit=0',
    'limit=101',
    'unknown=1',
    'dueAfter=soon',
  ])('%s is refused', async (query) => {
    expect([400, 422]).toContain((await as(cleo, 'GET', `/api/tasks?${query}`)).status)
  })
})

describe('bulk changes', () => {
  test('change several tasks at once, all or none', async () => {
    const tasks = [await create(ada), await create(ada), await create(ada)]
    const ids = tasks.map(({ id }) => id)
    const { items } = await world.ask(ada, 'PATCH', '/api/tasks/bulk', { ids, changes: { status: 'done' } })
    expect(items.map(({ id, status }: TaskLike) => [id, status])).toEqual(ids.map((id) => [id, 'done']))
    const { id: foreign } = await create(bob)
    const mixed = await as(ada, 'PATCH', '/api/tasks/bulk', {
      ids: [...ids, foreign],
      changes: { status: 'todo' },
    })
    expect(mixed.status).toBe(404)
    for (const id of ids)
      expect(await world.ask(ada, 'GET', `/api/tasks/${id}`)).toMatchObject({ status: 'done' })
  })
})

describe('tags', () => {
  test('are added and removed, once each', async () => {
    const { id } = await create(ada, { tags: ['one'] })
    const added = await world.ask(ada, 'POST', `/api/tasks/${id}/tags`, { tags: ['Two', 'one'] })
    expect(added.tags.toSorted()).toEqual(['one', 'two'])
    const removed = await world.ask(ada, 'DELETE', `/api/tasks/${id}/tags/two`)
    expect(removed?.tags ?? (await world.ask(ada, 'GET', `/api/tasks/${id}`)).tags).toEqual(['one'])
    expect((await as(ada, 'DELETE', `/api/tasks/${id}/tags/two`)).status).toBe(404)
  })
})

describe('statistics', () => {
  test('count one’s own tasks by status, priority and tag, the overdue ones, and the rate of completion', async () => {
    const dora = await world.register('Dora')
    await create(dora, { priority: 'high', tags: ['a', 'b'], status: 'done' })
    await create(dora, { priority: 'high', tags: ['a'], dueAt: inDays(-1) })
    await create(dora, { priority: 'low', status: 'cancelled' })
    const stats = await world.ask(dora, 'GET', '/api/tasks/stats')
    expect(stats).toMatchObject({
      total: 3,
      byStatus: { todo: 1, in_progress: 0, done: 1, cancelled: 1 },
      byPriority: { low: 1, medium: 0, high: 2, urgent: 0 },
      overdue: 1,
      completionRate: 0.5,
    })
    expect(stats.byTag).toEqual([
      { tag: 'a', count: 2 },
      { tag: 'b', count: 1 },
    ])
    // A change is in the next answer, although no worker has counted it.
    await create(dora, { tags: ['b'] })
    expect((await world.ask(dora, 'GET', '/api/tasks/stats')).total).toBe(4)
  })
})

describe('sharing', () => {
  test('a task is shared singly, to view or to edit, and withdrawn', async () => {
    const { id } = await create(ada, { title: 'Shared' })
    const share = (permission: string) =>
      world.ask(ada, 'POST', `/api/tasks/${id}/shares`, { email: bob.email, permission })
    await share('view')
    expect(await titles(bob, 'shared=true')).toContain('Shared')
    expect((await as(bob, 'PATCH', `/api/tasks/${id}`, { title: 'Mine' })).status).toBe(403)
    await world.ask(ada, 'PATCH', `/api/tasks/${id}/shares/${bob.id}`, { permission: 'edit' })
    expect((await as(bob, 'PATCH', `/api/tasks/${id}`, { title: 'Ours' })).status).toBe(200)
    expect((await as(bob, 'DELETE', `/api/tasks/${id}`)).status).toBe(403)
    expect((await as(ada, 'DELETE', `/api/tasks/${id}/shares/${bob.id}`)).status).toBe(204)
    expect((await as(bob, 'GET', `/api/tasks/${id}`)).status).toBe(404)
  })
})

describe('comments', () => {
  test('are written by readers, changed by their author, listed oldest first, and counted', async () => {
    const { id } = await create(ada, { title: 'Discussed' })
    const path = `/api/tasks/${id}/comments`
    expect((await as(bob, 'POST', path, { body: 'Hello' })).status).toBe(404)
    await world.ask(ada, 'POST', `/api/tasks/${id}/shares`, { email: bob.email, permission: 'view' })
    const { id: commentId } = await world.ask(bob, 'POST', path, { body: 'Hello' })
    await world.ask(ada, 'POST', path, { body: 'Welcome' })
    expect((await as(ada, 'PATCH', `/api/comments/${commentId}`, { body: 'Mine' })).status).toBe(403)
    await world.ask(bob, 'PATCH', `/api/comments/${commentId}`, { body: 'Hello!' })
    const { items } = await world.ask(ada, 'GET', path)
    expect(items.map(({ body }: { body: string }) => body)).toEqual(['Hello!', 'Welcome'])
    expect(await world.ask(ada, 'GET', `/api/tasks/${id}`)).toMatchObject({ commentCount: 2 })
    expect((await as(bob, 'DELETE', `/api/comments/${commentId}`)).status).toBe(204)
    expect(await world.ask(ada, 'GET', `/api/tasks/${id}`)).toMatchObject({ commentCount: 1 })
  })
})

describe('files', () => {
  const download = ({ token }: Person, id: string): Promise<Response> =>
    fetch(`${world.url}/api/attachments/${id}`, { headers: { Authorization: `Bearer ${token}` } })

  /** The objects in the folder of files. */
  const stored = async (): Promise<string[]> => {
    const folder = join(world.config.dataDir, 'files', 'attachments')
    const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
    return entries.filter((entry) => entry.isFile()).map(({ name }) => name)
  }

  test('are uploaded to a task, listed, downloaded, and deleted with their object', async () => {
    const { id: taskId } = await create(ada, { title: 'With a picture' })
    const before = await stored()
    const { status, body } = await upload({
      url: world.url,
      token: ada.token,
      taskId,
      name: 'dot.png',
      content: png,
    })
    expect(status).toBe(201)
    expect(body).toMatchObject({ filename: 'dot.png', contentType: 'image/png', size: png.length })
    const { items } = await world.ask(ada, 'GET', `/api/tasks/${taskId}/attachments`)
    expect(items).toEqual([body])
    const file = await download(ada, body.id)
    expect(new Uint8Array(await file.arrayBuffer())).toEqual(png)
    expect(file.headers.get('content-disposition')).toStartWith('attachment')
    expect((await download(bob, body.id)).status).toBe(404)
    expect((await as(bob, 'DELETE', `/api/attachments/${body.id}`)).status).toBe(404)
    expect(await stored()).toHaveLength(before.length + 1)
    expect((await as(ada, 'DELETE', `/api/attachments/${body.id}`)).status).toBe(204)
    await eventually(async () => expect(await stored()).toHaveLength(before.length), { timeoutMs: 30_000 })
  }, 60_000)

  test('of a kind or size that is not allowed are refused, by their content', async () => {
    const { id: taskId } = await create(ada)
    const send = (name: string, content: string | Uint8Array<ArrayBuffer>) =>
      upload({ url: world.url, token: ada.token, taskId, name, content })
    expect((await send('page.png', '<!doctype html><script>alert(1)</script>')).status).toBe(415)
    expect((await send('program.pdf', '#!/bin/sh\n\x00\x01')).status).toBe(415)
    expect((await send('large.txt', 'x'.repeat(10 * 1024 * 1024 + 1))).status).toBe(413)
    expect(await world.ask(ada, 'GET', `/api/tasks/${taskId}`)).toMatchObject({ attachmentCount: 0 })
  }, 60_000)

  test('go with their task', async () => {
    const { id: taskId } = await create(ada)
    const before = await stored()
    for (const name of ['a.png', 'b.png'])
      expect((await upload({ url: world.url, token: ada.token, taskId, name, content: png })).status).toBe(
        201,
      )
    expect(await stored()).toHaveLength(before.length + 2)
    await world.ask(ada, 'DELETE', `/api/tasks/${taskId}`)
    await eventually(async () => expect(await stored()).toHaveLength(before.length), { timeoutMs: 30_000 })
  }, 60_000)
})

interface Inbox {
  items: {
    id: string
    kind: string
    taskId: string | null
    actor: { id: string; avatarUrl: string | null } | null
    readAt: string | null
  }[]
  unreadCount: number
}

const inbox = (person: Person, query = ''): Promise<Inbox> =>
  world.ask<Inbox>(person, 'GET', `/api/notifications${query}`)

describe('notifications', () => {
  const kindsAbout = async (person: Person, taskId: string): Promise<string[]> =>
    (await inbox(person, '?limit=100')).items
      .filter((notification) => notification.taskId === taskId)
      .map(({ kind }) => kind)
      .toSorted()

  test('announce shares, comments and overdue tasks, and are read one by one or all at once', async () => {
    const { ella, finn } = await world.people('ella', 'finn')
    const { id } = await create(ella, { title: 'Late', dueAt: inDays(-1) })
    await world.ask(ella, 'POST', `/api/tasks/${id}/shares`, { email: finn.email, permission: 'view' })
    await world.ask(finn, 'POST', `/api/tasks/${id}/comments`, { body: 'When?' })
    await eventually(async () => expect(await kindsAbout(ella, id)).toEqual(['commented', 'overdue']), {
      timeoutMs: 20_000,
    })
    await eventually(async () => expect(await kindsAbout(finn, id)).toEqual(['shared']), {
      timeoutMs: 20_000,
    })
    const { items, unreadCount } = await inbox(ella)
    expect(unreadCount).toBe(2)
    await world.ask(ella, 'POST', `/api/notifications/${items[0]!.id}/read`)
    expect((await inbox(ella, '?unread=true')).items).toHaveLength(1)
    await world.ask(ella, 'POST', '/api/notifications/read-all')
    expect(await inbox(ella, '?unread=true')).toMatchObject({ items: [], unreadCount: 0 })
    expect((await as(finn, 'POST', `/api/notifications/${items[0]!.id}/read`)).status).toBe(404)
  }, 60_000)

  test('of a kind that is turned off do not arrive; the others do', async () => {
    const { ella, finn } = await world.people('ella', 'finn')
    const silenced = { kinds: { commented: { inApp: false } } }
    const preferences = await world.ask(ella, 'PATCH', '/api/notifications/preferences', silenced)
    expect(preferences.kinds).toMatchObject({
      commented: { inApp: false, email: true },
      completed: { inApp: true },
    })
    const { id } = await create(ella)
    await world.ask(ella, 'POST', `/api/tasks/${id}/shares`, { email: finn.email, permission: 'edit' })
    await world.ask(finn, 'POST', `/api/tasks/${id}/comments`, { body: 'Quiet' })
    await world.ask(finn, 'PATCH', `/api/tasks/${id}`, { status: 'done' })
    // The later entry of the same scope is handled after the comment.
    await eventually(async () => expect(await kindsAbout(ella, id)).toEqual(['completed']), {
      timeoutMs: 20_000,
    })
  }, 60_000)
})

describe('activity', () => {
  test('has what changed, by whom, from what to what', async () => {
    const { id } = await create(ada, { title: 'Before' })
    await world.ask(ada, 'PATCH', `/api/tasks/${id}`, { title: 'After', priority: 'urgent' })
    await eventually(
      async () => {
        const { items } = await world.ask(ada, 'GET', `/api/tasks/${id}/activity`)
        expect(items[0]).toMatchObject({
          type: 'task.updated',
          actor: { id: ada.id },
          changes: {
            title: { from: 'Before', to: 'After' },
            priority: { from: 'medium', to: 'urgent' },
          },
        })
      },
      { timeoutMs: 20_000 },
    )
    expect((await as(bob, 'GET', `/api/tasks/${id}/activity`)).status).toBe(404)
  }, 60_000)
})

describe('accounts', () => {
  test('reset a forgotten password by a link that works once', async () => {
    const gina = await world.register('Gina')
    const request = (email: string) =>
      world.call('POST', '/api/auth/password-reset/request', { body: { email } })
    expect((await request(gina.email)).status).toBe(202)
    expect((await request('nobody@example.com')).status).toBe(202)
    const token = await mailedToken(world, 'password_reset', gina.email)
    const confirm = () =>
      world.call('POST', '/api/auth/password-reset/confirm', {
        body: { token, password: 'another horse battery' },
      })
    expect((await confirm()).status).toBe(204)
    expect((await confirm()).status).toBe(410)
    expect((await as(gina, 'GET', '/api/users/me')).status).toBe(401) // the sessions ended
  })

  test('verify their address by a link', async () => {
    const hugo = await world.register('Hugo')
    expect((await world.ask(hugo, 'GET', '/api/users/me')).emailVerified).toBe(false)
    await world.ask(hugo, 'POST', '/api/auth/email/verify/request')
    const token = await mailedToken(world, 'verification', hugo.email)
    expect((await world.call('POST', '/api/auth/email/verify/confirm', { body: { token } })).status).toBe(204)
    expect((await world.ask(hugo, 'GET', '/api/users/me')).emailVerified).toBe(true)
  })
})

describe('people', () => {
  test('are found by exact address, without showing it', async () => {
    const { items } = await world.ask(ada, 'GET', `/api/users/search?q=${encodeURIComponent(bob.email)}`)
    expect(items).toEqual([expect.objectContaining({ id: bob.id, name: 'bob' })])
    expect(JSON.stringify(items)).not.toContain('@')
  })

  /** Sends a file as the picture of a person, under a name that promises a PNG. */
  const putPicture = async ({ token }: Person, content: string | Uint8Array<ArrayBuffer>) => {
    const form = new FormData()
    form.set('file', new File([content], 'me.png', { type: 'image/png' }))
    const response = await fetch(`${world.url}/api/users/me/avatar`, {
      method: 'PUT',
      headers: { Authorization: `Bearer ${token}` },
      body: form,
    })
    return { status: response.status, body: await response.json() }
  }

  test('have a picture, whose path is in every shape that shows them', async () => {
    const { iris, jack } = await world.people('iris', 'jack')
    const { status, body } = await putPicture(iris, picture(8, 8))
    expect(status).toBe(200)
    const { avatarUrl } = body
    const shown = await fetch(world.url + avatarUrl, { headers: { Authorization: `Bearer ${jack.token}` } })
    expect(shown.headers.get('content-type')).toBe('image/png')
    expect(new Uint8Array(await shown.arrayBuffer())).toEqual(picture(8, 8))
    expect((await fetch(world.url + avatarUrl)).status).toBe(401)

    const project = await world.project(jack, { editor: iris })
    const task = await world.ask(jack, 'POST', '/api/tasks', { projectId: project.id, title: 'Land' })
    await world.ask(iris, 'POST', `/api/tasks/${task.id}/comments`, { body: 'Hello' })
    const alone = await create(jack)
    await world.ask(jack, 'POST', `/api/tasks/${alone.id}/shares`, { email: iris.email, permission: 'view' })
    const read = (path: string, person = jack) => world.ask(person, 'GET', path)
    const show = { id: iris.id, avatarUrl }
    expect(await read('/api/users/me', iris)).toMatchObject(show)
    expect(await read(`/api/users/${iris.id}`)).toMatchObject(show)
    expect((await read('/api/users/search?q=iris')).items).toEqual([expect.objectContaining(show)])
    expect((await read(`/api/projects/${project.id}/members`)).items).toContainEqual(
      expect.objectContaining({ userId: iris.id, avatarUrl }),
    )
    expect((await read(`/api/tasks/${alone.id}/shares`)).items).toEqual([
      expect.objectContaining({ userId: iris.id, avatarUrl }),
    ])
    expect((await read(`/api/tasks/${task.id}/comments`)).items[0].author).toMatchObject(show)
    await eventually(
      async () => {
        expect((await inbox(jack)).items[0]).toMatchObject({ kind: 'commented', actor: show })
        const { items } = await read(`/api/tasks/${task.id}/activity`)
        expect(items[0]).toMatchObject({ type: 'comment.created', actor: show })
      },
      { timeoutMs: 20_000 },
    )

    expect((await as(iris, 'DELETE', '/api/users/me/avatar')).status).toBe(204)
    expect(await read(`/api/users/${iris.id}`)).toMatchObject({ avatarUrl: null })
    expect((await inbox(jack)).items[0]).toMatchObject({ actor: { id: iris.id, avatarUrl: null } })
  }, 60_000)

  test('have no picture that is none, by its content, or that is too large', async () => {
    const jack = await world.register('Jack')
    for (const [content, status] of [
      ['<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>', 415],
      ['<!doctype html><script>alert(1)</script>', 415],
      ['%PDF-1.7', 415],
      ['', 422],
      ['x'.repeat(2 * 1024 * 1024 + 1), 413],
    ] as const)
      expect([content.slice(0, 20), (await putPicture(jack, content)).status]).toEqual([
        content.slice(0, 20),
        status,
      ])
    expect((await world.ask(jack, 'GET', '/api/users/me')).avatarUrl).toBeNull()
    expect((await as(ada, 'GET', `/api/users/${jack.id}/avatar`)).status).toBe(404)
  })
})
