// Members over HTTP: adding, changing and removing, the entries in the log, and where access ends.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { projectScope, userScope, type Scope } from '../../src/model/scope.ts'
import type { LogEntry } from '../../src/model/event.ts'
import type { Project } from '../../src/model/project.ts'
import { newId } from '../../src/model/scalar.ts'
import { frameOf } from '../support/tasks.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

let world: World
let ada: Person
let bob: Person

beforeAll(async () => {
  world = await startWorld()
  ;({ Ada: ada, Bob: bob } = await world.people('Ada', 'Bob'))
})

afterAll(() => world[Symbol.asyncDispose]())

const make = async (): Promise<{ project: Project; path: string }> => {
  const project = await world.project(ada)
  return { project, path: `/api/projects/${project.id}/members` }
}

const add = (path: string, body: Record<string, unknown>, by: Person = ada) =>
  world.call('POST', path, { token: by.token, body })

const change = (path: string, person: Person, role: string, by: Person = ada) =>
  world.call('PATCH', `${path}/${person.id}`, { token: by.token, body: { role } })

const remove = (path: string, person: Person, by: Person = ada) =>
  world.call('DELETE', `${path}/${person.id}`, { token: by.token })

const since = async (scope: Scope, before: LogEntry[]): Promise<LogEntry[]> =>
  (await world.entries(scope)).slice(before.length)

test('a user is added by e-mail at once, counted, and receives an entry', async () => {
  const { project, path } = await make()
  const { status, body, headers } = await add(path, {
    email: ` ${bob.email.toUpperCase()} `,
    role: 'editor',
  })
  expect(status).toBe(201)
  expect(body).toEqual({
    userId: bob.id,
    name: 'Bob',
    avatarUrl: null,
    role: 'editor',
    createdAt: expect.any(String),
  })
  expect(headers.get('location')).toBe(`${path}/${bob.id}`)

  const [, added, counted] = await world.entries(projectScope(project.id))
  expect(added).toMatchObject({
    type: 'member.added',
    entityId: bob.id,
    control: null,
    changes: { role: { from: null, to: 'editor' } },
  })
  expect(added?.version).toBe(added!.seq)
  expect(frameOf(added).data).toEqual(body)
  expect(counted).toMatchObject({
    type: 'project.updated',
    version: 2,
    changes: { memberCount: { from: 1, to: 2 } },
  })
  expect(frameOf(counted)).toMatchObject({ changed: ['memberCount'], data: { memberCount: 2 } })
  expect(headers.get('tide-cursor')).toBe(frameOf(counted).cursor)
  expect(frameOf((await world.entries(userScope(bob.id))).at(-1))).toMatchObject({
    type: 'access.granted',
    id: project.id,
    data: { projectId: project.id, role: 'editor' },
  })
  expect((await world.call('GET', `/api/projects/${project.id}`, { token: bob.token })).body.role).toBe(
    'editor',
  )
})

test('an unknown user, one named twice and a missing one are refused with a pointer', async () => {
  const { path } = await make()
  const before = await world.entryCount()
  const refused = [
    await add(path, { email: 'no-account@example.com', role: 'viewer' }),
    await add(path, { userId: newId(), role: 'viewer' }),
    await add(path, { userId: bob.id, email: bob.email, role: 'viewer' }),
    await add(path, { role: 'viewer' }),
    await add(path, { email: bob.email, role: 'admin' }),
  ].map(({ status, body }) => [status, body.code, body.errors[0].pointer])
  expect(refused).toEqual([
    [422, 'user_not_found', '/email'],
    [422, 'user_not_found', '/userId'],
    [422, 'validation_failed', ''],
    [422, 'validation_failed', ''],
    [422, 'validation_failed', '/role'],
  ])
  expect(await world.entryCount()).toBe(before)
})

test('of parallel additions of one user one succeeds, and the count is right', async () => {
  const { project, path } = await make()
  const answers = await Promise.all(
    Array.from({ length: 8 }, () => add(path, { email: bob.email, role: 'viewer' })),
  )
  expect(answers.map((answer) => answer.status).toSorted((a, b) => a - b)).toEqual([
    201,
    ...Array.from({ length: 7 }, () => 409),
  ])
  expect((await world.call('GET', `/api/projects/${project.id}`, { token: ada.token })).body).toMatchObject({
    memberCount: 2,
    version: 2,
  })
})

test('the list shows members in the order they joined, by pages', async () => {
  const { path } = await make()
  await add(path, { email: bob.email, role: 'viewer' })
  const first = await world.call('GET', `${path}?limit=1`, { token: bob.token })
  expect(first.body.items).toMatchObject([{ userId: ada.id, role: 'owner' }])
  const second = await world.call('GET', `${path}?limit=1&cursor=${first.body.nextCursor}`, {
    token: bob.token,
  })
  expect(second.body).toMatchObject({ items: [{ userId: bob.id, role: 'viewer' }], nextCursor: null })
  const numbered = await world.call('GET', `${path}?page=1`, { token: bob.token })
  expect(numbered.body).toMatchObject({ page: 1, total: 2, totalPages: 1 })
})

