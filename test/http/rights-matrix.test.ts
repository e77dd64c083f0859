// Every route of the OpenAPI document against every kind of caller: what each is answered is this table. A route without
// a row fails, so that a new one states who may call it. Each call meets things of its own, which no call before changed.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { routesOf, type Route } from '../support/routes.ts'
import { callsOf } from '../support/tasks.ts'
import { startWorld, testPassword, type Person, type World } from '../support/world.ts'

const callers = ['nobody', 'stranger', 'viewer', 'editor', 'owner', 'admin', 'watcher', 'helper'] as const
type Caller = (typeof callers)[number]

/** Things that one call may change: a project of `owner`, a task in it, a comment of `owner` on the task. */
interface Things {
  projectId: string
  cursor: string
  taskId: string
  commentId: string
  /** A member of the project, and a person the task is shared with, who are none of the callers. */
  memberId: string
  shareeId: string
}

interface Row {
  /** Of the callers, in their order. */
  expected: number[]
  path?: (things: Things) => string
  body?: (things: Things) => unknown
}

let world: World
let routes: Route[]
let people: Record<Exclude<Caller, 'nobody'> | 'member' | 'sharee', Person>

beforeAll(async () => {
  world = await startWorld({ registrationsPerHour: 1_000 })
  routes = await routesOf(world)
  const register = () => world.register()
  people = {
    stranger: await register(),
    viewer: await register(),
    editor: await register(),
    owner: await register(),
    admin: await world.registerAdmin(),
    watcher: await register(),
    helper: await register(),
    member: await register(),
    sharee: await register(),
  }
}, 60_000)

afterAll(() => world[Symbol.asyncDispose]())

const make = async (): Promise<Things> => {
  const { owner, viewer, editor, watcher, helper, member, sharee } = people
  const calls = callsOf(world, owner)
  const project = await world.project(owner, { viewer: [viewer, member], editor })
  const task = await calls.task({ projectId: project.id, tags: ['tag'] })
  await calls.share(task, watcher, 'view')
  await calls.share(task, helper, 'edit')
  await calls.share(task, sharee, 'view')
  const comment = await world.ask(owner, 'POST', `/api/tasks/${task.id}/comments`, { body: 'Words' })
  const { cursor } = await world.ask(owner, 'GET', `/api/projects/${project.id}/snapshot`)
  return {
    projectId: project.id,
    cursor,
    taskId: task.id,
    commentId: comment.id,
    memberId: member.id,
    shareeId: sharee.id,
  }
}

const unknownId = '01933b6e-7c4a-7d3e-8f21-000000000000'

interface Statuses {
  stranger: number
  viewer: number
  editor: number
  owner: number
  watcher: number
  helper: number
}

/** In the order of `callers`; an admin acts as owner. */
const inOrder = ({ stranger, viewer, editor, owner, watcher, helper }: Statuses): number[] => [
  401,
  stranger,
  viewer,
  editor,
  owner,
  owner,
  watcher,
  helper,
]

/** The same for all who may read, but for those given. */
const byRole = (reader: number, over: Partial<Statuses> = {}): number[] => {
  const editor = over.editor ?? reader
  const watcher = over.watcher ?? reader
  return inOrder({ stranger: 404, viewer: reader, editor, owner: editor, watcher, helper: watcher, ...over })
}

/** Members of the project alone: a single share does not lead to it. */
const members = (status: number): number[] => byRole(status, { watcher: 404 })
const owners = (status: number): number[] => byRole(403, { owner: status, watcher: 404 })
const taskReaders = (status: number): number[] => byRole(status)
/** Editors, and whom the task is shared with for editing. */
const taskWriters = (status: number): number[] => byRole(403, { editor: status, helper: status })
const taskEditors = (status: number): number[] => byRole(403, { editor: status })
/** About the caller itself: the same for everyone who is signed in. */
const self = (status: number): number[] => callers.map((caller) => (caller === 'nobody' ? 401 : status))
const admins = (status: number): number[] =>
  callers.map((caller) => (caller === 'nobody' ? 401 : caller === 'admin' ? status : 403))

const project =
  (rest = '') =>
  ({ projectId }: Things) =>
    `/api/projects/${projectId}${rest}`
const task =
  (rest = '') =>
  ({ taskId }: Things) =>
    `/api/tasks/${taskId}${rest}`

/** Called without credentials alone: with them it would end the caller, or send mail. */
const guardedOnly: Row = { expected: [401] }

