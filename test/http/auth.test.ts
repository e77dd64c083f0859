// Registration and sign-in over HTTP: answers, entries in the log, and what an attacker learns.
import { afterAll, beforeAll, expect, spyOn, test } from 'bun:test'
import { projectScope, userScope } from '../../src/model/scope.ts'
import type { SessionAnswer } from '../../src/model/user.ts'
import { startWorld, testPassword, type World } from '../support/world.ts'

let world: World

beforeAll(async () => {
  world = await startWorld()
})

afterAll(() => world[Symbol.asyncDispose]())

const freshEmail = () => `new-${Bun.randomUUIDv7()}@example.com`

const register = (body: Record<string, unknown>) =>
  world.call('POST', '/api/auth/register', {
    body: { name: 'Ada', email: freshEmail(), password: testPassword, ...body },
  })

const login = (email: string, password: string) =>
  world.call('POST', '/api/auth/login', { body: { email, password } })

const countUsers = async () => {
  const [row] = await world.server.deps.db.read(
    (sql) => sql<{ count: number }[]>`select count(*) as count from users`,
  )
  return row!.count
}

test('registering makes the account, its Inbox and a session', async () => {
  const email = freshEmail()
  const { status, headers, body } = await world.call<SessionAnswer>('POST', '/api/auth/register', {
    body: {
      email: ` ${email.toUpperCase()} `,
      name: ' Ada ',
      password: testPassword,
      timeZone: 'Europe/Berlin',
    },
  })
  expect(status).toBe(201)
  expect(body.user).toEqual({
    id: expect.any(String),
    email,
    name: 'Ada',
    role: 'user',
    timeZone: 'Europe/Berlin',
    emailVerified: false,
    avatarUrl: null,
    createdAt: expect.any(String),
    updatedAt: expect.any(String),
  })
  expect(body.expiresIn).toBe(900)
  expect(headers.get('location')).toBe('/api/users/me')
  const created = await world.call('GET', '/api/users/me', { token: body.accessToken })
  expect(headers.get('etag')).toBe(created.headers.get('etag'))
  expect(headers.get('cache-control')).toBe('no-store')

  const granted = await world.entries(userScope(body.user.id))
  expect(granted.map((entry) => entry.type)).toEqual(['access.granted'])
  const inbox = await world.entries(projectScope(granted[0]!.entityId!))
  expect(inbox.map((entry) => entry.type)).toEqual(['project.created'])
  expect(JSON.parse(inbox[0]!.frame!).data).toMatchObject({ name: 'Inbox', kind: 'inbox' })

  const me = await world.call('GET', '/api/users/me', { token: body.accessToken })
  expect(me.body).toEqual(body.user)
})

test('an address registers once, in any case', async () => {
  const email = freshEmail()
  await register({ email })
  const [users, entries] = [await countUsers(), await world.entryCount()]
  const again = await register({ email: email.toUpperCase() })
  expect(again).toMatchObject({ status: 409, body: { code: 'email_taken' } })
  expect([await countUsers(), await world.entryCount()]).toEqual([users, entries])
})

test.each([
  ['of 7 characters', '1234567', 422],
  ['of 129 characters', 'x'.repeat(129), 422],
  ['of 4 characters that are 8 UTF-16 units', '🌊🌊🌊🌊', 422],
  ['that is common', 'password123', 422],
  ['that is common, in capitals', 'PASSWORD123', 422],
  ['with half a surrogate pair', 'long enough \ud800', 422],
  ['of 10 MB', 'x'.repeat(10_000_000), 413],
])('a password %s is refused and leaves nothing', async (_what, password, status) => {
  const [users, entries] = [await countUsers(), await world.entryCount()]
  const answer = await register({ password })
  expect(answer.status).toBe(status)
  if (status === 422) expect(answer.body.errors[0].pointer).toBe('/password')
  expect(JSON.stringify(answer.body)).not.toContain(password.slice(0, 12))
  expect([await countUsers(), await world.entryCount()]).toEqual([users, entries])
})

test.each([
  ['64 characters of any script', '🌊é漢字ß ж'.repeat(10).slice(0, 64)],
  ['128 characters outside the basic plane', '🌊'.repeat(128)],
  ['8 characters, spaces at both ends', ' a b c  '],
])('a password of %s is accepted to the letter', async (_what, password) => {
  const email = freshEmail()
  expect((await register({ email, password })).status).toBe(201)
  expect((await login(email, password)).status).toBe(200)
  expect((await login(email, `${password} `)).status).toBe(401)
})

test('a password in another Unicode form is the same password', async () => {
  const email = freshEmail()
  await register({ email, password: 'caf\u00e9 au lait' })
  expect((await login(email, 'cafe\u0301 au lait')).status).toBe(200)
})

