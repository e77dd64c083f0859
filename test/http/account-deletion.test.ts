// Deleting an account: what is deleted, what remains, and which scopes receive entries.
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test'
import { projectScope, userScope, type Scope } from '../../src/model/scope.ts'
import type { Task } from '../../src/model/task.ts'
import { png } from '../support/images.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld, testPassword, type Person, type World } from '../support/world.ts'

let world: World
let ada: Person
let bob: Person

beforeAll(async () => {
  world = await startWorld()
})

beforeEach(async () => {
  ;({ Ada: ada, Bob: bob } = await world.people('Ada', 'Bob'))
})

afterAll(() => world[Symbol.asyncDispose]())

const post = async <T = { id: string }>(person: Person, path: string, body: unknown): Promise<T> => {
  const answer = await world.call('POST', path, { token: person.token, body })
  expect(answer.status).toBe(201)
  return answer.body
}

const leave = (person: Person, password = testPassword) =>
  world.call('DELETE', '/api/users/me', { token: person.token, body: { password } })

const addMember = (owner: Person, projectId: string, person: Person, role: string) =>
  post(owner, `/api/projects/${projectId}/members`, { email: person.email, role })

const lastOf = async (scope: Scope, type: string) =>
  (await world.entries(scope)).findLast((entry) => entry.type === type)

test('a wrong password deletes nothing', async () => {
  const entries = await world.entryCount()
  const answer = await leave(ada, 'not the password')
  expect(answer.status).toBe(422)
  expect(answer.body.errors[0].pointer).toBe('/password')
  expect(await world.entryCount()).toBe(entries)
  expect((await world.call('GET', '/api/users/me', { token: ada.token })).status).toBe(200)
})

test('the only owner of a project with other members gets its id and keeps the account', async () => {
  const project = await post(ada, '/api/projects', { name: 'Apollo' })
  await addMember(ada, project.id, bob, 'editor')
  const entries = await world.entryCount()
  expect(await leave(ada)).toMatchObject({
    status: 409,
    body: { code: 'sole_owner', projects: [{ id: project.id, name: 'Apollo' }] },
  })
  expect(await world.entryCount()).toBe(entries)
  await world.call('PATCH', `/api/projects/${project.id}/members/${bob.id}`, {
    token: ada.token,
    body: { role: 'owner' },
  })
  expect((await leave(ada)).status).toBe(204)
  expect((await world.call('GET', `/api/projects/${project.id}`, { token: bob.token })).body).toMatchObject({
    memberCount: 1,
    role: 'owner',
  })
})

test('the account, its Inbox, the projects without other members and its tokens are deleted', async () => {
  const project = await post(ada, '/api/projects', { name: 'Alone' })
  const task = await post<Task>(ada, '/api/tasks', { title: 'In the Inbox' })
  await post(ada, `/api/tasks/${task.id}/shares`, { userId: bob.id, permission: 'edit' })
  expect((await world.call('GET', `/api/tasks/${task.id}`, { token: bob.token })).status).toBe(200)

  const left = await leave(ada)
  expect(left.status).toBe(204)
  await eventually(
    async () => expect((await world.call('GET', '/api/users/me', { token: ada.token })).status).toBe(401),
    { timeoutMs: 1_000 },
  )
  const refresh = await world.call('POST', '/api/auth/refresh', {
    body: { refreshToken: ada.session.refreshToken },
  })
  expect(refresh.status).toBe(401)
  const login = await world.call('POST', '/api/auth/login', {
    body: { email: ada.email, password: testPassword },
  })
  expect(login.body.code).toBe('invalid_credentials')
  expect((await world.call('GET', `/api/users/${ada.id}`, { token: bob.token })).status).toBe(404)
  expect((await world.call('GET', `/api/tasks/${task.id}`, { token: bob.token })).status).toBe(404)

  for (const id of [ada.inboxId, project.id]) {
    const last = (await world.entries(projectScope(id))).at(-1)
    expect(last).toMatchObject({ type: 'project.deleted', control: { kind: 'delete' }, actorId: ada.id })
  }
  const ended = (await world.entries(userScope(ada.id))).at(-1)!
  expect(ended.control).toEqual({ kind: 'disabled' })
  expect(left.headers.get('tide-cursor')).toEndWith(`.${ended.seq}`)
  expect((await world.entries(userScope(bob.id))).at(-1)).toMatchObject({
    type: 'share.removed',
    entityId: task.id,
  })
  const taken = await world.call('POST', '/api/tasks', {
    token: bob.token,
    body: { id: task.id, title: 'Again' },
  })
  expect(taken.body.code).toBe('id_taken')
})

