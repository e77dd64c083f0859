// Accounts administered by admins: who may, what each change answers, and what it does to the sessions and sockets of
// the account. Invariant under attack: an instance keeps an admin who can sign in.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { selectAccounts } from '../../src/db/users/accounts.ts'
import { newId } from '../../src/model/scalar.ts'
import { projectScope, userScope } from '../../src/model/scope.ts'
import { startWorld, testPassword, type Person, type World } from '../support/world.ts'

let world: World
let admin: Person

beforeAll(async () => {
  world = await startWorld()
  admin = await world.registerAdmin()
})

afterAll(() => world[Symbol.asyncDispose]())

const call = (person: Person, method: string, path = '', body?: unknown, headers = {}) =>
  world.call(method, `/api/users${path}`, { token: person.token, body, headers })

const signIn = (email: string, password = testPassword) =>
  world.call('POST', '/api/auth/login', { body: { email, password } })

const newAccount = (fields: Record<string, unknown> = {}) => ({
  email: `made-${newId()}@example.com`,
  name: 'Made',
  ...fields,
})

test('others than admins are refused, whether or not the account exists', async () => {
  const bob = await world.register('Bob')
  const entries = await world.entryCount()
  for (const [method, path, body] of [
    ['GET', '', undefined],
    ['POST', '', newAccount()],
    ['PATCH', `/${admin.id}`, { role: 'user' }],
    ['PATCH', `/${bob.id}`, { role: 'admin' }],
    ['DELETE', `/${admin.id}`, undefined],
    ['DELETE', `/${bob.id}`, undefined],
  ] as const)
    expect(await call(bob, method, path, body)).toMatchObject({ status: 403, body: { code: 'forbidden' } })
  expect((await call(bob, 'PATCH', `/${newId()}`, { role: 'user' })).status).toBe(404)
  expect((await call(bob, 'DELETE', `/${newId()}`)).status).toBe(404)
  expect(await world.entryCount()).toBe(entries)
})

test('an admin creates accounts, with and without a password', async () => {
  const given = newAccount({ email: ` Made-${newId()}@Example.com`, password: testPassword, role: 'admin' })
  const made = await call(admin, 'POST', '', given)
  expect(made).toMatchObject({
    status: 201,
    body: {
      email: given.email.trim().toLowerCase(),
      name: 'Made',
      role: 'admin',
      disabled: false,
      emailVerified: false,
    },
  })
  expect(made.headers.get('location')).toBe(`/api/users/${made.body.id}`)
  expect(JSON.stringify(made.body)).not.toContain('assword')
  const [entry] = await world.server.deps.db.read(
    (sql) => sql<{ id: string }[]>`select id from projects where inbox_of = ${made.body.id}`,
  )
  expect((await world.entries(projectScope(entry!.id))).map(({ type }) => type)).toEqual(['project.created'])
  const [granted] = await world.entries(userScope(made.body.id))
  expect(granted!.type).toBe('access.granted')
  expect(made.headers.get('tide-cursor')).toBe(JSON.parse(granted!.frame!).cursor)
  expect((await signIn(given.email)).body.user.role).toBe('admin')

  const { body: open } = await call(admin, 'POST', '', newAccount({ password: null, role: null }))
  expect(open.role).toBe('user')
  expect(await signIn(open.email)).toMatchObject({ status: 401, body: { code: 'invalid_credentials' } })
  expect((await call(admin, 'PATCH', `/${made.body.id}`, { role: 'user' })).status).toBe(200)
})

test.each([
  [{ name: 'x' }, '/email'],
  [newAccount({ email: 'nowhere' }), '/email'],
  [newAccount({ password: 'password123' }), '/password'],
  [newAccount({ password: 'short' }), '/password'],
  [newAccount({ role: 'owner' }), '/role'],
  [newAccount({ emailVerified: true }), '/emailVerified'],
  [newAccount({ id: newId() }), '/id'],
])('a new account with %j is 422 and not made', async (body, pointer) => {
  const entries = await world.entryCount()
  const answer = await call(admin, 'POST', '', body)
  expect([answer.status, answer.body.errors[0].pointer]).toEqual([422, pointer])
  expect(await world.entryCount()).toBe(entries)
})

test('a repeat under its key makes one account; a taken address is 409', async () => {
  const body = newAccount({ password: testPassword })
  const headers = { 'Idempotency-Key': newId() }
  const first = await call(admin, 'POST', '', body, headers)
  const again = await call(admin, 'POST', '', body, headers)
  expect(again.headers.get('idempotency-replayed')).toBe('true')
  expect(again.body).toEqual(first.body)
  expect(await call(admin, 'POST', '', body)).toMatchObject({ status: 409, body: { code: 'email_taken' } })
})

