// Sessions: refresh tokens and their one successor, the cookie, and every way a session ends, on two servers.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { RunningServer } from '../../src/app/compose.ts'
import { controlEntry } from '../../src/domain/users/sessions.ts'
import { systemWrite, write } from '../../src/domain/write.ts'
import { userScope } from '../../src/model/scope.ts'
import type { Session, SessionAnswer } from '../../src/model/user.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld, testPassword, type Person, type World } from '../support/world.ts'

let world: World
let other: RunningServer

beforeAll(async () => {
  world = await startWorld({ allowedOrigins: ['https://tasks.example.com', 'capacitor://localhost'] })
  other = await world.another()
})

afterAll(async () => {
  await other[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

const refresh = (refreshToken: string) => world.call('POST', '/api/auth/refresh', { body: { refreshToken } })

const refreshAt = async (
  url: string,
  refreshToken: string,
): Promise<{ status: number; body: SessionAnswer }> => {
  const response = await fetch(`${url}/api/auth/refresh`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ refreshToken }),
  })
  return { status: response.status, body: await response.json() }
}

const signIn = async ({ email }: Person): Promise<SessionAnswer> => {
  const { status, body } = await world.call<SessionAnswer>('POST', '/api/auth/login', {
    body: { email, password: testPassword },
  })
  expect(status).toBe(200)
  return body
}

/** Statuses of the token on both servers. */
const statusesOf = (token: string): Promise<number[]> =>
  Promise.all(
    [world.url, other.url].map(async (url) => {
      const response = await fetch(`${url}/api/users/me`, { headers: { Authorization: `Bearer ${token}` } })
      return response.status
    }),
  )

/** Both servers hold the token in memory, then `end` is called, then both refuse it within a second. */
const expectEnd = async (token: string, end: () => Promise<unknown>): Promise<void> => {
  expect(await statusesOf(token)).toEqual([200, 200])
  await end()
  await eventually(async () => expect(await statusesOf(token)).toEqual([401, 401]), { timeoutMs: 1_000 })
}

const controlsOf = async (person: Person) =>
  (await world.entries(userScope(person.id))).flatMap((entry) => entry.control ?? [])

const age = (seconds: number) =>
  world.server.deps.db.transact(
    (tx) =>
      tx`update refresh_tokens set spent_at = spent_at - make_interval(secs => ${seconds}) where spent_at is not null`,
  )

test('a refresh answers a new token of the same session and appends nothing', async () => {
  const ada = await world.register()
  const entries = await world.entryCount()
  const { status, headers, body } = await refresh(ada.session.refreshToken)
  expect(status).toBe(200)
  expect(headers.get('cache-control')).toBe('no-store')
  expect(body).toMatchObject({ user: { id: ada.id }, expiresIn: 900 })
  expect(body.refreshToken).not.toBe(ada.session.refreshToken)
  expect(await statusesOf(body.accessToken)).toEqual([200, 200])
  expect(await world.entryCount()).toBe(entries)
  const { body: sessions } = await world.call('GET', '/api/auth/sessions', { token: ada.token })
  expect(sessions.items).toHaveLength(1)
})

test('50 refreshes of one token at once, on two servers, have one successor', async () => {
  const ada = await world.register()
  const answers = await Promise.all(
    Array.from({ length: 50 }, async (_, index) => {
      return refreshAt(index % 2 === 0 ? world.url : other.url, ada.session.refreshToken)
    }),
  )
  expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([200]))
  expect(new Set(answers.map((answer) => answer.body.refreshToken)).size).toBe(1)
  const [row] = await world.server.deps.db.read(
    (sql) => sql<{ count: number }[]>`
      select count(*) as count from refresh_tokens t join sessions s on s.id = t.session_id
      where s.user_id = ${ada.id}`,
  )
  expect(row!.count).toBe(2)
})