test('tasks it created or was assigned elsewhere remain without its name, and their projects receive entries', async () => {
  const { id: projectId } = await post(bob, '/api/projects', { name: 'Shared' })
  await addMember(bob, projectId, ada, 'editor')
  const made = await post<Task>(ada, '/api/tasks', { projectId, title: 'Made by Ada', assigneeId: bob.id })
  const given = await post<Task>(bob, '/api/tasks', { projectId, title: 'Given to Ada', assigneeId: ada.id })
  const carol = await world.register('Carol')
  await post(bob, `/api/tasks/${given.id}/shares`, { userId: carol.id, permission: 'view' })
  const single = await post<Task>(bob, '/api/tasks', { title: "Of Bob's Inbox" })
  await post(bob, `/api/tasks/${single.id}/shares`, { userId: ada.id, permission: 'view' })

  expect((await leave(ada)).status).toBe(204)

  const read = async (task: Task): Promise<Task> =>
    (await world.call('GET', `/api/tasks/${task.id}`, { token: bob.token })).body
  expect(await read(made)).toMatchObject({ creatorId: null, assigneeId: bob.id, version: made.version + 1 })
  expect(await read(given)).toMatchObject({ creatorId: bob.id, assigneeId: null, version: given.version + 1 })
  expect(await read(single)).toEqual(single)

  const entries = await world.entries(projectScope(projectId))
  const logged = (id: string) => entries.findLast((entry) => entry.entityId === id)
  expect(logged(made.id)).toMatchObject({
    type: 'task.updated',
    actorId: ada.id,
    changes: { creatorId: { from: ada.id, to: null } },
  })
  expect(JSON.parse(logged(made.id)!.frame!)).toMatchObject({
    changed: ['creatorId'],
    data: { creatorId: null },
  })
  expect(logged(given.id)!.changes).toEqual({ assigneeId: { from: ada.id, to: null } })
  expect(logged(ada.id)).toMatchObject({
    type: 'member.removed',
    control: { kind: 'revoke', userId: ada.id },
  })
  expect((await world.entries(userScope(carol.id))).at(-1)).toMatchObject({
    type: 'task.updated',
    entityId: given.id,
  })
  expect(await lastOf(projectScope(bob.inboxId), 'share.removed')).toMatchObject({ entityId: single.id })
})

test('of hundreds of tasks the log has every entry and sockets receive one refetch', async () => {
  const { id: projectId } = await post(bob, '/api/projects', { name: 'Shared' })
  await addMember(bob, projectId, ada, 'editor')
  await world.server.deps.db.transact(
    (tx) => tx`
      insert into tasks (id, project_id, title, rank, creator_id)
      select gen_random_uuid(), ${projectId}, 'Task ' || n, n::text, ${ada.id} from generate_series(1, 300) n`,
  )
  expect((await leave(ada)).status).toBe(204)
  const entries = await world.entries(projectScope(projectId))
  expect(entries.filter((entry) => entry.type === 'task.updated' && entry.quiet)).toHaveLength(300)
  expect(entries.at(-1)!.type).toBe('scope.refetch')
})

test('requests in progress during the deletion are refused like any unauthenticated call', async () => {
  const person = await world.register()
  const ask = (key: string) =>
    world.call('POST', '/api/projects', {
      token: person.token,
      body: { name: 'Tide' },
      headers: { 'Idempotency-Key': key },
    })
  expect((await ask('before')).status).toBe(201)
  // Without an entry in the log, so that the token is still valid, as it is before the entry is delivered.
  await world.server.deps.db.transact((tx) => tx`delete from users where id = ${person.id}`)
  const { status, body } = await ask('after')
  expect([status, body.code]).toEqual([401, 'unauthenticated'])
})

test('nothing but the log, the activity and what others wrote about it names a deleted account', async () => {
  const project = await world.project(bob, { editor: ada })
  const task = await world.ask(bob, 'POST', '/api/tasks', { title: 'Land', projectId: project.id })
  const [own] = [await world.ask(ada, 'POST', '/api/tasks', { title: 'Own' })]
  await world.ask(ada, 'POST', `/api/tasks/${own.id}/comments`, { body: 'Mine' })
  const comment = await world.ask(ada, 'POST', `/api/tasks/${task.id}/comments`, { body: 'Words' })
  await world.ask(ada, 'POST', '/api/auth/tokens', { name: 'Script', scopes: ['read'] })
  await world.ask(ada, 'PATCH', '/api/notifications/preferences', { dueSoonHours: 1 })
  await world.ask(ada, 'POST', '/api/auth/email/verify/request')
  await world.ask(bob, 'PATCH', `/api/tasks/${task.id}`, { assigneeId: ada.id })
  const form = new FormData()
  form.set('file', new File([png(2, 2)], 'me.png'))
  const picture = await fetch(`${world.url}/api/users/me/avatar`, {
    method: 'PUT',
    headers: { Authorization: `Bearer ${ada.token}` },
    body: form,
  })
  expect(picture.status).toBe(200)
  await world.server.deps.db.transact(
    (tx) => tx`
      insert into notifications (id, user_id, kind, actor_id, dedupe_key)
      values (gen_random_uuid(), ${bob.id}, 'commented', ${ada.id}, 'x'), (gen_random_uuid(), ${ada.id}, 'shared', ${bob.id}, 'x')`,
  )
  expect((await leave(ada)).status).toBe(204)

  const naming = await world.server.deps.db.read(async (sql) => {
    const tables = await sql<{ name: string }[]>`
      select c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = 'public' and c.relkind = 'r' and c.relname !~ '^feed' order by 1`
    const found: string[] = []
    for (const { name } of tables) {
      const [row] = await sql<{ count: number }[]>`
        select count(*)::int as count from ${sql(name)} t
        where t::text like ${`%${ada.id}%`} or t::text like ${`%${ada.email}%`}`
      if (row!.count > 0) found.push(name)
    }
    return found
  })
  expect(naming).toEqual(['scope_head'])
  const { body } = await world.call('GET', `/api/tasks/${task.id}/comments`, { token: bob.token })
  expect(body.items).toMatchObject([{ id: comment.id, author: null, body: 'Words', version: 2 }])
  const [listed] = await world.server.deps.db.read(
    (sql) => sql<{ count: number }[]>`
      select count(*)::int as count from file_deletions where key like 'avatars/%'`,
  )
  expect(listed!.count).toBe(1)
  // The address is free again, and the new account is another one.
  const { status, body: again } = await world.call('POST', '/api/auth/register', {
    body: { email: ada.email, name: 'Ada', password: testPassword },
  })
  expect([status, again.user.id === ada.id, again.user.avatarUrl]).toEqual([201, false, null])
})
