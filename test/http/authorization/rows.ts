// Who may call which route: one row for each route of the OpenAPI document, or several for what it may be about. A row is a letter for each column of
// `columns`: `.` passes, `1` is 401, `3` is 403, `4` is 404, `2` is 422. What the request is about follows from the
// path: the shared project or task for reads, one of its own for writes; other rows say it.
import { newId } from '../../../src/model/scalar.ts'
import { png } from '../../support/images.ts'
import { formOf } from '../../support/uploads.ts'
import { testPassword, type Person } from '../../support/world.ts'
import type { Things } from './people.ts'

export interface Sent {
  /** Default: the template with the ids of the things. */
  path?: string
  /** JSON, or a form. */
  body?: unknown
}

export interface Row {
  rights: string
  /** @param isNew whether the request may change what it is about. */
  send?: (things: Things, caller: Person | null, isNew: boolean) => Sent | Promise<Sent>
  /** Of who passes, where that is not the first documented success: 4xx where the content is refused on purpose. */
  ok?: number
  /** The request uses its caller up. */
  alone?: boolean
}

const everyone = '..........'
/** About the caller. */
const ownRead = '1.........'
const ownWrite = '1.......3.'
const sessionOnly = '1.......33'
const adminOnly = '13333.3333'
const readProject = '14....44..'
const manageProject = '1433..443.'
const readTask = '14........'
const commentOnTask = '14......3.'
const changeTask = '143...3.3.'
/** Members alone: shares never delete, move or share. */
const memberOfTask = '143...333.'

const json =
  (body: unknown): NonNullable<Row['send']> =>
  () => ({ body })

const task = (things: Things, isNew: boolean) => (isNew ? things.newTask() : things.taskId)
const project = (things: Things, isNew: boolean) => (isNew ? things.newProject() : things.projectId)