test('a refresh repeated later gets the same successor as long as that was never used', async () => {
  const ada = await world.register()
  const first = ada.session.refreshToken
  const second = (await refresh(first)).body.refreshToken
  await age(11)
  expect((await refresh(first)).body.refreshToken).toBe(second)
  await age(60 * 60)
  const answers = await Promise.all(Array.from({ length: 10 }, () => refresh(first)))
  expect(new Set(answers.map(({ body }) => body.refreshToken))).toEqual(new Set([second]))
  expect((await refresh(second)).status).toBe(200)
  expect(await controlsOf(ada)).toEqual([])
})

test('a refresh token whose successor was used ends its session after 10 seconds, the newest token too', async () => {
  const ada = await world.register()
  const first = ada.session.refreshToken
  const second = (await refresh(first)).body.refreshToken
  const third = (await refresh(second)).body.refreshToken
  await age(9)
  expect((await refresh(first)).body.refreshToken).toBe(second)
  await age(2)
  expect(await statusesOf(ada.token)).toEqual([200, 200])
  await expectEnd(ada.token, async () => {
    expect(await refresh(first)).toMatchObject({ status: 401, body: { code: 'refresh_reused' } })
  })
  expect(await refresh(third)).toMatchObject({ status: 401, body: { code: 'unauthenticated' } })
  const controls = await controlsOf(ada)
  expect(controls).toEqual([{ kind: 'session', sessionId: expect.any(String) }])
  expect(await refresh(first)).toMatchObject({ status: 401, body: { code: 'refresh_reused' } })
  expect(await controlsOf(ada)).toEqual(controls)
})

test('a person has 50 live sessions at most: the oldest end, on every server and with a control entry', async () => {
  await using narrow = await world.another({ sessionsPerUser: 3 })
  const signInThere = async ({ email }: Person): Promise<SessionAnswer> => {
    const response = await fetch(`${narrow.url}/api/auth/login`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ email, password: testPassword }),
    })
    expect(response.status).toBe(200)
    return response.json()
  }
  expect(world.config.sessionsPerUser).toBe(50)
  const ada = await world.register()
  const second = await signInThere(ada)
  await signInThere(ada)
  expect(await controlsOf(ada)).toEqual([])
  await expectEnd(ada.token, () => signInThere(ada))
  expect(await statusesOf(second.accessToken)).toEqual([200, 200])
  expect(await controlsOf(ada)).toEqual([{ kind: 'session', sessionId: expect.any(String) }])
  const bob = await world.register()
  await Promise.all(Array.from({ length: 8 }, () => signInThere(bob)))
  const { body } = await world.call('GET', '/api/auth/sessions', {
    token: (await signInThere(bob)).accessToken,
  })
  expect(body.items).toHaveLength(3)
  expect(await controlsOf(bob)).toHaveLength(7)
})

test('sessions are listed in pages like everything else, the last seen first', async () => {
  const ada = await world.register()
  for (let count = 0; count < 4; count += 1) await signIn(ada)
  const whole = await world.ask(ada, 'GET', '/api/auth/sessions?page=1')
  expect(whole).toMatchObject({ nextCursor: null, page: 1, total: 5, totalPages: 1 })
  const seen: unknown[] = []
  for (let cursor = ''; ;) {
    const answer = await world.call('GET', `/api/auth/sessions?limit=2${cursor}`, { token: ada.token })
    expect([answer.headers.get('cache-control'), answer.headers.get('etag')]).toEqual([
      'no-store',
      expect.any(String),
    ])
    seen.push(...answer.body.items)
    if (answer.body.nextCursor === null) break
    expect(answer.headers.get('link')).toEndWith('; rel="next"')
    cursor = `&cursor=${answer.body.nextCursor}`
  }
  expect(seen).toEqual(whole.items)
})

test('the successor stays the same when the signing key changes in between', async () => {
  const ada = await world.register()
  const second = (await refresh(ada.session.refreshToken)).body.refreshToken
  await using rotated = await world.another({
    jwtKeys: [{ kid: 'k2', secret: 'another secret of at least 32 bytes' }, ...world.config.jwtKeys],
  })
  expect((await refreshAt(rotated.url, ada.session.refreshToken)).body.refreshToken).toBe(second)
})

test.each([
  ['unknown', 'A'.repeat(43)],
  ['of another kind', 'x.y.z'],
])('a refresh token that is %s is 401', async (_what, token) => {
  expect(await refresh(token)).toMatchObject({ status: 401, body: { code: 'unauthenticated' } })
})

