// The own account and other users over HTTP: each rule as its answer and the entries it leaves in the log.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Tx } from '../../src/db/client.ts'
import { selectUsersByText } from '../../src/db/users/users.ts'
import { userScope } from '../../src/model/scope.ts'
import { createLog } from '../../src/log.ts'
import { newId } from '../../src/model/scalar.ts'
import { foldNames } from '../../src/worker/loops/text-form.ts'
import { startWorld, testPassword, type Person, type World } from '../support/world.ts'

let world: World
let ada: Person

beforeAll(async () => {
  world = await startWorld()
  ada = await world.register('Ada Lovelace')
})

afterAll(() => world[Symbol.asyncDispose]())

const patch = (person: Person, body: unknown, headers: Record<string, string> = {}) =>
  world.call('PATCH', '/api/users/me', { token: person.token, body, headers })

const get = (person: Person, path: string, headers: Record<string, string> = {}) =>
  world.call('GET', `/api/users/${path}`, { token: person.token, headers })

/** The entries of a user's scope after those of the registration. */
const received = async (person: Person) => (await world.entries(userScope(person.id))).slice(1)

test('name and time zone change, once, and the change is logged', async () => {
  const bob = await world.register('Bob')
  const { status, headers, body } = await patch(bob, { name: ' Robert ', timeZone: 'Europe/Berlin' })
  expect(status).toBe(200)
  expect(body).toMatchObject({ id: bob.id, name: 'Robert', timeZone: 'Europe/Berlin', emailVerified: false })
  const [entry] = await received(bob)
  expect(entry).toMatchObject({
    type: 'user.updated',
    entityId: bob.id,
    actorId: bob.id,
    changes: { name: { from: 'Bob', to: 'Robert' }, timeZone: { from: 'UTC', to: 'Europe/Berlin' } },
  })
  const frame = JSON.parse(entry!.frame!)
  expect(frame).toMatchObject({ data: body, changed: ['name', 'timeZone'] })
  expect(headers.get('tide-cursor')).toBe(frame.cursor)

  const again = await patch(bob, { name: 'Robert' })
  expect(again.status).toBe(200)
  expect(again.headers.has('tide-cursor')).toBe(false)
  expect(await received(bob)).toHaveLength(1)
  expect((await patch(bob, { timeZone: null })).body.timeZone).toBe('UTC')
})

test.each([
  [{}, ''],
  [{ name: '' }, '/name'],
  [{ name: null }, '/name'],
  [{ name: 'x'.repeat(101) }, '/name'],
  [{ timeZone: 'Mars/Olympus' }, '/timeZone'],
  [{ role: 'admin' }, '/role'],
  [{ emailVerified: true }, '/emailVerified'],
  [{ email: 'ada' }, '/email'],
  [{ email: 'new@example.com' }, '/currentPassword'],
  [{ email: 'new@example.com', currentPassword: 'not the password' }, '/currentPassword'],
])('a patch with %j is 422 and changes nothing', async (body, pointer) => {
  const [before, entries] = [(await get(ada, 'me')).body, await world.entryCount()]
  const answer = await patch(ada, body)
  expect(answer.status).toBe(422)
  expect(answer.body.errors[0].pointer).toBe(pointer)
  expect((await get(ada, 'me')).body).toEqual(before)
  expect(await world.entryCount()).toBe(entries)
})

test('a new address needs the password, is unverified, and must be free', async () => {
  const bob = await world.register('Bob')
  await world.server.deps.db.transact(
    (tx) => tx`update users set email_verified_at = now() where id = ${bob.id}`,
  )
  expect((await patch(bob, { name: 'Rob', email: bob.email })).body.emailVerified).toBe(true)
  const email = `Moved-${bob.id}@Example.com`
  const moved = await patch(bob, { email, currentPassword: testPassword })
  expect(moved).toMatchObject({ status: 200, body: { email: email.toLowerCase(), emailVerified: false } })
  expect((await received(bob)).at(-1)!.changes).toEqual({
    email: { from: bob.email, to: email.toLowerCase() },
    emailVerified: { from: true, to: false },
  })
  const taken = await patch(bob, { email: ada.email, currentPassword: testPassword })
  expect(taken).toMatchObject({ status: 409, body: { code: 'email_taken' } })
})

test('a change repeated under its Idempotency-Key happens once', async () => {
  const bob = await world.register('Bob')
  const headers = { 'Idempotency-Key': 'rename' }
  const first = await patch(bob, { name: 'Rob' }, headers)
  const again = await patch(bob, { name: 'Rob' }, headers)
  expect(again.headers.get('idempotency-replayed')).toBe('true')
  expect(again.body).toEqual(first.body)
  expect(await received(bob)).toHaveLength(1)
})

