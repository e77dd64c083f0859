// Admission of sockets: the upgrade, the greeting, and every status and close code of a refusal.
import { afterAll, beforeAll, expect, setSystemTime, test } from 'bun:test'
import type { RunningServer } from '../../src/app/compose.ts'
import { controlEntry } from '../../src/domain/users/sessions.ts'
import { systemWrite, write } from '../../src/domain/write.ts'
import { AppError, unavailable } from '../../src/errors.ts'
import type { Control } from '../../src/model/event.ts'
import { closeReasonOf, identify } from '../../src/ws/identify.ts'
import { eventually } from '../support/eventually.ts'
import { openRaw, opcodes } from '../support/raw-socket.ts'
import { openSocket } from '../support/socket.ts'
import { blockEventLoop } from '../support/stall.ts'
import { startWorld, testPassword, type World } from '../support/world.ts'
import { signToken } from './token.ts'
import { untilCaughtUp } from './log-writes.ts'
import type { Identity, Authenticator } from '../../src/auth/authenticator.ts'

let world: World
/** The same with short timings. */
let hasty: RunningServer

beforeAll(async () => {
  world = await startWorld()
  hasty = await world.another(
    {},
    { sweepIntervalMs: 20, helloTimeoutMs: 150, tokenGraceMs: 200, silenceTimeoutMs: 400 },
  )
}, 30_000)
afterAll(async () => {
  await hasty[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

test('a token in the subprotocol opens the socket, and only tasktide.v1 is selected (P-CON-1, P-CON-2, P-CON-10)', async () => {
  const { id, token } = await world.register()
  using raw = await openRaw(world.server.port, { token })
  expect(raw.status).toBe(101)
  expect(raw.headers.get('sec-websocket-protocol')).toBe('tasktide.v1')
  const welcome = await eventually(() => raw.texts()[0] ?? Promise.reject(new Error('no frame')))
  expect(welcome).toEqual({
    t: 'welcome',
    connection: expect.any(String),
    user: id,
    expiresAt: expect.stringMatching(/^\d{4}-.*Z$/),
    heartbeat: { ping: 25_000, position: 15_000, dead: 40_000 },
    limits: expect.objectContaining({ subscriptions: 64, frameBytes: 65_536 }),
  })
})

test('a token in the Authorization header opens the socket (P-CON-2)', async () => {
  const { id, token } = await world.register()
  await using socket = await openSocket(world.url, { headers: { Authorization: `Bearer ${token}` } })
  expect((await socket.take('welcome')).user).toBe(id)
})

test('a token in hello opens the socket (P-CON-2)', async () => {
  const { id, token } = await world.register()
  await using socket = await openSocket(world.url)
  socket.send({ t: 'hello', token })
  expect((await socket.take('welcome')).user).toBe(id)
})

test.each([
  ['a malformed token', () => 'nonsense', 4401],
  ['an empty token', () => '', 4401],
  ['a token far too long', () => 'x'.repeat(5_000), 4401],
  [
    'a token signed with another secret',
    () => signToken(world, {}, 'another-secret-that-is-32-bytes-long'),
    4401,
  ],
  [
    'an expired token',
    async () => signToken(world, { person: await world.register(), expiresInMs: -60_000 }),
    4401,
  ],
  ['a token of a session that has ended', async () => endedToken(), 4403],
])('%s is accepted and then closed, in subprotocol and hello (P-CON-4)', async (_what, tokenOf, code) => {
  const token = await tokenOf()
  await using offered = await openSocket(world.url, { token })
  expect(await offered.closed()).toBe(code)
  expect(offered.frames).toEqual([])
  await using greeting = await openSocket(world.url)
  greeting.send({ t: 'hello', token })
  expect(await greeting.closed()).toBe(code)
  expect(greeting.frames).toEqual([])
})

const endedToken = async (): Promise<string> => {
  const { token } = await world.register()
  await world.call('POST', '/api/auth/logout-all', { token })
  await untilCaughtUp(world.server) // until its follower has the entry, the server takes the token for valid
  return token
}

test('a bad token in a header is refused with 401 before the upgrade (P-CON-3)', async () => {
  for (const authorization of ['Bearer nonsense', 'Basic abc', `Bearer ${await endedToken()}`]) {
    using raw = await openRaw(world.server.port, { headers: { Authorization: authorization } })
    expect(raw.status).toBe(401)
    expect(raw.headers.get('content-type')).toStartWith('application/problem+json')
  }
})

test('a foreign Origin is refused with 403 before the upgrade, whatever the token (P-CON-7)', async () => {
  const { token } = await world.register()
  await using strict = await world.another({ env: 'production' })
  for (const origin of [
    'https://evil.example',
    'null',
    `http://127.0.0.1:${strict.port + 1}`,
    strict.url.replace('http:', 'https:'),
    'https://',
  ]) {
    using raw = await openRaw(strict.port, { token, headers: { Origin: origin } })
    expect(raw.status).toBe(403)
  }
  using own = await openRaw(strict.port, { token, headers: { Origin: strict.url } })
  expect(own.status).toBe(101)
})

test('a listed app in a web view may connect, and in development any page of the own network (P-CON-7)', async () => {
  const { token } = await world.register()
  await using strict = await world.another({ env: 'production', allowedOrigins: ['tauri://localhost'] })
  const statusOf = async (port: number, origin: string) => {
    using raw = await openRaw(port, { token, headers: { Origin: origin } })
    return raw.status
  }
  expect(await statusOf(strict.port, 'tauri://localhost')).toBe(101)
  for (const origin of ['http://localhost:5173', 'http://192.168.1.20:3000']) {
    expect(await statusOf(strict.port, origin)).toBe(403)
    expect(await statusOf(world.server.port, origin)).toBe(101)
  }
})

test.each(['wss', 'https', 'WSS', 'http, wss', ' wss '])(
  'a page behind a trusted proxy that sends X-Forwarded-Proto: %s is of the own origin (P-CON-7)',
  async (proto) => {
    const { token } = await world.register()
    await using proxied = await world.another({ env: 'production', trustedProxies: 1 })
    const statusOf = async (origin: string) => {
      using raw = await openRaw(proxied.port, {
        token,
        headers: { Origin: origin, 'X-Forwarded-Proto': proto },
      })
      return raw.status
    }
    expect(await statusOf(proxied.url.replace('http:', 'https:'))).toBe(101)
    expect(await statusOf(proxied.url)).toBe(403)
  },
)

test.each([
  ['without a subprotocol', null, 4510],
  ['with only a token', ['jwt.abc'], 4510],
  ['with a foreign subprotocol', ['graphql-ws'], 4510],
  ['with another version', ['tasktide.v2', 'jwt.abc'], 4505],
])('a socket %s is closed (P-CON-8)', async (_what, protocols, code) => {
  using raw = await openRaw(world.server.port, { protocols })
  expect(raw.status).toBe(101)
  await eventually(() => expect(raw.closeCode()).toBe(code))
})

test('an offered token is never sent back, whatever else is offered (P-CON-8)', async () => {
  const { token } = await world.register()
  for (const [protocols, selected] of [
    [[`jwt.${token}`], null],
    [[`JWT.${token}`], null],
    [[`jwt.${token}`, 'jwt.other'], null],
    [[token], null],
    [[`jwt.${token}`, 'graphql-ws'], 'graphql-ws'],
    [[`jwt.${token}`, 'tasktide.v2'], 'tasktide.v2'],
    [[`jwt.${token}`, 'tasktide.v1'], 'tasktide.v1'],
  ] as const) {
    using raw = await openRaw(world.server.port, { protocols: [...protocols] })
    expect(raw.status).toBe(101)
    expect(raw.headers.get('sec-websocket-protocol')).toBe(selected)
    if (selected !== 'tasktide.v1')
      await eventually(() => expect(raw.closeCode()).toBe(selected === 'tasktide.v2' ? 4505 : 4510))
    expect(
      JSON.stringify([...raw.headers, raw.frames.map(({ payload }) => payload.toString())]),
    ).not.toContain(token.slice(0, 20))
  }
})

test('a plain request for the socket is 400 (P-CON-9)', async () => {
  const { status, body } = await world.call('GET', '/api/ws')
  expect([status, body.code]).toEqual([400, 'bad_request'])
})

test('a socket without hello in time is closed with 4012 (P-CON-5)', async () => {
  await using socket = await openSocket(hasty.url)
  expect(await socket.closed()).toBe(4012)
})

test('a hello in time is welcomed although its look-up ends after the time (P-CON-5)', async () => {
  const { id, token } = await world.register()
  await using own = await world.another(
    {},
    { sweepIntervalMs: 20, helloTimeoutMs: 100, silenceTimeoutMs: 30_000 },
  )
  const { authenticator } = own.deps
  const authenticate = authenticator.authenticate.bind(authenticator)
  const late = Promise.withResolvers<void>()
  authenticator.authenticate = async (given) => {
    await late.promise
    return authenticate(given)
  }
  await using socket = await openSocket(own.url)
  socket.send({ t: 'hello', token })
  await using ungreeted = await openSocket(own.url)
  expect(await ungreeted.closed()).toBe(4012) // the time of the other, which is older, is over too
  late.resolve()
  expect((await socket.take('welcome')).user).toBe(id)
})

test('an auth that cannot be looked up now is to be sent again, and the old token stays', async () => {
  const { token } = await world.register()
  await using own = await world.another()
  await using socket = await world.socket({ token }, own.url)
  const { authenticator } = own.deps
  const authenticate = authenticator.authenticate.bind(authenticator)
  authenticator.authenticate = () => Promise.reject(unavailable())
  socket.send({ t: 'auth', rid: 1, token })
  expect(await socket.take('error')).toEqual({ t: 'error', rid: 1, code: 'rate', retryAfter: 1 })
  authenticator.authenticate = authenticate
  socket.send({ t: 'auth', rid: 2, token })
  expect((await socket.take('ok')).rid).toBe(2)
})

test('a stall of the server closes neither a socket whose hello arrived during it nor one that pings', async () => {
  const { token } = await world.register()
  await using greeting = await openSocket(hasty.url)
  await using open = await openSocket(hasty.url, { token })
  await open.take('welcome')
  greeting.send({ t: 'hello', token })
  open.send({ t: 'ping' })
  blockEventLoop(1_000)
  await greeting.take('welcome')
  await open.take('pong')
})

test('any first frame but hello is a protocol violation (P-CON-6)', async () => {
  for (const frame of [{ t: 'ping' }, 'nonsense', { t: 'hello' }]) {
    await using socket = await openSocket(world.url)
    socket.send(frame)
    expect(await socket.closed()).toBe(4500)
  }
})

test('a token that expires closes the socket with 4401 after the grace, unless it is renewed (P-TOK-1, P-TOK-2)', async () => {
  const person = await world.register()
  const token = await signToken(world, { person, expiresInMs: 1_500 })
  await using lapsing = await openSocket(hasty.url, { token })
  await using renewed = await world.socket({ token }, hasty.url)
  renewed.send({ t: 'auth', rid: 'r', token: person.token })
  expect(await renewed.take('ok')).toEqual({ t: 'ok', rid: 'r' })
  const pinging = setInterval(() => {
    lapsing.send({ t: 'ping' })
    renewed.send({ t: 'ping' })
  }, 150)
  expect(await lapsing.closed(5_000)).toBe(4401)
  const { expiresAt } = await lapsing.take('welcome')
  expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(expiresAt) + 200)
  renewed.send({ t: 'ping', ts: 1 })
  await renewed.take((frame) => frame.t === 'pong' && frame.ts === 1)
  clearInterval(pinging)
})

test('auth accepts only a token of the same user (P-TOK-1)', async () => {
  const { person, other } = await world.people('person', 'other')
  await using socket = await openSocket(world.url, { token: person.token })
  for (const token of [other.token, 'nonsense', await endedToken()]) {
    socket.send({ t: 'auth', rid: 1, token })
    expect(await socket.take('error')).toEqual({ t: 'error', rid: 1, code: 'token' })
  }
  socket.send({ t: 'ping', ts: 5 })
  await socket.take('pong')
})

test('a silent peer is disconnected (P-LIV-2)', async () => {
  const { token } = await world.register()
  await using socket = await openSocket(hasty.url, { token })
  expect(await socket.closed()).toBe(1006)
})

test('setting the clock closes and refuses no connection', async () => {
  const { token } = await world.register()
  await using own = await world.another(
    {},
    { sweepIntervalMs: 20, helloTimeoutMs: 100, silenceTimeoutMs: 30_000, positionIntervalMs: 30_000 },
  )
  await using socket = await world.socket({ token }, own.url)
  const minutes = 60_000
  try {
    for (const jump of [10 * minutes, -10 * minutes]) {
      setSystemTime(new Date(Date.now() + jump))
      socket.send({ t: 'ping', ts: jump })
      await socket.take((frame) => frame.t === 'pong' && frame.ts === jump)
      // A socket that never greets is closed after 100 ms: five sweeps have passed by then.
      await using ungreeted = await openSocket(own.url)
      expect(await ungreeted.closed()).toBe(4012)
      socket.send({ t: 'ping', ts: jump + 1 })
      await socket.take((frame) => frame.t === 'pong' && frame.ts === jump + 1)
    }
  } finally {
    setSystemTime()
  }
})

test('logging out closes the sockets of that session with 4403, here and elsewhere (P-TOK-3)', async () => {
  const person = await world.register()
  const other = await signIn(person.email)
  await using here = await world.socket(person)
  await using elsewhere = await world.socket(person, hasty.url)
  await using kept = await world.socket({ token: other })
  const { status } = await world.call('POST', '/api/auth/logout', {
    headers: { Origin: world.url },
    body: { refreshToken: person.session.refreshToken },
  })
  expect(status).toBe(204)
  expect(await here.closed(1_000)).toBe(4403)
  expect(await elsewhere.closed(1_000)).toBe(4403)
  kept.send({ t: 'ping' })
  await kept.take('pong')
})

const signIn = async (email: string): Promise<string> => {
  const { body } = await world.call('POST', '/api/auth/login', { body: { email, password: testPassword } })
  return body.accessToken
}

test('logging out everywhere closes every socket with 4403 (P-TOK-3)', async () => {
  const person = await world.register()
  await using first = await world.socket(person)
  await using second = await world.socket({ token: await signIn(person.email) }, hasty.url)
  await world.call('POST', '/api/auth/logout-all', { token: person.token })
  expect(await first.closed(1_000)).toBe(4403)
  expect(await second.closed(1_000)).toBe(4403)
})

test('changing the password closes the sockets of all other sessions with 4403 (P-TOK-3)', async () => {
  const person = await world.register()
  await using own = await world.socket(person)
  await using other = await world.socket({ token: await signIn(person.email) })
  const { status } = await world.call('PUT', '/api/users/me/password', {
    token: person.token,
    body: { currentPassword: testPassword, password: 'another horse battery' },
  })
  expect(status).toBeLessThan(300)
  expect(await other.closed(1_000)).toBe(4403)
  own.send({ t: 'ping' })
  await own.take('pong')
})

test('a new role closes the sockets with 4010, a disabled account with 4403 (P-TOK-3, P-TOK-4)', async () => {
  const person = await world.register()
  const order = (control: Control) =>
    write(world.server.deps, systemWrite, async () => ({
      value: null,
      entries: [controlEntry(person.id, control)],
    }))
  for (const [control, code] of [
    [{ kind: 'role' }, 4010],
    [{ kind: 'disabled' }, 4403],
  ] as const) {
    await using socket = await world.socket(person, hasty.url)
    await order(control)
    expect(await socket.closed(1_000)).toBe(code)
  }
})

test('a session that ends while its token is checked opens no socket', async () => {
  const { deps } = world.server
  const person = await world.register()
  const { token } = person
  const identity = await deps.authenticator.authenticate(token)
  let lookups = 0
  // The lookup is slow: the follower receives the end of the session before the lookup returns.
  const authenticator: Authenticator = {
    memoised: () => null,
    async authenticate() {
      lookups += 1
      if (lookups > 1) throw new AppError('unauthenticated', undefined, { extra: { reason: 'revoked' } })
      const received = Promise.withResolvers<void>()
      const leave = deps.follower.onControl(() => received.resolve())
      await write(deps, systemWrite, async () => ({
        value: null,
        entries: [controlEntry(person.id, { kind: 'sessions', except: null })],
      }))
      await received.promise
      leave()
      return identity
    },
  }
  const opened: Identity[] = []
  const attempt = identify({ ...deps, authenticator }, token, (known) => opened.push(known))
  expect(await attempt.catch(closeReasonOf)).toBe('revoked')
  expect([lookups, opened]).toEqual([2, []])
})

test('of too many sockets of one user the oldest is closed with 4409 (P-LIM-2)', async () => {
  const { token } = await world.register()
  await using stack = new AsyncDisposableStack()
  const sockets = []
  for (let n = 0; n < world.config.socketsPerUser + 1; n += 1) {
    sockets.push(stack.use(await world.socket({ token })))
  }
  expect(await sockets[0]!.closed()).toBe(4409)
  for (const socket of sockets.slice(1)) socket.send({ t: 'ping' })
  await Promise.all(sockets.slice(1).map((socket) => socket.take('pong')))
})

test('a full process answers 503, and accepts again once a socket has closed (P-CON-11)', async () => {
  const { token } = await world.register()
  await using full = await world.another({ maxConnections: 2 })
  const first = await world.socket({ token }, full.url)
  await using _second = await world.socket({ token }, full.url)
  using refused = await openRaw(full.port, { token })
  expect(refused.status).toBe(503)
  expect(refused.headers.get('retry-after')).toBe('5')
  await first[Symbol.asyncDispose]()
  await eventually(async () => {
    using raw = await openRaw(full.port, { token })
    expect(raw.status).toBe(101)
  })
  const crowd = await Promise.all(Array.from({ length: 20 }, () => openRaw(full.port, { token })))
  expect(crowd.filter(({ status }) => status === 101).length).toBeLessThanOrEqual(1)
  for (const raw of crowd) raw[Symbol.dispose]()
})

test('an address without valid credentials and a user who keeps connecting are rate limited (P-CON-11)', async () => {
  const { token } = await world.register()
  await using strict = await world.another({ rateLimit: true, upgradesPerMinute: 3 })
  for (let n = 0; n < 3; n += 1) await (await openSocket(strict.url, { token }))[Symbol.asyncDispose]()
  await using fourth = await openSocket(strict.url, { token })
  expect(await fourth.closed()).toBe(4429)
  await using greeting = await openSocket(strict.url)
  greeting.send({ t: 'hello', token })
  expect(await greeting.closed()).toBe(4429)
  const statuses: number[] = []
  for (let n = 0; n < 60; n += 1) {
    using raw = await openRaw(
      strict.port,
      n % 2 ? { headers: { Authorization: 'Bearer no' } } : { token: 'no' },
    )
    statuses.push(raw.status)
  }
  expect(statuses.slice(0, 59)).toEqual(Array.from({ length: 59 }, (_, n) => (n % 2 ? 401 : 101)))
  expect(statuses[59]).toBe(429)
  await using beside = await world.another({ rateLimit: true })
  for (const protocols of [null, ['tasktide.v1'], ['tasktide.v1', 'jwt.no']]) {
    using raw = await openRaw(beside.port, { protocols })
    expect([raw.status, Number(raw.headers.get('retry-after')) > 0]).toEqual([429, true])
    expect(raw.headers.get('ratelimit-policy')).toBe('"refused-upgrades";q=60;w=60')
    expect(raw.headers.get('ratelimit')).toMatch(/^"refused-upgrades";r=0;t=\d+$/)
  }
  await using _neighbour = await world.socket({ token }, beside.url)
})

test('an incomplete handshake is 400 (P-CON-9)', async () => {
  const { token } = await world.register()
  const response = await fetch(`${world.url}/api/ws`, {
    headers: { Upgrade: 'websocket', Connection: 'Upgrade', Authorization: `Bearer ${token}` },
  })
  expect(response.status).toBe(400)
})

test('a frame of 64 KiB is read, one byte more closes with 1009 (P-FRM-4)', async () => {
  const { token } = await world.register()
  using raw = await openRaw(world.server.port, { token })
  await eventually(() => expect(raw.texts()).toHaveLength(1))
  raw.sendFrame(
    opcodes.text,
    Buffer.from(JSON.stringify({ t: 'ping', ts: 1, pad: '' }).replace('""', `"${'x'.repeat(65_506)}"`)),
  )
  await eventually(() => expect(raw.texts()[1]?.t).toBe('pong'))
  raw.sendFrame(opcodes.text, Buffer.alloc(65_537, 0x78))
  await eventually(() => expect(raw.closeCode()).toBe(1009))
})
