// Personal access tokens: made once, scoped, refused where only a session is accepted, and revoked on every process within
// a second, for REST and sockets, also on a server whose Redis is away.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { RunningServer } from '../../src/app/compose.ts'
import { changeByOperator } from '../../src/domain/users/operator.ts'
import { maxPersonalTokens } from '../../src/domain/users/personal-tokens.ts'
import { controlEntry } from '../../src/domain/users/sessions.ts'
import { systemWrite, write } from '../../src/domain/write.ts'
import type { IssuedToken } from '../../src/model/personal-token.ts'
import { userScope } from '../../src/model/scope.ts'
import { testRedis } from '../support/environment.ts'
import { eventually } from '../support/eventually.ts'
import { routesOf, type Route } from '../support/routes.ts'
import { openSocket, type TestSocket } from '../support/socket.ts'
import { startWorld, testPassword, type Person, type World } from '../support/world.ts'

let world: World
/** Its Redis has stopped: it follows the log in PostgreSQL. */
let withoutRedis: RunningServer
let routes: Route[]

beforeAll(async () => {
  world = await startWorld()
  const redis = await testRedis()
  withoutRedis = await world.another({ redisUrl: redis.url })
  await redis[Symbol.asyncDispose]()
  routes = await routesOf(world)
}, 30_000)