test('a changed role is logged for the project and the user; an equal role is not', async () => {
  const { project, path } = await make()
  await add(path, { email: bob.email, role: 'viewer' })
  const [inProject, ofBob] = [
    await world.entries(projectScope(project.id)),
    await world.entries(userScope(bob.id)),
  ]
  const answer = await change(path, bob, 'editor')
  expect(answer).toMatchObject({ status: 200, body: { userId: bob.id, role: 'editor' } })
  const entries = await since(projectScope(project.id), inProject)
  expect(entries).toMatchObject([
    { type: 'member.updated', entityId: bob.id, changes: { role: { from: 'viewer', to: 'editor' } } },
    { type: 'project.updated', entityId: project.id, version: 3, changes: {} },
  ])
  expect(frameOf(entries[0])).toMatchObject({ changed: ['role'], data: answer.body })
  expect(frameOf(entries[1])).toMatchObject({ changed: [], data: { memberCount: 2, version: 3 } })
  expect(answer.headers.get('tide-cursor')).toBe(frameOf(entries[1]).cursor)
  const shown = await world.call('GET', `/api/projects/${project.id}`, { token: ada.token })
  expect(shown.body.version).toBe(3)
  // Only a writable field that changed fails the condition of a writer.
  const renamed = await world.call('PATCH', `/api/projects/${project.id}`, {
    token: ada.token,
    body: { name: 'Renamed' },
    headers: { 'If-Match': '"1.owner"' },
  })
  expect([renamed.status, renamed.body.version]).toEqual([200, 4])
  expect(await since(userScope(bob.id), ofBob)).toMatchObject([
    { type: 'access.granted', entityId: project.id },
  ])

  const before = await world.entryCount()
  const same = await change(path, bob, 'editor')
  expect(same.body).toEqual(answer.body)
  expect(same.headers.get('tide-cursor')).toBeNull()
  expect(await world.entryCount()).toBe(before)
  expect((await world.call('GET', `/api/projects/${project.id}`, { token: ada.token })).body.version).toBe(4)
})

test('a removed member is revoked in the log before anything else of the project, and reads 404', async () => {
  const { project, path } = await make()
  await add(path, { email: bob.email, role: 'editor' })
  const before = await world.entries(projectScope(project.id))
  const answer = await remove(path, bob)
  expect(answer.status).toBe(204)
  const entries = await since(projectScope(project.id), before)
  expect(entries).toMatchObject([
    {
      type: 'member.removed',
      entityId: bob.id,
      control: { kind: 'revoke', userId: bob.id },
      changes: { role: { from: 'editor', to: null } },
    },
    { type: 'project.updated', version: 3, changes: { memberCount: { from: 2, to: 1 } } },
  ])
  expect(answer.headers.get('tide-cursor')).toBe(frameOf(entries[1]).cursor)
  expect(frameOf((await world.entries(userScope(bob.id))).at(-1))).toMatchObject({
    type: 'access.revoked',
    id: project.id,
    data: { projectId: project.id, role: null },
  })
  const attempts = await Promise.all([
    world.call('GET', `/api/projects/${project.id}`, { token: bob.token }),
    world.call('GET', path, { token: bob.token }),
    world.call('PATCH', `/api/projects/${project.id}`, { token: bob.token, body: { name: 'Mine' } }),
    remove(path, bob, bob),
    add(path, { email: bob.email, role: 'owner' }, bob),
  ])
  expect(attempts.map((attempt) => attempt.status)).toEqual([404, 404, 404, 404, 404])
  expect((await remove(path, bob)).status).toBe(404)
  expect((await change(path, bob, 'viewer')).status).toBe(404)
})

test('a removed assignee stays named in the task', async () => {
  const { project, path } = await make()
  await add(path, { email: bob.email, role: 'editor' })
  const id = newId()
  await world.server.deps.db.transact(
    (tx) => tx`
      insert into tasks (id, project_id, title, rank, assignee_id)
      values (${id}, ${project.id}, 'Planted', 'V', ${bob.id})`,
  )
  await remove(path, bob)
  const rows = await world.server.deps.db.read(
    (sql) => sql<{ assigneeId: string }[]>`select assignee_id as "assigneeId" from tasks where id = ${id}`,
  )
  expect(rows[0]).toEqual({ assigneeId: bob.id })
})