test('an access token is no refresh token, and the reverse', async () => {
  const ada = await world.register()
  expect((await refresh(ada.token)).status).toBe(401)
  expect((await world.call('GET', '/api/users/me', { token: ada.session.refreshToken })).status).toBe(401)
})

test('a session that was not refreshed for 7 days has ended', async () => {
  const ada = await world.register()
  await world.server.deps.db.transact(
    (tx) => tx`update sessions set expires_at = now() where user_id = ${ada.id}`,
  )
  expect((await refresh(ada.session.refreshToken)).status).toBe(401)
  expect(await statusesOf(ada.token)).toEqual([401, 401])
})

test('logging out with the access token ends this session alone, on every server', async () => {
  const ada = await world.register()
  const elsewhere = await signIn(ada)
  await expectEnd(ada.token, async () => {
    const { status, headers } = await world.call('POST', '/api/auth/logout', { token: ada.token })
    expect(status).toBe(204)
    expect(headers.get('set-cookie')).toContain('Max-Age=0')
  })
  expect((await refresh(ada.session.refreshToken)).status).toBe(401)
  expect(await statusesOf(elsewhere.accessToken)).toEqual([200, 200])
  expect(await controlsOf(ada)).toEqual([{ kind: 'session', sessionId: expect.any(String) }])
})

test('logging out with the refresh token does the same, and again is fine', async () => {
  const ada = await world.register()
  const body = { refreshToken: ada.session.refreshToken }
  await expectEnd(ada.token, () => world.call('POST', '/api/auth/logout', { body }))
  const entries = await world.entryCount()
  expect((await world.call('POST', '/api/auth/logout', { body })).status).toBe(204)
  expect(await world.entryCount()).toBe(entries)
})

test('logging out without credentials is 401', async () => {
  expect((await world.call('POST', '/api/auth/logout')).status).toBe(401)
})

test('logging out everywhere ends all sessions', async () => {
  const ada = await world.register()
  const elsewhere = await signIn(ada)
  await expectEnd(elsewhere.accessToken, () =>
    world.call('POST', '/api/auth/logout-all', { token: ada.token }),
  )
  expect(await statusesOf(ada.token)).toEqual([401, 401])
  expect(await controlsOf(ada)).toEqual([{ kind: 'sessions', except: null }])
})

test('a new password ends the other sessions and keeps this one', async () => {
  const ada = await world.register()
  const elsewhere = await signIn(ada)
  await expectEnd(elsewhere.accessToken, async () => {
    const { status } = await world.call('PUT', '/api/users/me/password', {
      token: ada.token,
      body: { currentPassword: testPassword, password: 'another horse battery' },
    })
    expect(status).toBe(200)
  })
  expect(await statusesOf(ada.token)).toEqual([200, 200])
  expect((await refresh(elsewhere.refreshToken)).status).toBe(401)
  expect((await refresh(ada.session.refreshToken)).status).toBe(200)
})

test('a disabled user is refused everywhere, its refresh too', async () => {
  const ada = await world.register()
  await expectEnd(ada.token, () =>
    write(world.server.deps, systemWrite, async (tx) => {
      await tx`update users set disabled_at = now() where id = ${ada.id}`
      return { value: null, entries: [controlEntry(ada.id, { kind: 'disabled' })] }
    }),
  )
  const { body } = await world.call('GET', '/api/users/me', { token: ada.token })
  expect(body).toMatchObject({ code: 'unauthenticated', reason: 'revoked' })
  expect((await refresh(ada.session.refreshToken)).status).toBe(401)
})