afterAll(async () => {
  await withoutRedis[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

const make = async (person: Person, body: Record<string, unknown> = {}): Promise<IssuedToken> =>
  world.ask(person, 'POST', '/api/auth/tokens', { name: 'CI', scopes: ['write'], ...body })

const urls = (): string[] => [world.url, withoutRedis.url]

const statusAt = async (url: string, token: string): Promise<number> => {
  const headers = { Authorization: `Bearer ${token}` }
  return (await fetch(`${url}/api/users/me`, { headers })).status
}

const statusesOf = (token: string): Promise<number[]> =>
  Promise.all(urls().map((url) => statusAt(url, token)))

/** A control entry that makes the servers read the token's row again. */
const forget = async (person: Person, token: string): Promise<void> => {
  await write(world.server.deps, systemWrite, async () => ({
    value: null,
    entries: [controlEntry(person.id, { kind: 'role' })],
  }))
  await eventually(() => expect(world.server.deps.authenticator.memoised(token)).toBeNull())
}

const greeted = async (url: string, token: string): Promise<TestSocket> => {
  const socket = await openSocket(url)
  socket.send({ t: 'hello', token })
  return socket
}

/** Both servers accept the token, over REST and on a socket; after `end` both refuse it within a second. */
const expectEnd = async (token: string, end: () => Promise<unknown>): Promise<void> => {
  await using stack = new AsyncDisposableStack()
  const sockets = await Promise.all(urls().map(async (url) => stack.use(await greeted(url, token))))
  for (const socket of sockets) await socket.take('welcome')
  expect(await statusesOf(token)).toEqual([200, 200])
  await end()
  await eventually(async () => expect(await statusesOf(token)).toEqual([401, 401]), { timeoutMs: 1_000 })
  for (const socket of sockets) expect(await socket.closed(1_000)).toBe(4403)
  await using late = await greeted(world.url, token)
  expect(await late.closed()).toBe(4403)
}

test('a token is shown once, listed without its secret and stored as a hash', async () => {
  const ada = await world.register()
  const answer = await world.call<IssuedToken>('POST', '/api/auth/tokens', {
    token: ada.token,
    body: { name: '  CI  ', scopes: ['write', 'read', 'write'] },
  })
  expect(answer.status).toBe(201)
  const { token, ...shown } = answer.body
  expect(token).toMatch(/^ttp_[\w-]{43}$/)
  expect(shown).toEqual({
    id: expect.any(String),
    name: 'CI',
    scopes: ['read', 'write'],
    expiresAt: null,
    lastUsedAt: null,
    createdAt: expect.any(String),
  })
  expect(answer.headers.get('location')).toBe(`/api/auth/tokens/${shown.id}`)
  expect(answer.headers.get('cache-control')).toBe('no-store')
  expect(answer.headers.get('etag')).not.toBeNull()
  const list = await world.call('GET', '/api/auth/tokens', { token: ada.token })
  expect(list.body).toEqual({ items: [shown], nextCursor: null })
  expect(list.headers.get('cache-control')).toBe('no-store')
  const [row] = await world.server.deps.db.read(
    (sql) => sql<{ row: string }[]>`select t::text as row from personal_tokens t where id = ${shown.id}`,
  )
  expect(row!.row).not.toContain(token)
  expect(row!.row).toContain(new Bun.CryptoHasher('sha256').update(token).digest('hex'))
})

test('lists are newest first and of the caller alone; the tokens of others are 404', async () => {
  const { ada, bob } = await world.people('ada', 'bob')
  const first = await make(ada, { name: 'one' })
  const second = await make(ada, { name: 'two' })
  const { items } = await world.ask(ada, 'GET', '/api/auth/tokens')
  expect(items.map(({ id }: IssuedToken) => id)).toEqual([second.id, first.id])
  expect((await world.ask(bob, 'GET', '/api/auth/tokens')).items).toEqual([])
  const foreign = await world.call('DELETE', `/api/auth/tokens/${first.id}`, { token: bob.token })
  expect(foreign).toMatchObject({ status: 404, body: { code: 'not_found' } })
  expect(await statusAt(world.url, first.token)).toBe(200)
})

test('tokens are listed in pages like everything else', async () => {
  const ada = await world.register()
  const made = [await make(ada), await make(ada), await make(ada)].map(({ id }) => id).toReversed()
  const first = await world.ask(ada, 'GET', '/api/auth/tokens?limit=2')
  const rest = await world.ask(ada, 'GET', `/api/auth/tokens?limit=2&cursor=${first.nextCursor}`)
  expect([...first.items, ...rest.items].map(({ id }) => id)).toEqual(made)
  const second = await world.ask(ada, 'GET', '/api/auth/tokens?limit=2&page=2')
  expect(second).toEqual({ ...rest, page: 2, total: 3, totalPages: 2 })
})

test.each<[string, Record<string, unknown>, string]>([
  ['an expiry that has passed', { expiresAt: '2020-01-01T00:00:00Z' }, '/expiresAt'],
  ['an expiry that is no time', { expiresAt: '2027-02-30T00:00:00Z' }, '/expiresAt'],
  ['an unknown scope', { scopes: ['read', 'admin'] }, '/scopes/1'],
  ['no scope', { scopes: [] }, '/scopes'],
  ['scopes that are no list', { scopes: 'read' }, '/scopes'],
  ['no name', { name: undefined }, '/name'],
  ['an invisible name', { name: '\u200b ' }, '/name'],
  ['a name of 101 characters', { name: 'a'.repeat(101) }, '/name'],
  ['an unknown field', { token: 'ttp_mine' }, '/token'],
])('%s is refused and makes none', async (_what, body, pointer) => {
  const ada = await world.register()
  const answer = await world.call('POST', '/api/auth/tokens', {
    token: ada.token,
    body: { name: 'CI', scopes: ['read'], ...body },
  })
  expect(answer).toMatchObject({ status: 422, body: { code: 'validation_failed', errors: [{ pointer }] } })
  expect((await world.ask(ada, 'GET', '/api/auth/tokens')).items).toEqual([])
})

test('a user has 100 tokens at most, also when many are made at once', async () => {
  const ada = await world.register()
  await world.server.deps.db.transact(
    (tx) => tx`
      insert into personal_tokens (id, user_id, name, token_hash, scopes)
      select gen_random_uuid(), ${ada.id}, n::text, decode(md5(n::text || ${ada.id}), 'hex'), '{read}'
      from generate_series(1, ${maxPersonalTokens - 2}) n`,
  )
  const answers = await Promise.all(
    Array.from({ length: 6 }, () =>
      world.call('POST', '/api/auth/tokens', { token: ada.token, body: { name: 'CI', scopes: ['read'] } }),
    ),
  )
  expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([
    201, 201, 422, 422, 422, 422,
  ])
  expect((await world.ask(ada, 'GET', '/api/auth/tokens?page=1')).total).toBe(maxPersonalTokens)
})

test('a read token reads and subscribes; it is refused on every method that writes', async () => {
  const ada = await world.register()
  const { token } = await make(ada, { scopes: ['read'] })
  expect((await world.call('GET', '/api/tasks', { token })).status).toBe(200)
  const refused = await world.call('POST', '/api/tasks', { token, body: { title: 'x' } })
  expect(refused).toMatchObject({ status: 403, body: { code: 'insufficient_scope' } })
  expect((await world.ask(ada, 'GET', '/api/tasks')).items).toEqual([])
  await using socket = await openSocket(world.url, {
    protocols: ['tasktide.v1'],
    headers: { Authorization: `Bearer ${token}` },
  })
  expect(await socket.take('welcome')).toMatchObject({
    user: ada.id,
    expiresAt: '9999-12-31T23:59:59.999Z',
  })
  socket.send({ t: 'sub', rid: 1, scope: 'user:me', cursor: null })
  socket.send({ t: 'sub', rid: 2, scope: `project:${ada.inboxId}`, cursor: null })
  await socket.take('synced')
  await socket.take('synced')
  const task = await world.ask(ada, 'POST', '/api/tasks', { title: 'seen' })
  expect(await socket.take('event')).toMatchObject({ type: 'task.created', id: task.id })
})

test('a write token reads and writes, with Idempotency-Key and Tide-Cursor', async () => {
  const ada = await world.register()
  const { token } = await make(ada)
  expect((await world.call('GET', '/api/tasks', { token })).status).toBe(200)
  const write = () =>
    world.call('POST', '/api/tasks', { token, body: { title: 'x' }, headers: { 'Idempotency-Key': 'once' } })
  const first = await write()
  expect(first.status).toBe(201)
  expect(first.headers.get('tide-cursor')).not.toBeNull()
  const repeat = await write()
  expect(repeat.headers.get('idempotency-replayed')).toBe('true')
  expect(repeat.body).toEqual(first.body)
  expect(first.body.creatorId).toBe(ada.id)
  const named = await world.call('PATCH', '/api/users/me', { token, body: { name: 'Renamed' } })
  expect(named).toMatchObject({ status: 200, body: { name: 'Renamed' } })
})

test('no token reaches the routes of credentials, account and administration', async () => {
  const ada = await world.registerAdmin()
  const { token } = await make(ada)
  const closed = routes.filter(({ traits }) => ['session', 'admin'].includes(traits.access))
  // Which those are is decided here by path, so that a new one cannot be forgotten.
  const administers = ({ method, template }: Route): boolean =>
    template.startsWith('/admin/') ||
    (/^\/api\/users(?:\/:id)?$/.test(template) && `${method} ${template}` !== 'GET /api/users/:id')
  const owed = routes.filter(
    (route) =>
      route.isGuarded &&
      (administers(route) || /^\/api\/auth\/|\/password$|\/email(?:\/|$)/.test(route.template)),
  )
  expect(owed.filter((route) => !closed.includes(route))).toEqual([])
  const names = closed.map(({ method, template }) => `${method} ${template}`)
  expect(names).toContain('DELETE /api/users/me')
  expect(names).toContain('POST /api/auth/tokens')
  for (const { method, path } of closed) {
    const answer = await world.call(method, path, { token })
    expect({ method, path, status: answer.status, code: answer.body.code }).toEqual({
      method,
      path,
      status: 403,
      code: 'insufficient_scope',
    })
  }
  const email = await world.call('PATCH', '/api/users/me', {
    token,
    body: { email: 'other@example.com', currentPassword: testPassword },
  })
  expect(email).toMatchObject({ status: 403, body: { code: 'insufficient_scope' } })
  const bob = await world.register()
  expect(Object.keys(await world.ask({ ...ada, token }, 'GET', `/api/users/${bob.id}`))).toEqual(
    Object.keys(await world.ask(bob, 'GET', `/api/users/${ada.id}`)),
  )
  const logout = await world.call('POST', '/api/auth/logout', { token })
  expect(logout).toMatchObject({ status: 403, body: { code: 'insufficient_scope' } })
  expect(await statusAt(world.url, ada.token)).toBe(200)
})

test('deleting a token ends it alone, everywhere, with a control entry that names it', async () => {
  const ada = await world.register()
  const gone = await make(ada)
  const kept = await make(ada)
  expect(await statusesOf(kept.token)).toEqual([200, 200])
  await expectEnd(gone.token, () => world.ask(ada, 'DELETE', `/api/auth/tokens/${gone.id}`))
  expect(await statusesOf(kept.token)).toEqual([200, 200])
  const entries = await world.entries(userScope(ada.id))
  expect(entries.at(-1)!.control).toEqual({ kind: 'token', tokenId: gone.id })
  const again = await world.call('DELETE', `/api/auth/tokens/${gone.id}`, { token: ada.token })
  expect(again.status).toBe(404)
  const refused = await world.call('GET', '/api/users/me', { token: gone.token })
  expect(refused).toMatchObject({ status: 401, body: { code: 'unauthenticated', reason: 'revoked' } })
})

test.each<[string, (person: Person) => Promise<unknown>]>([
  ['signing out everywhere', (ada) => world.ask(ada, 'POST', '/api/auth/logout-all')],
  [
    'a new password',
    (ada) =>
      world.ask(ada, 'PUT', '/api/users/me/password', {
        currentPassword: testPassword,
        password: 'another horse battery',
      }),
  ],
  ['disabling the account', (ada) => changeByOperator(world.server.deps, ada.email, { disabled: true })],
  [
    'deleting the account',
    (ada) => world.call('DELETE', '/api/users/me', { token: ada.token, body: { password: testPassword } }),
  ],
])('%s ends every token', async (what, end) => {
  const ada = await world.register()
  const { token } = await make(ada)
  if (what !== 'deleting the account') return expectEnd(token, () => end(ada))
  expect(await statusesOf(token)).toEqual([200, 200])
  await using socket = await greeted(withoutRedis.url, token)
  await socket.take('welcome')
  await end(ada)
  expect(await socket.closed(1_000)).toBe(4403)
  await eventually(async () => expect(await statusesOf(token)).toEqual([401, 401]), { timeoutMs: 1_000 })
})

test('ending one session leaves tokens alone', async () => {
  const ada = await world.register()
  const { token } = await make(ada)
  await world.ask(ada, 'POST', '/api/auth/logout')
  expect(await statusesOf(token)).toEqual([200, 200])
})

test('an expired token is 401 token_expired, its socket closes and stays listed until it is deleted', async () => {
  const ada = await world.register()
  const { token, id } = await make(ada, { expiresAt: new Date(Date.now() + 60_000).toISOString() })
  expect(await statusesOf(token)).toEqual([200, 200])
  // On a third server, whose sockets have no grace.
  await using strict = await world.another({}, { tokenGraceMs: 0, sweepIntervalMs: 50 })
  const brief = await make(ada, { expiresAt: new Date(Date.now() + 1_500).toISOString() })
  await using socket = await greeted(strict.url, brief.token)
  expect(Date.parse((await socket.take('welcome'))['expiresAt'])).toBe(Date.parse(brief.expiresAt!))
  expect(await socket.closed(10_000)).toBe(4401)
  const refused = await world.call('GET', '/api/users/me', { token: brief.token })
  expect(refused).toMatchObject({ status: 401, body: { code: 'token_expired' } })
  await using late = await greeted(world.url, brief.token)
  expect(await late.closed()).toBe(4401)
  // Also one that the memo has: the row decides once it is read again.
  await world.server.deps.db.transact(
    (tx) => tx`update personal_tokens set expires_at = now() where id = ${id}`,
  )
  await forget(ada, token)
  expect(await statusAt(world.url, token)).toBe(401)
  const { items } = await world.ask(ada, 'GET', '/api/auth/tokens')
  expect(items.map((item: IssuedToken) => item.id)).toEqual([brief.id, id])
  await world.ask(ada, 'DELETE', `/api/auth/tokens/${id}`)
})

test('lastUsedAt is written at the first use and not again within the minute', async () => {
  const ada = await world.register()
  const { token } = await make(ada)
  const lastUsed = async (): Promise<string | null> =>
    (await world.ask(ada, 'GET', '/api/auth/tokens')).items[0].lastUsedAt
  await statusesOf(token)
  const first = await eventually(async () => {
    const at = await lastUsed()
    expect(at).not.toBeNull()
    return at
  })
  await forget(ada, token)
  await statusesOf(token)
  expect(await lastUsed()).toBe(first)
})

test('what is no token is 401 without a statement; a well-formed token that does not exist is 401 too', async () => {
  const ada = await world.register()
  const { token } = await make(ada)
  const wrong = [
    'ttp_',
    `ttp_${'a'.repeat(42)}`,
    `${token}a`,
    token.replace('ttp_', 'TTP_'),
    `ttp_${'a'.repeat(4000)}`,
    `ttp_${'a'.repeat(43)}`,
  ]
  for (const text of wrong)
    expect(await world.call('GET', '/api/users/me', { token: text })).toMatchObject({
      status: 401,
      body: { code: 'unauthenticated' },
    })
  const huge = await fetch(`${world.url}/api/users/me`, {
    headers: { Authorization: `Bearer ttp_${'a'.repeat(1024 * 1024)}` },
  })
  expect([400, 401, 413, 431]).toContain(huge.status)
  await using socket = await greeted(world.url, `ttp_${'a'.repeat(1024 * 1024)}`)
  expect(await socket.closed()).toBe(1009)
  await using unknown = await greeted(world.url, `ttp_${'a'.repeat(43)}`)
  expect(await unknown.closed()).toBe(4401)
})

test('a token is refused in the subprotocol, which proxies log, and renews a socket in `auth`', async () => {
  const { ada, bob } = await world.people('ada', 'bob')
  const { token } = await make(ada)
  await using inProtocol = await openSocket(world.url, { token })
  expect(await inProtocol.closed()).toBe(4401)
  await using socket = await world.socket(ada)
  socket.send({ t: 'auth', rid: 1, token })
  expect(await socket.take((frame) => frame.rid === 1)).toMatchObject({ t: 'ok' })
  const foreign = await make(bob)
  socket.send({ t: 'auth', rid: 2, token: foreign.token })
  expect(await socket.take((frame) => frame.rid === 2)).toMatchObject({ t: 'error', code: 'token' })
})

test('a long poll of a revoked token ends with 401', async () => {
  const ada = await world.register()
  const { token, id } = await make(ada)
  const { cursor } = await world.ask(ada, 'GET', '/api/users/me/snapshot')
  const scope = `user:${ada.id}`
  const poll = world.call('GET', `/api/sync?scope=${scope}&cursor=${cursor}&wait=25`, { token })
  await eventually(() => expect(world.server.deps.polls.waitingOf(ada.id)).toBe(1))
  await world.ask(ada, 'DELETE', `/api/auth/tokens/${id}`)
  expect(await poll).toMatchObject({ status: 401, body: { reason: 'revoked' } })
})