test('the list has every account once, the oldest first, by cursor and by number', async () => {
  await world.people('One', 'Two', 'Three')
  const { body: numbered } = await call(admin, 'GET', '?limit=100&page=1')
  const all: string[] = numbered.items.map(({ id }: { id: string }) => id)
  expect(numbered.total).toBe(all.length)
  expect(all).toEqual(all.toSorted())
  const seen: string[] = []
  for (let cursor: string | null = ''; cursor !== null;) {
    const { body } = await call(admin, 'GET', `?limit=2${cursor && `&cursor=${cursor}`}`)
    seen.push(...body.items.map(({ id }: { id: string }) => id))
    cursor = body.nextCursor
  }
  expect(seen).toEqual(all)
  const [first] = numbered.items
  expect(Object.keys(first).toSorted()).toEqual(
    [
      'avatarUrl',
      'createdAt',
      'disabled',
      'email',
      'emailVerified',
      'id',
      'name',
      'role',
      'timeZone',
      'updatedAt',
    ].toSorted(),
  )
  expect((await call(admin, 'GET', `/${first.id}`)).body).toEqual(first)
  for (const query of ['?limit=1000000000', '?cursor=forged', '?email=a', '?page=1000000'])
    expect((await call(admin, 'GET', query)).status).toBeOneOf([400, 422])
})

test('a page among 3,000 accounts reads only its own rows', async () => {
  const { db } = world.server.deps
  const seen: { found: number; scanned: number; read: number }[] = []
  const look = db.transact(
    async (tx) => {
      await tx`
        insert into users (id, email, name)
        select gen_random_uuid(), n || '@bulk.example', 'x' from generate_series(1, 3000) n`
      await tx`analyze users`
      const counters = async () => {
        const [row] = await tx<{ scans: number; rows: number }[]>`
          select seq_scan as scans, seq_tup_read + idx_tup_fetch as rows
          from pg_stat_xact_user_tables where relname = 'users'`
        return row!
      }
      const before = await counters()
      const page = await selectAccounts(tx, { limit: 20, after: [admin.id], page: null })
      const after = await counters()
      seen.push({ found: page.length, scanned: after.scans - before.scans, read: after.rows - before.rows })
      throw new Error('rolled back')
    },
    { deadlineMs: 15_000 },
  )
  expect(await look.catch((error: Error) => error.message)).toBe('rolled back')
  expect(seen).toEqual([{ found: 21, scanned: 0, read: expect.any(Number) }])
  expect(seen[0]!.read).toBeLessThanOrEqual(30)
}, 20_000)

test('disabling ends sessions and sockets at once; enabling lets in again', async () => {
  const bob = await world.register('Bob')
  await using socket = await world.socket(bob)
  const { status, body } = await call(admin, 'PATCH', `/${bob.id}`, { disabled: true })
  expect([status, body.disabled, body.id]).toEqual([200, true, bob.id])
  expect(await socket.closed()).toBe(4403)
  expect((await call(bob, 'GET', '/me')).status).toBe(401)
  expect(await signIn(bob.email)).toMatchObject({ status: 403, body: { code: 'user_disabled' } })
  const refreshed = await world.call('POST', '/api/auth/refresh', {
    body: { refreshToken: bob.session.refreshToken },
  })
  expect(refreshed.status).toBe(401)
  const entries = await world.entries(userScope(bob.id))
  expect(entries.slice(-3).map(({ type, control, actorId }) => [type, control?.kind, actorId])).toEqual([
    ['user.updated', undefined, admin.id],
    ['control', 'sessions', admin.id],
    ['control', 'disabled', admin.id],
  ])
  expect(entries.at(-3)!.changes).toEqual({ disabled: { from: false, to: true } })

  const again = await call(admin, 'PATCH', `/${bob.id}`, { disabled: true, role: null })
  expect([again.status, again.headers.has('tide-cursor')]).toEqual([200, false])
  expect((await call(admin, 'PATCH', `/${bob.id}`, { disabled: null })).body.disabled).toBe(false)
  expect((await signIn(bob.email)).status).toBe(200)
})

test('a new role holds at once and makes sockets connect again', async () => {
  const bob = await world.register('Bob')
  await using socket = await world.socket(bob)
  const changed = await call(admin, 'PATCH', `/${bob.id}`, { role: 'admin' })
  expect(changed.body.role).toBe('admin')
  expect(changed.headers.get('tide-cursor')).not.toBeNull()
  expect(await socket.closed()).toBe(4010)
  expect((await call(bob, 'GET', `/${admin.id}`)).body.email).toBe(admin.email)
  await call(admin, 'PATCH', `/${bob.id}`, { role: 'user' })
  expect((await call(bob, 'GET', '')).status).toBe(403)
})