const table: Record<string, Row | Row[]> = {
  'GET /api/tasks': [
    { expected: self(200) },
    { expected: members(200), path: ({ projectId }) => `/api/tasks?projectId=${projectId}` },
  ],
  'POST /api/tasks': {
    expected: byRole(403, { editor: 201, stranger: 422, watcher: 422 }),
    body: ({ projectId }) => ({ title: 'New', projectId }),
  },
  'GET /api/tasks/stats': [
    { expected: self(200) },
    { expected: members(200), path: ({ projectId }) => `/api/tasks/stats?projectId=${projectId}` },
  ],
  'GET /api/tasks/:id': { expected: taskReaders(200), path: task() },
  'PATCH /api/tasks/:id': { expected: taskWriters(200), path: task(), body: () => ({ title: 'Changed' }) },
  'PUT /api/tasks/:id': { expected: taskWriters(200), path: task(), body: () => ({ title: 'Replaced' }) },
  'DELETE /api/tasks/:id': { expected: taskEditors(204), path: task() },
  'POST /api/tasks/:id/move': { expected: taskEditors(200), path: task('/move'), body: () => ({}) },
  'POST /api/tasks/:id/tags': {
    expected: taskWriters(200),
    path: task('/tags'),
    body: () => ({ tags: ['x'] }),
  },
  'DELETE /api/tasks/:id/tags/:tag': { expected: taskWriters(204), path: task('/tags/tag') },
  'PATCH /api/tasks/bulk': {
    expected: taskWriters(200),
    body: ({ taskId }) => ({ ids: [taskId], changes: { title: 'All' } }),
  },
  'POST /api/tasks/batch': {
    expected: taskWriters(200),
    body: ({ taskId }) => ({ operations: [{ op: 'update', id: taskId, data: { title: 'Batch' } }] }),
  },
  'GET /api/tasks/:id/comments': { expected: taskReaders(200), path: task('/comments') },
  'POST /api/tasks/:id/comments': {
    expected: taskReaders(201),
    path: task('/comments'),
    body: () => ({ body: 'Mine' }),
  },
  // Changed by its author alone, `owner` here; editors may delete it.
  'PATCH /api/comments/:id': {
    expected: [401, 404, 403, 403, 200, 403, 403, 403],
    path: ({ commentId }) => `/api/comments/${commentId}`,
    body: () => ({ body: 'Other words' }),
  },
  'DELETE /api/comments/:id': {
    expected: taskEditors(204),
    path: ({ commentId }) => `/api/comments/${commentId}`,
  },
  'GET /api/tasks/:id/shares': { expected: taskReaders(200), path: task('/shares') },
  'POST /api/tasks/:id/shares': {
    expected: taskEditors(201),
    path: task('/shares'),
    body: () => ({ email: people.stranger.email, permission: 'view' }),
  },
  'PATCH /api/tasks/:id/shares/:userId': {
    expected: taskEditors(200),
    path: ({ taskId, shareeId }) => `/api/tasks/${taskId}/shares/${shareeId}`,
    body: () => ({ permission: 'edit' }),
  },
  'DELETE /api/tasks/:id/shares/:userId': {
    expected: taskEditors(204),
    path: ({ taskId, shareeId }) => `/api/tasks/${taskId}/shares/${shareeId}`,
  },
  'GET /api/tasks/:id/activity': { expected: taskReaders(200), path: task('/activity') },
  'GET /api/activity': [
    { expected: self(200) },
    { expected: members(200), path: ({ projectId }) => `/api/activity?projectId=${projectId}` },
  ],

  'GET /api/projects': { expected: self(200) },
  'POST /api/projects': { expected: self(201), body: () => ({ name: 'Own' }) },
  'GET /api/projects/:id': { expected: members(200), path: project() },
  'PATCH /api/projects/:id': { expected: owners(200), path: project(), body: () => ({ name: 'Other' }) },
  'DELETE /api/projects/:id': { expected: owners(204), path: project() },
  'POST /api/projects/:id/archive': { expected: owners(200), path: project('/archive') },
  'POST /api/projects/:id/unarchive': { expected: owners(200), path: project('/unarchive') },
  'GET /api/projects/:id/members': { expected: members(200), path: project('/members') },
  'POST /api/projects/:id/members': {
    expected: owners(201),
    path: project('/members'),
    body: () => ({ email: people.stranger.email, role: 'viewer' }),
  },
  'PATCH /api/projects/:id/members/:userId': {
    expected: owners(200),
    path: ({ projectId, memberId }) => `/api/projects/${projectId}/members/${memberId}`,
    body: () => ({ role: 'editor' }),
  },
  'DELETE /api/projects/:id/members/:userId': {
    expected: owners(204),
    path: ({ projectId, memberId }) => `/api/projects/${projectId}/members/${memberId}`,
  },
  'GET /api/projects/:id/snapshot': { expected: members(200), path: project('/snapshot') },
  'GET /api/sync': {
    expected: members(200),
    path: ({ projectId, cursor }) => `/api/sync?scope=project:${projectId}&cursor=${cursor}`,
  },

  'GET /api/users/me': { expected: self(200) },
  'PATCH /api/users/me': { expected: self(200), body: () => ({ name: 'Renamed' }) },
  // With a wrong password, so that the callers keep their accounts.
  'DELETE /api/users/me': { expected: self(422), body: () => ({ password: 'wrong password' }) },
  'PUT /api/users/me/password': {
    expected: self(422),
    body: () => ({ currentPassword: 'wrong password', password: testPassword }),
  },
  'GET /api/users/me/snapshot': { expected: self(200) },
  'GET /api/users/search': { expected: self(200), path: () => '/api/users/search?q=nobody' },
  'GET /api/users/:id': { expected: self(200), path: () => `/api/users/${people.owner.id}` },
  'GET /api/users': { expected: admins(200) },
  'POST /api/users': {
    expected: admins(201),
    body: () => ({ email: `made-${Bun.randomUUIDv7()}@example.com`, name: 'Made', password: testPassword }),
  },
  'PATCH /api/users/:id': {
    expected: admins(200),
    path: () => `/api/users/${people.stranger.id}`,
    body: () => ({ disabled: false }),
  },
  'DELETE /api/users/:id': [
    { expected: self(404), path: () => `/api/users/${unknownId}` },
    // But for the admin, who would delete the account.
    { expected: [401, 403, 403, 403, 403], path: () => `/api/users/${people.owner.id}` },
  ],
  'PUT /api/users/me/avatar': guardedOnly,
  'DELETE /api/users/me/avatar': guardedOnly,
  'GET /api/users/:id/avatar': { expected: self(404), path: () => `/api/users/${people.owner.id}/avatar` },

  'GET /api/invitations': { expected: admins(200) },
  'POST /api/invitations': {
    expected: admins(201),
    body: () => ({ email: `invited-${Bun.randomUUIDv7()}@example.com` }),
  },
  'DELETE /api/invitations/:id': { expected: admins(404), path: () => `/api/invitations/${unknownId}` },

  'GET /api/notifications': { expected: self(200) },
  'POST /api/notifications/:id/read': {
    expected: self(404),
    path: () => `/api/notifications/${unknownId}/read`,
  },
  'POST /api/notifications/read-all': { expected: self(200) },
  'GET /api/notifications/preferences': { expected: self(200) },
  'PATCH /api/notifications/preferences': { expected: self(200), body: () => ({ dueSoonHours: 12 }) },

  'GET /api/auth/sessions': { expected: self(200) },
  'DELETE /api/auth/sessions/:id': { expected: self(404), path: () => `/api/auth/sessions/${unknownId}` },
  'POST /api/auth/logout-all': guardedOnly,
  'POST /api/auth/email/verify/request': guardedOnly,
  'GET /api/auth/tokens': { expected: self(200) },
  'POST /api/auth/tokens': { expected: self(201), body: () => ({ name: 'Script', scopes: ['read'] }) },
  'DELETE /api/auth/tokens/:id': { expected: self(404), path: () => `/api/auth/tokens/${unknownId}` },
}

const nameOf = ({ method, template }: Route): string => `${method} ${template}`

test('every route but the public ones has a row', () => {
  const missing = routes.filter((route) => route.isGuarded && !(nameOf(route) in table))
  expect(missing.map(nameOf)).toEqual([])
})

const rowsOf = (name: string): Row[] => [table[name]!].flat()

test.each(Object.keys(table))(
  '%s',
  async (name) => {
    const route = routes.find((one) => nameOf(one) === name)
    if (!route) return // of a part that is not built
    for (const row of rowsOf(name)) {
      const seen = await Promise.all(
        callers.slice(0, row.expected.length).map(async (caller) => {
          const things = await make()
          const path = row.path?.(things) ?? route.path
          const token = caller === 'nobody' ? undefined : people[caller].token
          const body = row.body?.(things)
          const { status } = await world.call(route.method, path, {
            ...(token !== undefined && { token }),
            ...(body !== undefined && { body }),
          })
          return `${caller} ${status}`
        }),
      )
      expect(seen).toEqual(row.expected.map((status, index) => `${callers[index]} ${status}`))
    }
  },
  60_000,
)
