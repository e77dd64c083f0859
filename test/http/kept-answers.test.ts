// Lists that are kept in two servers on one database: what is sent is what a new read would give, whatever was written
// in between and wherever.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { RunningServer } from '../../src/app/compose.ts'
import { createNotifications } from '../../src/domain/notifications/entries.ts'
import { systemWrite, write } from '../../src/domain/write.ts'
import { startWorld, testPassword, type Person, type World } from '../support/world.ts'

let world: World
let other: RunningServer

beforeAll(async () => {
  world = await startWorld()
  other = await world.another()
}, 30_000)
afterAll(async () => {
  await other[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
}, 20_000)

interface Answer {
  status: number
  etag: string | null
  link: string | null
  text: string
}

let hosts = 0

/** @param host another than the server's own has no kept answers. */
const read = async (
  server: { url: string },
  person: Person,
  path: string,
  host?: string,
): Promise<Answer> => {
  const response = await fetch(server.url + path, {
    headers: { Authorization: `Bearer ${person.token}`, ...(host && { Host: host }) },
  })
  const text = (await response.text()).replace(/"requestId":"[^"]+"/, '')
  return {
    status: response.status,
    etag: response.headers.get('etag'),
    link: response.headers.get('link'),
    text,
  }
}

const readNew = (person: Person, path: string): Promise<Answer> =>
  read(other, person, path, `host${(hosts += 1)}.test`)

/** Both servers answer what a new read gives. */
const expectFresh = async (person: Person, path: string): Promise<Answer> => {
  const now = await readNew(person, path)
  for (const server of [other, world])
    expect({ path, ...(await read(server, person, path)) }).toEqual({ path, ...now })
  return now
}

const notify = (userId: string, actorId: string | null, title: string): Promise<unknown> =>
  write(world.server.deps, systemWrite, async (tx) => ({
    value: null,
    entries: await createNotifications(tx, [
      { userId, kind: 'assigned', taskId: null, projectId: null, actorId, data: { title }, dedupeKey: title },
    ]),
  }))

const builtBy = async (work: () => Promise<unknown>): Promise<number> => {
  const before = world.server.deps.kept.counts.built
  await work()
  return world.server.deps.kept.counts.built - before
}

test('an answer is built once, sent again to equal requests, and 304 for its tag', async () => {
  const anna = await world.register()
  const { id } = await world.project(anna)
  for (const path of [
    '/api/tasks',
    `/api/tasks?projectId=${id}&sort=rank&limit=5`,
    '/api/projects?page=1',
    `/api/projects/${id}/members`,
    '/api/notifications',
  ]) {
    const first = await read(world.server, anna, path)
    expect(first.status).toBe(200)
    const again = async () => {
      expect(await read(world.server, anna, path)).toEqual(first)
      const { status } = await world.call('GET', path, {
        token: anna.token,
        headers: { 'If-None-Match': first.etag! },
      })
      expect(status).toBe(304)
    }
    expect([path, await builtBy(again)]).toEqual([path, 0])
  }
})

test('equal requests that arrive together build one answer', async () => {
  const anna = await world.register()
  const many = () => Promise.all(Array.from({ length: 30 }, () => read(world.server, anna, '/api/tasks')))
  expect(await builtBy(many)).toBe(1)
  await world.ask(anna, 'POST', '/api/tasks', { title: 'new' })
  expect(await builtBy(many)).toBe(1)
})

test('answers that change with the clock are not kept', async () => {
  const anna = await world.register()
  const path = '/api/tasks?overdue=true'
  expect(
    await builtBy(async () => [await read(world.server, anna, path), await read(world.server, anna, path)]),
  ).toBe(2)
})

test('a read notification near its retention is not kept', async () => {
  const anna = await world.register()
  await notify(anna.id, null, 'old one')
  await world.ask(anna, 'POST', '/api/notifications/read-all')
  await world.server.deps.db.transact(
    (tx) =>
      tx`update notifications set read_at = now() - interval '89 days 1 hour' where user_id = ${anna.id}`,
  )
  const twice = (path: string) => () =>
    Promise.resolve(read(world.server, anna, path)).then(() => read(world.server, anna, path))
  expect(await builtBy(twice('/api/notifications'))).toBe(2)
  expect(await builtBy(twice('/api/notifications?unread=true'))).toBe(1)
})

describe('a list is fresh on another server right after', () => {
  test('what changes tasks, members, shares and notifications', async () => {
    const { anna, bert, cleo, dora } = await world.people('anna', 'bert', 'cleo', 'dora')
    const admin = await world.registerAdmin()
    const team = await world.project(anna, { editor: bert, viewer: dora })
    const alone = await world.project(anna)
    const task = await world.ask(anna, 'POST', '/api/tasks', {
      title: 'shared one',
      projectId: team.id,
      tags: ['x'],
    })
    const moving = await world.ask(anna, 'POST', '/api/tasks', { title: 'moving', projectId: team.id })
    await world.ask(anna, 'POST', `/api/tasks/${task.id}/shares`, { userId: cleo.id, permission: 'view' })
    await notify(cleo.id, dora.id, 'from dora')
    const lists = [
      '/api/tasks',
      '/api/tasks?shared=true',
      '/api/tasks?search=shared',
      '/api/tasks?tag=x&sort=title',
      '/api/tasks?page=1&limit=2',
      `/api/tasks?projectId=${team.id}`,
      `/api/tasks?projectId=${alone.id}&sort=rank`,
      '/api/projects',
      '/api/projects?archived=true',
      `/api/projects/${team.id}/members`,
      `/api/projects/${team.id}/members?limit=1`,
      `/api/tasks/${task.id}/shares`,
      `/api/tasks/${moving.id}/shares`,
      '/api/notifications',
      '/api/notifications?unread=true&page=1',
    ]
    const all = [anna, bert, cleo, admin].flatMap((person) => lists.map((path) => ({ person, path })))
    const everything = () =>
      Promise.all(
        all.map(async ({ person, path }) => {
          const { status, text } = await expectFresh(person, path)
          return `${status} ${text}`
        }),
      )
    let shown = await everything()
    const changes: [string, Person, string, string, unknown?][] = [
      ['a task is created', bert, 'POST', '/api/tasks', { title: 'third shared', projectId: team.id }],
      [
        'a task is changed',
        bert,
        'PATCH',
        `/api/tasks/${task.id}`,
        { title: 'renamed', assigneeId: cleo.id },
      ],
      ['tags are added', bert, 'POST', `/api/tasks/${moving.id}/tags`, { tags: ['x'] }],
      [
        'a task is shared',
        anna,
        'POST',
        `/api/tasks/${moving.id}/shares`,
        { userId: cleo.id, permission: 'edit' },
      ],
      [
        'a share is changed',
        anna,
        'PATCH',
        `/api/tasks/${moving.id}/shares/${cleo.id}`,
        { permission: 'view' },
      ],
      ['a task is moved', anna, 'POST', `/api/tasks/${moving.id}/move`, { projectId: alone.id }],
      ['a moved task is changed', anna, 'PATCH', `/api/tasks/${moving.id}`, { description: 'far' }],
      [
        'a member is added',
        anna,
        'POST',
        `/api/projects/${alone.id}/members`,
        { userId: bert.id, role: 'viewer' },
      ],
      ['a role is changed', anna, 'PATCH', `/api/projects/${team.id}/members/${bert.id}`, { role: 'viewer' }],
      ['a member is renamed', bert, 'PATCH', '/api/users/me', { name: 'Robert' }],
      ['a sharee is renamed', cleo, 'PATCH', '/api/users/me', { name: 'Clea' }],
      [
        'a member gets another address',
        bert,
        'PATCH',
        '/api/users/me',
        { email: `other-${bert.email}`, currentPassword: testPassword },
      ],
      ['a project is renamed', anna, 'PATCH', `/api/projects/${team.id}`, { name: 'Gemini' }],
      ['a project is archived', anna, 'POST', `/api/projects/${team.id}/archive`],
      ['a project is restored', anna, 'POST', `/api/projects/${team.id}/unarchive`],
      ['notifications are read', cleo, 'POST', '/api/notifications/read-all'],
      ['a share ends', anna, 'DELETE', `/api/tasks/${moving.id}/shares/${cleo.id}`],
      ['a member is removed', anna, 'DELETE', `/api/projects/${alone.id}/members/${bert.id}`],
      ['a member leaves', bert, 'DELETE', `/api/projects/${team.id}/members/${bert.id}`],
      ['a task is deleted', anna, 'DELETE', `/api/tasks/${moving.id}`],
      ['a project is deleted', anna, 'DELETE', `/api/projects/${alone.id}`],
      ['a member and actor deletes the account', dora, 'DELETE', '/api/users/me', { password: testPassword }],
    ]
    for (const [what, person, method, path, body] of changes) {
      await world.ask(person, method, path, body)
      const now = await everything()
      expect([what, now.some((text, index) => text !== shown[index])]).toEqual([what, true])
      shown = now
    }
  }, 60_000)

  test('the end of access: 404 or an empty list at once', async () => {
    const { anna, bert } = await world.people('anna', 'bert')
    const project = await world.project(anna, { editor: bert })
    const task = await world.ask(anna, 'POST', '/api/tasks', { title: 'secret', projectId: project.id })
    const list = `/api/tasks?projectId=${project.id}`
    const members = `/api/projects/${project.id}/members`
    const single = `/api/tasks/${task.id}`
    for (const server of [world.server, other])
      for (const path of [list, members, single, '/api/tasks'])
        expect((await read(server, bert, path)).status).toBe(200)
    await world.ask(anna, 'DELETE', `${members}/${bert.id}`)
    for (const server of [other, world.server]) {
      for (const path of [list, members, single]) expect((await read(server, bert, path)).status).toBe(404)
      expect((await read(server, bert, '/api/tasks')).text).not.toContain('secret')
    }
  })
})