test.each([
  [{ email: 'no-address' }, '/email'],
  [{ email: `${'x'.repeat(250)}@example.com` }, '/email'],
  [{ name: '  ' }, '/name'],
  [{ timeZone: 'Mars/Olympus' }, '/timeZone'],
  [{ role: 'admin' }, '/role'],
])('registering with %j is 422', async (body, pointer) => {
  const users = await countUsers()
  const answer = await register(body)
  expect(answer.status).toBe(422)
  expect(answer.body.errors[0].pointer).toBe(pointer)
  expect(await countUsers()).toBe(users)
})

test('signing in answers a new session and appends nothing', async () => {
  const ada = await world.register()
  const entries = await world.entryCount()
  const { status, headers, body } = await login(ada.email.toUpperCase(), testPassword)
  expect(status).toBe(200)
  expect(body.user.id).toBe(ada.id)
  expect(body.refreshToken).not.toBe(ada.session.refreshToken)
  expect(Buffer.from(body.refreshToken, 'base64url')).toHaveLength(32)
  expect(headers.get('cache-control')).toBe('no-store')
  expect(await world.entryCount()).toBe(entries)
})

// How long they take is measured by `bun run security --sign-ins`, and the work of both is counted below.
test('an unknown address and a wrong password cannot be distinguished', async () => {
  const ada = await world.register()
  const answers = new Set<string>()
  for (let n = 0; n < 40; n += 1) {
    const { status, headers, body } = await login(n % 2 === 0 ? ada.email : freshEmail(), 'not the password')
    const sentHeaders = [...headers.entries()].filter(([name]) => name !== 'date' && name !== 'x-request-id')
    answers.add(JSON.stringify([status, sentHeaders, { ...body, requestId: '' }]))
  }
  expect([...answers]).toEqual([expect.stringContaining('invalid_credentials')])
}, 60_000)

test('an unknown address costs one hash, as a wrong password does', async () => {
  const ada = await world.register()
  using verified = spyOn(Bun.password, 'verify')
  using hashed = spyOn(Bun.password, 'hash')
  for (const email of [ada.email, freshEmail(), freshEmail()]) {
    verified.mockClear()
    expect((await login(email, 'not the password')).status).toBe(401)
    expect(verified).toHaveBeenCalledTimes(1)
  }
  expect(hashed).not.toHaveBeenCalled()
})

test('a disabled account gets its code only after the right password', async () => {
  const ada = await world.register()
  await world.server.deps.db.transact((tx) => tx`update users set disabled_at = now() where id = ${ada.id}`)
  expect(await login(ada.email, 'not the password')).toMatchObject({
    status: 401,
    body: { code: 'invalid_credentials' },
  })
  expect(await login(ada.email, testPassword)).toMatchObject({ status: 403, body: { code: 'user_disabled' } })
})

test('a bcrypt hash verifies and is upgraded by the sign-in', async () => {
  const ada = await world.register()
  const hash = await Bun.password.hash('an old password', { algorithm: 'bcrypt', cost: 4 })
  const { db } = world.server.deps
  await db.transact((tx) => tx`update users set password_hash = ${hash} where id = ${ada.id}`)
  expect((await login(ada.email, 'not the password')).status).toBe(401)
  expect((await login(ada.email, 'an old password')).status).toBe(200)
  const [row] = await db.read(
    (sql) => sql<{ hash: string }[]>`select password_hash as hash from users where id = ${ada.id}`,
  )
  expect(row!.hash).toStartWith('$argon2id$v=19$m=19456,t=2,p=1$')
  expect((await login(ada.email, 'an old password')).status).toBe(200)
})

test('an unreadable hash matches no password', async () => {
  const ada = await world.register()
  await world.server.deps.db.transact(
    (tx) => tx`update users set password_hash = 'junk' where id = ${ada.id}`,
  )
  expect((await login(ada.email, 'junk')).status).toBe(401)
})

test('200 sign-ins at once: the excess is 503 with Retry-After, and other requests are served meanwhile', async () => {
  const ada = await world.register()
  const startedAt = performance.now()
  const flood = Array.from({ length: 200 }, () => login(ada.email, testPassword))
  expect((await world.call('GET', '/api/users/me', { token: ada.token })).status).toBe(200)
  const meanwhileMs = performance.now() - startedAt
  const answers = await Promise.all(flood)
  const floodMs = performance.now() - startedAt
  const statuses = Map.groupBy(answers, (answer) => answer.status)
  expect(new Set(statuses.keys())).toEqual(new Set([200, 503]))
  expect(statuses.get(503)![0]!.headers.get('retry-after')).toBe('1')
  // Had it waited for the hashes, it would have come last.
  expect(meanwhileMs).toBeLessThan(floodMs / 2)
}, 120_000)

test('no answer carries a password or a hash', async () => {
  const answers = [
    await register({ password: 'a very secret password' }),
    await register({ password: 'a very secret password', name: '' }),
    await login(freshEmail(), 'a very secret password'),
    await world.call('POST', '/api/auth/login', { body: '{"password":"a very secret password"' }),
  ]
  for (const { body } of answers) expect(JSON.stringify(body)).not.toMatch(/very secret|argon2id/)
})
