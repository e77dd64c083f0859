// Projects over HTTP: each rule as its answer and the entries it leaves in the log.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { projectScope, userScope } from '../../src/model/scope.ts'
import type { LogEntry } from '../../src/model/event.ts'
import type { Project } from '../../src/model/project.ts'
import { newId } from '../../src/model/scalar.ts'
import { frameOf } from '../support/tasks.ts'
import { startWorld, type Answer, type Person, type World } from '../support/world.ts'

let world: World
let ada: Person
let bob: Person

beforeAll(async () => {
  world = await startWorld()
  ;({ Ada: ada, Bob: bob } = await world.people('Ada', 'Bob'))
})

afterAll(() => world[Symbol.asyncDispose]())

const plantTask = async (projectId: string, parentId: string | null = null): Promise<string> => {
  const id = newId()
  await world.server.deps.db.transact(
    (tx) => tx`
      insert into tasks (id, project_id, parent_id, title, rank, creator_id)
      values (${id}, ${projectId}, ${parentId}, 'Planted', 'V', ${ada.id})`,
  )
  return id
}

const share = (taskId: string, person: Person) =>
  world.call('POST', `/api/tasks/${taskId}/shares`, {
    token: ada.token,
    body: { userId: person.id, permission: 'view' },
  })

const cursorOf = (entry: LogEntry | undefined): string => frameOf(entry).cursor

test('a new project answers 201 with its Location and is logged for itself and its owner', async () => {
  const { status, body, headers } = await world.call<Project>('POST', '/api/projects', {
    token: ada.token,
    body: { name: '  Apollo ', description: 'To the moon', color: '#1e90ff' },
    headers: { 'Idempotency-Key': 'moon' },
  })
  expect(status).toBe(201)
  expect(body).toEqual({
    id: expect.any(String),
    name: 'Apollo',
    description: 'To the moon',
    color: '#1e90ff',
    kind: 'project',
    archivedAt: null,
    role: 'owner',
    memberCount: 1,
    version: 1,
    createdAt: expect.any(String),
    updatedAt: body.createdAt,
  })
  expect(headers.get('location')).toBe(`/api/projects/${body.id}`)
  expect(headers.get('etag')).toBe('"1.owner"')

  const entries = await world.entries(projectScope(body.id))
  expect(entries).toMatchObject([
    {
      type: 'project.created',
      entityId: body.id,
      version: 1,
      actorId: ada.id,
      op: 'moon',
      changes: { name: { from: null, to: 'Apollo' }, color: { from: null, to: '#1e90ff' } },
    },
  ])
  const { role: _role, ...shared } = body
  expect(frameOf(entries[0]).data).toEqual(shared)
  expect(headers.get('tide-cursor')).toBe(cursorOf(entries[0]))
  expect(frameOf((await world.entries(userScope(ada.id))).at(-1))).toMatchObject({
    type: 'access.granted',
    id: body.id,
    data: { projectId: body.id, role: 'owner' },
  })
})

test('a repeated creation answers the same project and creates no other', async () => {
  const once = { token: ada.token, body: { name: 'Once' }, headers: { 'Idempotency-Key': 'once' } }
  const first = await world.call('POST', '/api/projects', once)
  const before = await world.entryCount()
  const second = await world.call('POST', '/api/projects', once)
  expect(second.body).toEqual(first.body)
  expect(second.headers.get('idempotency-replayed')).toBe('true')
  expect(second.headers.get('tide-cursor')).toBe(first.headers.get('tide-cursor'))
  expect(second.headers.get('location')).toBe(first.headers.get('location'))
  expect(await world.entryCount()).toBe(before)
})

test.each([
  [{}, '/name'],
  [{ name: '   ' }, '/name'],
  [{ name: 'x'.repeat(101) }, '/name'],
  [{ name: 'x', color: 'red' }, '/color'],
  [{ name: 'x', description: 'x'.repeat(10_001) }, '/description'],
  [{ name: 'x', kind: 'inbox' }, '/kind'],
  [{ name: 'x', role: 'owner' }, '/role'],
  [{ name: 'x', version: 7 }, '/version'],
])('a project of %j is refused at %s', async (body, pointer) => {
  const before = await world.entryCount()
  const answer = await world.call('POST', '/api/projects', { token: ada.token, body })
  expect(answer.status).toBe(422)
  expect(answer.body.errors[0].pointer).toBe(pointer)
  expect(await world.entryCount()).toBe(before)
})