test('a new password or address repeated under its key is answered again, although the old password is gone', async () => {
  const bob = await world.register('Bob')
  const send = (method: string, path: string, body: object, key: string) =>
    world.call(method, path, { token: bob.token, body, headers: { 'Idempotency-Key': key } })
  const keyOf = (path: string, { currentPassword }: Readonly<Record<string, string>>): string =>
    `${path} ${currentPassword}`.replaceAll(' ', '-')
  const password = { currentPassword: testPassword, password: 'another horse battery' }
  const email = { email: `new-${bob.email}`, currentPassword: password.password }
  for (const [method, path, body] of [
    ['PUT', '/api/users/me/password', password],
    ['PATCH', '/api/users/me', email],
    ['PUT', '/api/users/me/password', { currentPassword: password.password, password: testPassword }],
  ] as const) {
    const answers = await Promise.all([1, 2, 3].map(() => send(method, path, body, keyOf(path, body))))
    answers.push(await send(method, path, body, keyOf(path, body)))
    const [first] = answers
    expect(answers.map(({ status, body }) => ({ status, body }))).toEqual(
      answers.map(() => ({ status: 200, body: first!.body })),
    )
    expect(answers.filter(({ headers }) => headers.has('idempotency-replayed'))).toHaveLength(3)
  }
  const other = await send(
    'PATCH',
    '/api/users/me',
    { ...email, email: bob.email },
    keyOf('/api/users/me', email),
  )
  expect([other.status, other.body.code]).toEqual([422, 'idempotency_key_reused'])
})

test('a new password answers its position in the scope of the account', async () => {
  const bob = await world.register('Bob')
  const body = { currentPassword: testPassword, password: 'another horse battery' }
  const {
    status,
    headers,
    body: answered,
  } = await world.call('PUT', '/api/users/me/password', {
    token: bob.token,
    body,
  })
  expect(answered).toMatchObject({ id: bob.id, email: bob.email })
  expect(headers.get('etag')).toBe((await world.call('GET', '/api/users/me', bob)).headers.get('etag'))
  const entry = (await world.entries(userScope(bob.id))).at(-1)!
  expect([status, entry.control]).toMatchObject([200, { kind: 'sessions' }])
  expect(headers.get('tide-cursor')).toEndWith(`.${entry.seq}`)
})

test('no plain digest of a password is kept for repeats', async () => {
  const bob = await world.register('Bob')
  const key = Bun.randomUUIDv7()
  const body = { currentPassword: testPassword, password: 'another horse battery' }
  const headers = { 'Idempotency-Key': key }
  expect(
    (await world.call('PUT', '/api/users/me/password', { token: bob.token, body, headers })).status,
  ).toBe(200)
  const [row] = await world.server.deps.db.read(
    (sql) => sql<{ fingerprint: Uint8Array }[]>`select fingerprint from idempotency_keys where key = ${key}`,
  )
  const plain = new Bun.CryptoHasher('sha256').update(JSON.stringify(body)).digest('hex')
  expect(row!.fingerprint).toHaveLength(32)
  expect(Buffer.from(row!.fingerprint).toString('hex')).not.toBe(plain)
})

test('deleting an account refuses a malformed Idempotency-Key', async () => {
  const bob = await world.register('Bob')
  const headers = { 'Idempotency-Key': 'a b' }
  const answer = await world.call('DELETE', '/api/users/me', {
    token: bob.token,
    body: { password: testPassword },
    headers,
  })
  expect(answer.status).toBe(400)
  expect((await world.call('GET', '/api/users/me', { token: bob.token })).status).toBe(200)
})

test('reading an account again costs nothing while it is the same', async () => {
  const { headers } = await get(ada, 'me')
  expect((await get(ada, 'me', { 'If-None-Match': headers.get('etag')! })).status).toBe(304)
})

test.each([
  [{ currentPassword: 'not the password', password: 'a fine new one' }, '/currentPassword'],
  [{ currentPassword: testPassword, password: 'password123' }, '/password'],
  [{ currentPassword: testPassword, password: 'short' }, '/password'],
  [{ password: 'a fine new one' }, '/currentPassword'],
])('a new password with %j is 422, and the old one still works', async (body, pointer) => {
  const entries = await world.entryCount()
  const answer = await world.call('PUT', '/api/users/me/password', { token: ada.token, body })
  expect(answer.status).toBe(422)
  expect(answer.body.errors[0].pointer).toBe(pointer)
  expect(await world.entryCount()).toBe(entries)
  const login = await world.call('POST', '/api/auth/login', {
    body: { email: ada.email, password: testPassword },
  })
  expect(login.status).toBe(200)
})

test('others see name and picture; the address is shown to oneself and to admins only', async () => {
  const bob = await world.register('Bob')
  const stranger = await get(ada, bob.id)
  expect(stranger.body).toEqual({ id: bob.id, name: 'Bob', avatarUrl: null })
  const admin = await world.registerAdmin()
  expect((await get(admin, bob.id)).body.email).toBe(bob.email)
  expect((await get(bob, bob.id)).body.email).toBe(bob.email)

  await world.project(ada, { viewer: bob })
  expect((await get(ada, bob.id)).body).toEqual(stranger.body)
  expect((await get(ada, Bun.randomUUIDv7())).status).toBe(404)
})