test('the list shows each live session, and ends any of them', async () => {
  const ada = await world.register()
  await world.call('POST', '/api/auth/login', {
    body: { email: ada.email, password: testPassword },
    headers: { 'User-Agent': 'Lynx/2.9' },
  })
  const list = async (): Promise<Session[]> =>
    (await world.call('GET', '/api/auth/sessions', { token: ada.token })).body.items
  const sessions = await list()
  expect(sessions).toHaveLength(2)
  expect(new Set(sessions.map((session) => session.current))).toEqual(new Set([false, true]))
  const lynx = sessions.find((session) => session.userAgent === 'Lynx/2.9')!
  expect(lynx).toEqual({
    id: expect.any(String),
    userAgent: 'Lynx/2.9',
    ip: '127.0.0.1',
    createdAt: expect.any(String),
    lastSeenAt: expect.any(String),
    current: false,
  })

  const stranger = await world.register()
  const path = `/api/auth/sessions/${lynx.id}`
  expect((await world.call('DELETE', path, { token: stranger.token })).status).toBe(404)
  expect(await list()).toHaveLength(2)
  expect((await world.call('DELETE', path, { token: ada.token })).status).toBe(204)
  expect((await world.call('DELETE', path, { token: ada.token })).status).toBe(404)
  expect(await list()).toHaveLength(1)
  expect(await controlsOf(ada)).toEqual([{ kind: 'session', sessionId: lynx.id }])
  expect(await controlsOf(stranger)).toEqual([])
})

test('the cookie is only for /api/auth, and Secure but on plain HTTP to a private address in development', async () => {
  const { headers } = await world.call('POST', '/api/auth/login', {
    body: { email: (await world.register()).email, password: testPassword },
  })
  const cookie = headers.get('set-cookie')!
  expect(cookie).toMatch(
    /^tide_refresh=[\w-]{43}; Path=\/api\/auth; Max-Age=604800; HttpOnly; SameSite=Strict$/,
  )
  const { headers: remote } = await world.call('POST', '/api/auth/login', {
    body: { email: (await world.register()).email, password: testPassword },
    headers: { Host: 'tasks.example.com' },
  })
  expect(remote.get('set-cookie')).toContain('; HttpOnly; Secure; SameSite=Strict')
  await using strict = await world.another({ env: 'production' })
  const { email } = await world.register()
  for (const [url, Host, isSecure] of [
    [world.url, '192.168.1.20:3000', false],
    [world.url, 'laptop.local:3000', false],
    [strict.url, '192.168.1.20:3000', true],
    [strict.url, 'localhost:3000', true],
  ] as const) {
    const response = await fetch(`${url}/api/auth/login`, {
      method: 'POST',
      headers: { Host, 'Content-Type': 'application/json' },
      body: JSON.stringify({ email, password: testPassword }),
    })
    expect([Host, response.headers.get('set-cookie')?.includes('; Secure')]).toEqual([Host, isSecure])
  }
})

const own = () => new URL(world.url).origin

test.each([
  ['from the own origin', () => ({ Origin: own() }), 200],
  ['from an allowed origin', () => ({ Origin: 'https://tasks.example.com' }), 200],
  ['from an app in a web view', () => ({ Origin: 'capacitor://localhost' }), 200],
  ['from a page on another localhost port, in development', () => ({ Origin: 'http://localhost:5173' }), 200],
  ['from a page in the own network, in development', () => ({ Origin: 'http://192.168.1.20:3000' }), 200],
  ['from the http twin of an allowed origin', () => ({ Origin: 'http://tasks.example.com' }), 403],
  ['from a foreign origin', () => ({ Origin: 'https://evil.example' }), 403],
  ['from the origin null', () => ({ Origin: 'null' }), 403],
  ['without an origin', () => ({}), 403],
  ['across sites', () => ({ Origin: 'https://tasks.example.com', 'Sec-Fetch-Site': 'cross-site' }), 403],
])('a refresh by cookie %s', async (_what, headersOf, status) => {
  const ada = await world.register()
  const headers = { Cookie: `tide_refresh=${ada.session.refreshToken}`, ...headersOf() }
  const answer = await world.call('POST', '/api/auth/refresh', { headers })
  expect(answer.status).toBe(status)
  const logout = await world.call('POST', '/api/auth/logout', { headers })
  expect(logout.status).toBe(status === 200 ? 204 : 403)
  if (status === 403) {
    expect(answer.body.code).toBe('origin_refused')
    expect((await refresh(ada.session.refreshToken)).status).toBe(200)
  }
})