export const rows: Record<string, Row | Row[]> = {
  'GET /livez': { rights: everyone },
  'GET /readyz': { rights: everyone },
  'GET /health': { rights: everyone },
  'GET /version': { rights: everyone },
  // In production for admins alone: `test/http/metrics.test.ts` has that.
  'GET /metrics': { rights: everyone },
  'GET /api/ws': { rights: everyone, ok: 400 },

  'POST /api/auth/register': {
    rights: everyone,
    send: () => ({ body: { email: `${newId()}@example.com`, name: 'New', password: testPassword } }),
  },
  'POST /api/auth/login': {
    rights: everyone,
    send: ({ owner: { email } }) => ({ body: { email, password: testPassword } }),
  },
  'POST /api/auth/refresh': {
    rights: everyone,
    send: async (things) => ({
      body: { refreshToken: (await things.newSession(things.owner)).refreshToken },
    }),
  },
  'POST /api/auth/logout': {
    rights: everyone,
    send: async (things) => ({
      body: { refreshToken: (await things.newSession(things.owner)).refreshToken },
    }),
  },
  'POST /api/auth/logout-all': { rights: sessionOnly, alone: true },
  'GET /api/auth/sessions': { rights: sessionOnly },
  'DELETE /api/auth/sessions/{id}': {
    rights: sessionOnly,
    send: async (things, caller, isNew) => {
      if (!caller || !isNew) return { path: `/api/auth/sessions/${newId()}` }
      await things.newSession(caller)
      const { items } = await things.ask(caller, 'GET', '/api/auth/sessions')
      return { path: `/api/auth/sessions/${items.find((one: { current: boolean }) => !one.current).id}` }
    },
  },
  'GET /api/auth/tokens': { rights: sessionOnly },
  'POST /api/auth/tokens': { rights: sessionOnly, send: json({ name: 'CI', scopes: ['read'] }) },
  'DELETE /api/auth/tokens/{id}': {
    rights: '1444.44433',
    send: async (things) => ({ path: `/api/auth/tokens/${await things.newToken()}` }),
  },
  'POST /api/auth/password-reset/request': {
    rights: everyone,
    send: json({ email: 'nobody@example.com' }),
  },
  'POST /api/auth/password-reset/confirm': {
    rights: everyone,
    ok: 422,
    send: json({ token: 'none', password: 'another horse battery' }),
  },
  'POST /api/auth/email/verify/request': { rights: sessionOnly },
  'POST /api/auth/email/verify/confirm': { rights: '........33', ok: 422, send: json({ token: 'none' }) },

  'GET /api/users/me': { rights: ownRead },
  'PATCH /api/users/me': { rights: ownWrite, send: json({ timeZone: 'Europe/Berlin' }) },
  'DELETE /api/users/me': { rights: sessionOnly, ok: 422, send: json({ password: 'not mine' }) },
  'PUT /api/users/me/password': {
    rights: sessionOnly,
    ok: 422,
    send: json({ currentPassword: 'not mine', password: 'another horse battery' }),
  },
  'GET /api/users/me/snapshot': { rights: ownRead },
  'GET /api/users/search': { rights: ownRead, send: () => ({ path: '/api/users/search?q=a' }) },
  'GET /api/users/{id}': { rights: ownRead, send: ({ owner }) => ({ path: `/api/users/${owner.id}` }) },
  'GET /api/users': { rights: adminOnly },
  'POST /api/users': {
    rights: adminOnly,
    send: () => ({ body: { email: `${newId()}@example.com`, name: 'Made' } }),
  },
  'PATCH /api/users/{id}': {
    rights: adminOnly,
    send: ({ newcomer }) => ({ path: `/api/users/${newcomer.id}`, body: { role: 'user' } }),
  },
  'DELETE /api/users/{id}': {
    rights: adminOnly,
    send: async (things, _caller, isNew) => ({
      path: `/api/users/${isNew ? (await things.newPerson()).id : things.newcomer.id}`,
    }),
  },
  'PUT /api/users/me/avatar': { rights: ownWrite, send: () => ({ body: formOf('me.png', png(2, 2)) }) },
  'DELETE /api/users/me/avatar': {
    rights: ownWrite,
    send: async (things, caller, isNew) => {
      if (caller && isNew) await things.newAvatar(caller)
      return {}
    },
  },
  'GET /api/users/{id}/avatar': {
    rights: ownRead,
    send: async (things, caller) => {
      if (caller) await things.newAvatar(things.owner)
      return { path: `/api/users/${things.owner.id}/avatar` }
    },
  },
  'GET /api/invitations': { rights: adminOnly },
  'POST /api/invitations': {
    rights: adminOnly,
    send: () => ({ body: { email: `${newId()}@example.com` } }),
  },
  'DELETE /api/invitations/{id}': {
    rights: adminOnly,
    send: async (things, caller, isNew) => {
      if (!caller || !isNew) return { path: `/api/invitations/${newId()}` }
      const { id } = await things.ask(caller, 'POST', '/api/invitations', { email: `${newId()}@example.com` })
      return { path: `/api/invitations/${id}` }
    },
  },

  'GET /api/projects': { rights: ownRead },
  'POST /api/projects': { rights: ownWrite, send: json({ name: 'New' }) },
  'GET /api/projects/{id}': { rights: readProject },
  'PATCH /api/projects/{id}': { rights: manageProject, send: json({ name: 'Changed' }) },
  'DELETE /api/projects/{id}': { rights: manageProject },
  'POST /api/projects/{id}/archive': { rights: manageProject },
  'POST /api/projects/{id}/unarchive': { rights: manageProject },
  'GET /api/projects/{id}/snapshot': { rights: readProject },
  'GET /api/projects/{id}/members': { rights: readProject },
  'POST /api/projects/{id}/members': {
    rights: manageProject,
    send: ({ newcomer: { email } }) => ({ body: { email, role: 'viewer' } }),
  },
  'PATCH /api/projects/{id}/members/{userId}': {
    rights: manageProject,
    send: async (things, _caller, isNew) => ({
      path: `/api/projects/${await project(things, isNew)}/members/${things.owner.id}`,
      body: { role: 'owner' },
    }),
  },
  'DELETE /api/projects/{id}/members/{userId}': {
    rights: manageProject,
    send: async (things, _caller, isNew) => {
      const id = await project(things, isNew)
      const { email, id: userId } = things.newcomer
      if (isNew)
        await things.ask(things.owner, 'POST', `/api/projects/${id}/members`, { email, role: 'viewer' })
      return { path: `/api/projects/${id}/members/${userId}` }
    },
  },

  'GET /api/tasks': [
    { rights: ownRead },
    { rights: readProject, send: ({ projectId }) => ({ path: `/api/tasks?projectId=${projectId}` }) },
  ],
  'POST /api/tasks': {
    rights: '123...223.',
    send: ({ projectId }) => ({ body: { projectId, title: 'New' } }),
  },
  'GET /api/tasks/{id}': { rights: readTask },
  'PATCH /api/tasks/{id}': { rights: changeTask, send: json({ title: 'Changed' }) },
  'PUT /api/tasks/{id}': { rights: changeTask, send: json({ title: 'Replaced' }) },
  'DELETE /api/tasks/{id}': { rights: memberOfTask },
  'POST /api/tasks/{id}/tags': { rights: changeTask, send: json({ tags: ['red'] }) },
  'DELETE /api/tasks/{id}/tags/{tag}': {
    rights: changeTask,
    send: async (things, _caller, isNew) => ({ path: `/api/tasks/${await task(things, isNew)}/tags/blue` }),
  },
  'POST /api/tasks/{id}/move': { rights: memberOfTask, send: json({}) },
  'PATCH /api/tasks/bulk': {
    rights: changeTask,
    send: async (things, _caller, isNew) => ({
      body: { ids: [await task(things, isNew)], changes: { priority: 'low' } },
    }),
  },
  'POST /api/tasks/batch': {
    rights: memberOfTask,
    send: async (things, _caller, isNew) => ({
      body: { operations: [{ op: 'delete', id: await task(things, isNew) }] },
    }),
  },
  'GET /api/tasks/stats': [
    { rights: ownRead },
    { rights: readProject, send: ({ projectId }) => ({ path: `/api/tasks/stats?projectId=${projectId}` }) },
  ],
  'GET /api/tasks/{id}/shares': { rights: readTask },
  'POST /api/tasks/{id}/shares': {
    rights: memberOfTask,
    send: ({ newcomer: { email } }) => ({ body: { email, permission: 'view' } }),
  },
  'PATCH /api/tasks/{id}/shares/{userId}': {
    rights: memberOfTask,
    send: async (things, _caller, isNew) => {
      const id = await task(things, isNew)
      const { email, id: userId } = things.newcomer
      if (isNew)
        await things.ask(things.owner, 'POST', `/api/tasks/${id}/shares`, { email, permission: 'view' })
      return { path: `/api/tasks/${id}/shares/${userId}`, body: { permission: 'edit' } }
    },
  },
  'DELETE /api/tasks/{id}/shares/{userId}': {
    rights: memberOfTask,
    send: async (things, _caller, isNew) => {
      const id = await task(things, isNew)
      const { email, id: userId } = things.newcomer
      if (isNew)
        await things.ask(things.owner, 'POST', `/api/tasks/${id}/shares`, { email, permission: 'view' })
      return { path: `/api/tasks/${id}/shares/${userId}` }
    },
  },
  'GET /api/tasks/{id}/comments': { rights: readTask },
  'POST /api/tasks/{id}/comments': { rights: commentOnTask, send: json({ body: 'Yes' }) },
  // The comment is the owner's: only its author changes it, editors delete it, too.
  'PATCH /api/comments/{id}': {
    rights: '1433.3333.',
    send: async (things) => ({ path: `/api/comments/${await things.newComment()}`, body: { body: 'No' } }),
  },
  'DELETE /api/comments/{id}': {
    rights: '143...333.',
    send: async (things) => ({ path: `/api/comments/${await things.newComment()}` }),
  },
  'GET /api/tasks/{id}/attachments': { rights: readTask },
  'POST /api/tasks/{id}/attachments': {
    rights: changeTask,
    send: () => ({ body: formOf('notes.txt', 'Notes') }),
  },
  // The tests keep files on disk, where rights are checked all the same.
  'POST /api/tasks/{id}/attachments/uploads': {
    rights: changeTask,
    send: json({ filename: 'a.txt', size: 1, sha256: '0'.repeat(64), contentType: 'text/plain' }),
    ok: 409,
  },
  // For its uploader alone.
  'POST /api/attachments/{id}/complete': {
    rights: '1444.4443.',
    send: async (things) => ({ path: `/api/attachments/${await things.newAttachment()}/complete` }),
  },
  'GET /api/attachments/{id}': {
    rights: readTask,
    send: async (things) => ({ path: `/api/attachments/${await things.newAttachment()}` }),
  },
  'DELETE /api/attachments/{id}': {
    rights: changeTask,
    send: async (things) => ({ path: `/api/attachments/${await things.newAttachment()}` }),
  },
  'GET /api/tasks/{id}/activity': { rights: readTask },
  'GET /api/mail/unsubscribe': {
    rights: everyone,
    ok: 422,
    send: () => ({ path: '/api/mail/unsubscribe?token=none' }),
  },
  'POST /api/mail/unsubscribe': {
    rights: everyone,
    ok: 422,
    send: () => ({ path: '/api/mail/unsubscribe?token=none' }),
  },

  'GET /api/activity': [
    { rights: ownRead },
    { rights: readProject, send: ({ projectId }) => ({ path: `/api/activity?projectId=${projectId}` }) },
    { rights: readTask, send: ({ taskId }) => ({ path: `/api/activity?taskId=${taskId}` }) },
  ],

  'GET /api/notifications': { rights: ownRead },
  'POST /api/notifications/{id}/read': {
    rights: '1444.4443.',
    send: async (things) => ({ path: `/api/notifications/${await things.newNotification()}/read` }),
  },
  'POST /api/notifications/read-all': { rights: ownWrite },
  'GET /api/notifications/preferences': { rights: ownRead },
  'PATCH /api/notifications/preferences': { rights: ownWrite, send: json({ dueSoonHours: 12 }) },

  'GET /api/sync': {
    rights: readProject,
    send: async ({ projectId, owner, ask }) => {
      const { cursor } = await ask(owner, 'GET', `/api/projects/${projectId}/snapshot`)
      return { path: `/api/sync?scope=project:${projectId}&cursor=${cursor}` }
    },
  },
}