test('users of a common project are found by the beginning of their name, others by their whole address', async () => {
  const grace = await world.register('Grace_100% Hopper')
  const murray = await world.register('Grace_100% Murray')
  await world.project(ada, { viewer: grace })
  const found = async (q: string): Promise<string[]> => {
    const { status, body } = await get(ada, `search?q=${encodeURIComponent(q)}`)
    expect(status).toBe(200)
    return body.items.map((user: { name: string }) => user.name)
  }
  expect(await found('gRaCe')).toEqual(['Grace_100% Hopper'])
  expect(await found('grace_100% h')).toEqual(['Grace_100% Hopper'])
  expect(await found('grace%hopper')).toEqual([])
  expect(await found('grace__')).toEqual([])
  expect(await found('hopper')).toEqual([])
  expect(await found(grace.email.toUpperCase())).toEqual(['Grace_100% Hopper'])
  expect(await found(grace.email.slice(0, -1))).toEqual([])
  expect(await found(murray.email)).toEqual(['Grace_100% Murray'])
  expect(JSON.stringify((await get(ada, `search?q=${murray.email}`)).body)).not.toContain(murray.email)
  expect(JSON.stringify((await get(ada, 'search?q=grace')).body)).not.toContain(grace.email)
  for (const q of ['', '?q=', '?q=a&limit=1000000000', `?q=${'x'.repeat(10_000)}`, '?q=a&nonsense=1']) {
    expect((await get(ada, `search${q}`)).status).toBeOneOf([400, 422])
  }
})

test('people who are found are listed in pages like everything else, by name', async () => {
  const ada = await world.register('Zora')
  const others = await Promise.all(['Zorb', 'zora', 'Zórc', 'Zord'].map((name) => world.register(name)))
  await world.project(ada, { viewer: others })
  const search = 'search?q=zor&limit=2'
  const names: string[] = []
  for (let cursor = ''; ;) {
    const { body, headers } = await get(ada, search + cursor)
    names.push(...body.items.map(({ name }: { name: string }) => name))
    if (body.nextCursor === null) break
    expect(headers.get('link')).toEndWith('; rel="next"')
    cursor = `&cursor=${body.nextCursor}`
  }
  expect(names.map((name) => name.toLowerCase())).toEqual(['zora', 'zora', 'zorb', 'zórc', 'zord'])
  const { body } = await get(ada, `${search}&page=3`)
  expect(body).toMatchObject({ items: [{ name: 'Zord' }], page: 3, total: 5, totalPages: 3 })
  expect((await get(ada, `${search}&cursor=`)).body.code).toBe('bad_cursor')
})

test('people are found in any form and case of their name, also where a previous version wrote it', async () => {
  const zoe = await world.register('Zoë Straße')
  await world.project(ada, { viewer: zoe })
  const found = async (q: string): Promise<number> =>
    (await get(ada, `search?q=${encodeURIComponent(q)}`)).body.items.length
  for (const q of ['zoe', 'ZOË', 'Zoe\u0308', 'zoë strasse', 'ＺＯＥ'])
    expect([q, await found(q)]).toEqual([q, 1])
  for (const q of ['zoé x', '\u0301', 'straße']) expect([q, await found(q)]).toEqual([q, 0])

  // A server of the previous version changes the name alone.
  const { db, publisher } = world.server.deps
  await db.transact((tx) => tx`update users set name = 'Ängström' where id = ${zoe.id}`)
  expect([await found('ängst'), await found('angst'), await found('zoe')]).toEqual([1, 0, 0])
  const log = createLog('test', 'silent')
  const deps = { db, publisher, log, signal: new AbortController().signal }
  expect(await foldNames(deps)).toBeGreaterThan(0)
  expect([await found('angst'), await found('ängst')]).toEqual([1, 1])
  expect(await foldNames(deps)).toBe(0)
})

test('searching users among 5,000 scans no table', async () => {
  const { db } = world.server.deps
  const search = async (tx: Tx) => {
    await tx`
      insert into users (id, email, name, password_hash)
      select gen_random_uuid(), n || '@many.example', md5(n::text), '' from generate_series(1, 5000) n`
    const projectId = newId()
    await tx`insert into projects (id, name) values (${projectId}, 'Many')`
    await tx`
      insert into members (project_id, user_id, role)
      select ${projectId}, id, 'viewer' from users
      where id = ${ada.id} or id in (select id from users where email like '%@many.example' limit 2000)`
    await tx`analyze users, members`
    const scans = async (): Promise<number> => {
      const [row] = await tx<{ scans: number }[]>`
        select seq_scan as scans from pg_stat_xact_user_tables where relname = 'users'`
      return row!.scans
    }
    const before = await scans()
    const found = await selectUsersByText(tx, { userId: ada.id, role: 'user' }, 'ab', {
      limit: 20,
      after: null,
      page: null,
    })
    return { found: found.length, scanned: (await scans()) - before }
  }
  const { found, scanned } = await db.transact(search, { deadlineMs: 10_000 })
  expect(found).toBeGreaterThan(0)
  expect(scanned).toBe(0)
}, 15_000)