test('the list has the Inbox first, then projects by creation, and no archived ones', async () => {
  const eve = await world.register('Eve')
  const [one, two, three] = [await world.project(eve), await world.project(eve), await world.project(eve)]
  await world.call('POST', `/api/projects/${two.id}/archive`, { token: eve.token })
  const ids = async (query: string) =>
    (await world.call('GET', `/api/projects${query}`, { token: eve.token })).body.items.map(
      (project: Project) => project.id,
    )
  expect(await ids('')).toEqual([eve.inboxId, one.id, three.id])
  expect(await ids('?archived=false')).toEqual([eve.inboxId, one.id, three.id])
  expect(await ids('?archived=true')).toEqual([two.id])
})

test('following the cursors of a list shows each project once; numbered pages count them', async () => {
  const eve = await world.register('Eve')
  const made = [eve.inboxId]
  for (let count = 0; count < 4; count += 1) made.push((await world.project(eve)).id)
  const seen: string[] = []
  let next: string | undefined = '/api/projects?limit=2'
  while (next !== undefined) {
    const answer: Answer<{ items: Project[]; nextCursor: string | null }> = await world.call('GET', next, {
      token: eve.token,
    })
    seen.push(...answer.body.items.map((project) => project.id))
    next = /<([^>]+)>; rel="next"/.exec(answer.headers.get('link') ?? '')?.[1]
    expect(next === undefined).toBe(answer.body.nextCursor === null)
  }
  expect(seen).toEqual(made)

  const page = await world.call('GET', '/api/projects?limit=2&page=3', { token: eve.token })
  expect(page.body).toMatchObject({ page: 3, total: 5, totalPages: 3, items: [{ id: made[4] }] })
  const other = await world.call('GET', '/api/projects?limit=2&archived=true', { token: eve.token })
  expect(other.body.items).toEqual([])
  expect((await world.call('GET', '/api/projects?archive=true', { token: eve.token })).body.code).toBe(
    'unknown_parameter',
  )
})

test('a list that has not changed answers 304 to its tag', async () => {
  const { headers } = await world.call('GET', '/api/projects', { token: bob.token })
  const again = await world.call('GET', '/api/projects', {
    token: bob.token,
    headers: { 'If-None-Match': headers.get('etag')! },
  })
  expect(again.status).toBe(304)
})

test('a patch changes what it names, increments the version and logs the changes', async () => {
  const project = await world.project(ada, {}, { description: 'old', color: '#000000' })
  const { status, body, headers } = await world.call<Project>('PATCH', `/api/projects/${project.id}`, {
    token: ada.token,
    body: { name: 'Gemini', color: null },
    headers: { 'If-Match': '"1.owner"' },
  })
  expect(status).toBe(200)
  expect(body).toMatchObject({ name: 'Gemini', color: null, description: 'old', version: 2 })
  expect(body.updatedAt >= project.updatedAt).toBe(true)
  expect(headers.get('etag')).toBe('"2.owner"')
  const entry = (await world.entries(projectScope(project.id))).at(-1)
  expect(entry).toMatchObject({
    type: 'project.updated',
    version: 2,
    changes: { name: { from: 'Apollo', to: 'Gemini' }, color: { from: '#000000', to: null } },
  })
  expect(frameOf(entry).changed).toEqual(['name', 'color'])
  expect(frameOf(entry).data).not.toHaveProperty('role')
  expect(headers.get('tide-cursor')).toBe(cursorOf(entry))
})

test('a patch that changes nothing bumps nothing, appends nothing and answers no position', async () => {
  const project = await world.project(ada)
  const before = await world.entryCount()
  const answer = await world.call('PATCH', `/api/projects/${project.id}`, {
    token: ada.token,
    body: { name: ' Apollo', description: null },
  })
  expect(answer).toMatchObject({ status: 200, body: { version: 1 } })
  expect(answer.headers.get('tide-cursor')).toBeNull()
  expect(await world.entryCount()).toBe(before)
})

test.each([[{}], [{ name: null }], [{ archivedAt: null }], [{ memberCount: 3 }], [[]], [null]])(
  'a patch of %j is refused',
  async (body) => {
    const project = await world.project(ada)
    const answer = await world.call('PATCH', `/api/projects/${project.id}`, {
      token: ada.token,
      body: JSON.stringify(body),
    })
    expect(answer.status).toBe(422)
  },
)