test('every member may leave, also an archived project, and only owners remove others', async () => {
  const { project, path } = await make()
  const carol = await world.register('Carol')
  await add(path, { email: bob.email, role: 'viewer' })
  await add(path, { email: carol.email, role: 'editor' })
  expect((await remove(path, bob, carol)).status).toBe(403)
  expect((await remove(path, carol, bob)).status).toBe(403)
  await world.call('POST', `/api/projects/${project.id}/archive`, { token: ada.token })
  expect((await change(path, bob, 'editor')).body.code).toBe('project_archived')
  expect((await remove(path, bob, bob)).status).toBe(204)
  expect((await remove(path, carol)).status).toBe(204)
})

test('the last owner can neither leave nor be demoted, not even by an admin', async () => {
  const { path } = await make()
  await add(path, { email: bob.email, role: 'editor' })
  const admin = await world.registerAdmin()
  const before = await world.entryCount()
  const refused = [
    await remove(path, ada),
    await change(path, ada, 'editor'),
    await remove(path, ada, admin),
    await change(path, ada, 'viewer', admin),
  ]
  expect(refused.map((answer) => [answer.status, answer.body.code])).toEqual(
    refused.map(() => [409, 'last_owner']),
  )
  expect(await world.entryCount()).toBe(before)
  await change(path, bob, 'owner')
  expect((await remove(path, ada)).status).toBe(204)
  expect((await remove(path, bob, bob)).body.code).toBe('last_owner')
})

test('of owners who leave or step down at the same moment one always stays', async () => {
  for (let round = 0; round < 10; round += 1) {
    const { project, path } = await make()
    await add(path, { email: bob.email, role: 'owner' })
    const [first, second] = await Promise.all([
      remove(path, ada),
      round % 2 === 0 ? remove(path, bob, bob) : change(path, bob, 'viewer', bob),
    ])
    const statuses = [first.status, second.status].toSorted((a, b) => a - b)
    expect(statuses.at(-1)).toBe(409)
    expect(statuses[0]).toBeLessThan(300)
    const rows = await world.server.deps.db.read(
      (sql) => sql<{ owners: number; members: number; counted: number }[]>`
        select count(*) filter (where m.role = 'owner') as owners, count(*) as members,
          min(p.member_count) as counted
        from members m join projects p on p.id = m.project_id
        where p.id = ${project.id}`,
    )
    expect(rows[0]).toMatchObject({ owners: 1, counted: rows[0]!.members })
  }
})

test('a repeated removal with the same Idempotency-Key answers the same and appends once', async () => {
  const { path } = await make()
  await add(path, { email: bob.email, role: 'viewer' })
  const once = () =>
    world.call('DELETE', `${path}/${bob.id}`, {
      token: ada.token,
      headers: { 'Idempotency-Key': 'remove-bob' },
    })
  const first = await once()
  const before = await world.entryCount()
  const second = await once()
  expect([first.status, second.status]).toEqual([204, 204])
  expect(second.headers.get('tide-cursor')).toBe(first.headers.get('tide-cursor'))
  expect(await world.entryCount()).toBe(before)
})

test('an id is accepted only of a user the owner shares a project with, and is otherwise unknown', async () => {
  const { path } = await make()
  const carol = await world.register('Carol')
  const refused = [
    await add(path, { userId: carol.id, role: 'viewer' }),
    await add(path, { userId: newId(), role: 'viewer' }),
  ]
  for (const { status, body } of refused) expect([status, body.code]).toEqual([422, 'user_not_found'])
  const [one, other] = refused.map(({ body }) => body)
  expect({ ...one, requestId: other.requestId }).toEqual(other)
  expect((await add(path, { email: carol.email, role: 'viewer' })).status).toBe(201)
  expect((await add((await make()).path, { userId: carol.id, role: 'viewer' })).status).toBe(201)
})

test('addresses of members are shown to admins alone: not in lists, answers, entries or snapshots', async () => {
  const { project, path } = await make()
  const carol = await world.register('Carol')
  const answers = [
    await add(path, { email: carol.email, role: 'viewer' }),
    await change(path, carol, 'editor'),
    await world.call('GET', path, { token: ada.token }),
    await world.call('GET', `/api/projects/${project.id}/snapshot`, { token: ada.token }),
    await world.call('GET', `/api/users/search?q=${carol.email}`, { token: ada.token }),
  ]
  const written = [answers.map(({ body }) => body), await world.entries(projectScope(project.id))]
  expect(JSON.stringify(written)).not.toMatch(/@|email/)
  const admin = await world.registerAdmin()
  const { body } = await world.call('GET', path, { token: admin.token })
  expect(body.items.map((member: { email: string }) => member.email)).toEqual([ada.email, carol.email])
  expect((await change(path, carol, 'viewer', admin)).body.email).toBe(carol.email)
  const entries = JSON.stringify(await world.entries(projectScope(project.id)))
  expect(entries).not.toMatch(/@|email/)
})