test.each([
  [{}, ''],
  [{ role: 'owner' }, '/role'],
  [{ disabled: 'yes' }, '/disabled'],
  [{ email: 'new@example.com' }, '/email'],
  [{ name: 'New' }, '/name'],
])('a patch with %j is 422 and changes nothing', async (body, pointer) => {
  const entries = await world.entryCount()
  const answer = await call(admin, 'PATCH', `/${admin.id}`, body)
  expect([answer.status, answer.body.errors[0].pointer]).toEqual([422, pointer])
  expect(await world.entryCount()).toBe(entries)
})

test('deleting an account has the rules of deleting the own one, but for the password', async () => {
  const { Owner: owner, Guest: guest } = await world.people('Owner', 'Guest')
  const project = await world.project(owner, { editor: guest })
  await using socket = await world.socket(owner)
  expect(await call(admin, 'DELETE', `/${owner.id}`)).toMatchObject({
    status: 409,
    body: { code: 'sole_owner', projects: [{ id: project.id, name: project.name }] },
  })
  await world.ask(owner, 'PATCH', `/api/projects/${project.id}/members/${guest.id}`, { role: 'owner' })
  const headers = { 'Idempotency-Key': newId() }
  const gone = await call(admin, 'DELETE', `/${owner.id}`, undefined, headers)
  expect(gone.status).toBe(204)
  const ended = (await world.entries(userScope(owner.id))).at(-1)!
  expect(gone.headers.get('tide-cursor')).toEndWith(`.${ended.seq}`)
  expect(await socket.closed()).toBe(4403)
  const again = await call(admin, 'DELETE', `/${owner.id}`, undefined, headers)
  expect([again.status, again.headers.get('idempotency-replayed')]).toEqual([204, 'true'])
  expect((await call(admin, 'DELETE', `/${owner.id}`)).status).toBe(404)
  expect((await call(admin, 'GET', `/${owner.id}`)).status).toBe(404)
  expect((await world.entries(projectScope(project.id))).at(-2)).toMatchObject({
    type: 'member.removed',
    actorId: admin.id,
  })
})

test('the last admin stays: two that remove each other leave one', async () => {
  await using other = await startWorld()
  const [one, two] = [await other.registerAdmin(), await other.registerAdmin()]
  const act = (person: Person, method: string, id: string, body?: unknown) =>
    other.call(method, `/api/users/${id}`, { token: person.token, body })
  for (const [method, body] of [
    ['PATCH', { role: 'user' }],
    ['PATCH', { disabled: true }],
    ['DELETE', undefined],
  ] as const) {
    const answers = await Promise.all([act(one, method, two.id, body), act(two, method, one.id, body)])
    const done = answers.filter(({ status }) => status < 300)
    expect(done.length).toBeLessThanOrEqual(1)
    const [row] = await other.server.deps.db.read(
      (sql) => sql<{ count: number }[]>`
        select count(*)::int as count from users where role = 'admin' and disabled_at is null`,
    )
    expect(row!.count).toBeGreaterThanOrEqual(1)
    const { id: removedId } = answers[0].status < 300 ? two : one
    await other.server.deps.db.transact(
      (tx) => tx`update users set role = 'admin', disabled_at = null where id = ${removedId}`,
    )
    if (method === 'DELETE') break
    for (const person of [one, two]) {
      const { body } = await other.call('POST', '/api/auth/login', {
        body: { email: person.email, password: testPassword },
      })
      person.token = body.accessToken
    }
  }
  const rows = await other.server.deps.db.read(
    (sql) => sql<{ id: string }[]>`select id from users where role = 'admin'`,
  )
  expect(rows).toHaveLength(1)
  const last = rows[0]!.id === one.id ? one : two
  for (const [method, body] of [
    ['PATCH', { role: 'user' }],
    ['PATCH', { disabled: true, role: 'admin' }],
    ['DELETE', undefined],
  ] as const)
    expect(await act(last, method, last.id, body)).toMatchObject({
      status: 409,
      body: { code: 'last_admin' },
    })
  const own = await act(last, 'DELETE', 'me', { password: testPassword })
  expect(own).toMatchObject({ status: 409, body: { code: 'last_admin' } })
  expect((await act(last, 'GET', 'me')).body.role).toBe('admin')

  const { body: successor } = await other.call('POST', '/api/users', {
    token: last.token,
    body: newAccount({ role: 'admin' }),
  })
  expect((await act(last, 'DELETE', last.id)).status).toBe(204)
  expect(successor.role).toBe('admin')
}, 20_000)