test('If-Match fails on a changed field, and never on a counter that moved', async () => {
  const project = await world.project(ada, { viewer: bob })
  const patch = (name: string, version: string) =>
    world.call('PATCH', `/api/projects/${project.id}`, {
      token: ada.token,
      body: { name },
      headers: { 'If-Match': version },
    })
  expect((await patch('Counters moved', '"1.owner"')).status).toBe(200)
  const before = await world.entryCount()
  expect(await patch('Lost', '"2.owner"')).toMatchObject({
    status: 412,
    body: { code: 'version_conflict', currentVersion: 3 },
  })
  expect((await patch('From the future', '"4"')).status).toBe(412)
  expect(await world.entryCount()).toBe(before)
  expect((await patch('Weak', 'W/"3.owner"')).status).toBe(200)
  const remove = await world.call('DELETE', `/api/projects/${project.id}`, {
    token: ada.token,
    headers: { 'If-Match': '"3"' },
  })
  expect(remove.status).toBe(412)
})

test('of 20 parallel patches with the same If-Match one wins', async () => {
  const project = await world.project(ada)
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      world.call('PATCH', `/api/projects/${project.id}`, {
        token: ada.token,
        body: { name: `Writer ${index}` },
        headers: { 'If-Match': '"1"' },
      }),
    ),
  )
  expect(answers.map((answer) => answer.status).toSorted((a, b) => a - b)).toEqual([
    200,
    ...Array.from({ length: 19 }, () => 412),
  ])
  expect(await world.entries(projectScope(project.id))).toHaveLength(2)
})

test("a project's tag covers the caller's role", async () => {
  const project = await world.project(ada, { viewer: bob })
  const read = (etag?: string) =>
    world.call('GET', `/api/projects/${project.id}`, {
      token: bob.token,
      ...(etag !== undefined && { headers: { 'If-None-Match': etag } }),
    })
  const first = await read()
  expect(first).toMatchObject({ status: 200, body: { role: 'viewer', memberCount: 2 } })
  const etag = first.headers.get('etag')!
  expect(etag).toBe('"2.viewer"')
  expect((await read(etag)).status).toBe(304)
  await world.call('PATCH', `/api/projects/${project.id}/members/${bob.id}`, {
    token: ada.token,
    body: { role: 'editor' },
  })
  expect(await read(etag)).toMatchObject({ status: 200, body: { role: 'editor' } })
})

test('archiving makes a project read-only, is logged once, and is reverted', async () => {
  const project = await world.project(ada)
  const task = await plantTask(project.id)
  const post = (verb: string) =>
    world.call<Project>('POST', `/api/projects/${project.id}/${verb}`, { token: ada.token })
  const archived = await post('archive')
  expect(archived).toMatchObject({ status: 200, body: { version: 2, archivedAt: expect.any(String) } })
  const again = await post('archive')
  expect(again.body).toEqual(archived.body)
  expect(again.headers.get('tide-cursor')).toBeNull()

  const refused = await Promise.all([
    world.call('PATCH', `/api/projects/${project.id}`, { token: ada.token, body: { name: 'No' } }),
    world.call('POST', `/api/projects/${project.id}/members`, {
      token: ada.token,
      body: { email: bob.email, role: 'viewer' },
    }),
    share(task, bob),
  ])
  expect(refused.map((answer) => [answer.status, answer.body.code])).toEqual(
    refused.map(() => [409, 'project_archived']),
  )
  expect((await world.call('GET', `/api/projects/${project.id}`, { token: ada.token })).status).toBe(200)

  expect(await post('unarchive')).toMatchObject({ status: 200, body: { version: 3, archivedAt: null } })
  const entries = await world.entries(projectScope(project.id))
  expect(entries.slice(1).map((entry) => [entry.type, frameOf(entry).changed])).toEqual([
    ['project.updated', ['archivedAt']],
    ['project.updated', ['archivedAt']],
  ])
  expect(entries.at(-1)?.changes).toEqual({ archivedAt: { from: archived.body.archivedAt, to: null } })
})

test('an Inbox can be renamed, but not deleted, archived or given members', async () => {
  const path = `/api/projects/${ada.inboxId}`
  const before = await world.entryCount()
  const refused = [
    await world.call('DELETE', path, { token: ada.token }),
    await world.call('POST', `${path}/archive`, { token: ada.token }),
    await world.call('POST', `${path}/unarchive`, { token: ada.token }),
    await world.call('POST', `${path}/members`, {
      token: ada.token,
      body: { email: bob.email, role: 'viewer' },
    }),
    await world.call('PATCH', `${path}/members/${ada.id}`, { token: ada.token, body: { role: 'viewer' } }),
    await world.call('DELETE', `${path}/members/${ada.id}`, { token: ada.token }),
  ]
  expect(refused.map((answer) => [answer.status, answer.body.code])).toEqual(
    refused.map(() => [409, 'inbox_fixed']),
  )
  expect(await world.entryCount()).toBe(before)
  expect((await world.call('GET', path, { token: ada.token })).body).toMatchObject({
    kind: 'inbox',
    role: 'owner',
    memberCount: 1,
  })
  expect((await world.call('PATCH', path, { token: ada.token, body: { name: 'Mine' } })).status).toBe(200)
})

test('a deletion removes all content, ends every access, and is the last entry of its scope', async () => {
  const project = await world.project(ada, { editor: bob })
  const carol = await world.register('Carol')
  const parent = await plantTask(project.id)
  const child = await plantTask(project.id, parent)
  expect((await share(child, carol)).status).toBe(201)

  const { status, headers } = await world.call('DELETE', `/api/projects/${project.id}`, { token: ada.token })
  expect(status).toBe(204)
  const last = (await world.entries(projectScope(project.id))).at(-1)
  expect(last).toMatchObject({
    type: 'project.deleted',
    entityId: project.id,
    version: 3,
    control: { kind: 'delete' },
    changes: { name: { from: 'Apollo', to: null } },
  })
  expect(headers.get('tide-cursor')).toBe(cursorOf(last))
  for (const person of [ada, bob]) {
    expect(frameOf((await world.entries(userScope(person.id))).at(-1))).toMatchObject({
      type: 'access.revoked',
      id: project.id,
      data: { projectId: project.id, role: null },
    })
  }
  expect(frameOf((await world.entries(userScope(carol.id))).at(-1))).toMatchObject({
    type: 'share.removed',
    id: child,
    data: { taskId: child, userId: carol.id },
  })

  for (const [method, path] of [
    ['GET', ''],
    ['PATCH', ''],
    ['DELETE', ''],
    ['GET', '/members'],
    ['POST', '/archive'],
  ] as const) {
    const gone = await world.call(method, `/api/projects/${project.id}${path}`, {
      token: ada.token,
      ...(method === 'PATCH' && { body: { name: 'Still there?' } }),
    })
    expect([method, path, gone.status]).toEqual([method, path, 404])
  }
  const rows = await world.server.deps.db.read(
    (sql) => sql<{ id: string }[]>`
      select id from task_tombstones where id in ${sql([parent, child])} order by id`,
  )
  expect(rows.map((row) => row.id)).toEqual([parent, child])
})

test('a project that does not exist and one the caller may not read are the same 404', async () => {
  const project = await world.project(ada)
  const strange = async (id: string) => {
    const { status, body } = await world.call('GET', `/api/projects/${id}`, { token: bob.token })
    const { instance: _instance, requestId: _requestId, ...rest } = body
    return { status, rest }
  }
  const [unreadable, unknown, malformed] = await Promise.all([
    strange(project.id),
    strange(newId()),
    strange('not-an-id'),
  ])
  expect(unreadable.status).toBe(404)
  expect(unknown).toEqual(unreadable)
  expect(malformed).toEqual(unreadable)
})

test('writers in a project being deleted finish before its last entry or find it gone', async () => {
  const project = await world.project(ada)
  const answers = await Promise.all([
    ...Array.from({ length: 10 }, (_, index) =>
      world.call('PATCH', `/api/projects/${project.id}`, {
        token: ada.token,
        body: { name: `Writer ${index}` },
      }),
    ),
    world.call('DELETE', `/api/projects/${project.id}`, { token: ada.token }),
  ])
  for (const { status } of answers) expect([200, 204, 404]).toContain(status)
  const entries = await world.entries(projectScope(project.id))
  expect(entries.at(-1)?.type).toBe('project.deleted')
  expect(entries.map((entry) => entry.version)).toEqual(entries.map((_, index) => index + 1))
})
