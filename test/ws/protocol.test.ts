// Frames and their answers: subscriptions, positions, and everything that is not a valid frame.
import { afterAll, afterEach, beforeAll, expect, test } from 'bun:test'
import { ensureEpoch } from '../../src/db/log/epochs.ts'
import { readHead } from '../../src/db/log/feed.ts'
import type { RunningServer } from '../../src/app/compose.ts'
import { shardOf, userScope, type Scope } from '../../src/model/scope.ts'
import { formatCursor } from '../../src/model/event.ts'
import { randomOf, seed } from '../changelog/seed.ts'
import { eventually } from '../support/eventually.ts'
import { openRaw, opcodes } from '../support/raw-socket.ts'
import { openSocket, type Frame, type TestSocket } from '../support/socket.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { addMember, untilCaughtUp, entry, makeProject, appendEntries, appendMany } from './log-writes.ts'

let world: World
/** Sends positions every 60 ms. */
let frequent: RunningServer
let anna: Person

beforeAll(async () => {
  world = await startWorld()
  frequent = await world.another({}, { sweepIntervalMs: 20, positionIntervalMs: 60 })
  anna = await world.register()
}, 30_000)
afterAll(async () => {
  await frequent[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})
afterEach(() =>
  eventually(() => {
    expect([world.server.deps.follower.scopeCount, frequent.deps.follower.scopeCount]).toEqual([0, 0])
  }),
)

const openAnna = (url?: string): Promise<TestSocket> => world.socket(anna, url)

const subscribe = async (socket: TestSocket, scope: string, cursor?: string): Promise<Frame> => {
  socket.send({ t: 'sub', rid: scope, scope, ...(cursor !== undefined && { cursor }) })
  return socket.take((frame) => frame.rid === scope)
}

const framesOf = async (scope: `project:${string}` | `user:${string}`): Promise<Frame[]> =>
  (await world.entries(scope)).flatMap(({ frame }) => (frame === null ? [] : [JSON.parse(frame) as Frame]))

test('a fresh subscription starts at the head and receives what follows exactly as the log has it (P-SUB-1, P-EVT-1)', async () => {
  const { scope } = await makeProject(world, anna)
  await using socket = await openAnna()
  const answer = await subscribe(socket, scope)
  const before = await framesOf(scope)
  // The head is that of the shard: another scope may have written last.
  const shard = shardOf(scope)
  const { epoch, seq } = await world.server.deps.db.read((sql) => readHead(sql, shard))
  expect(answer).toEqual({
    t: 'sub',
    rid: scope,
    scope,
    mode: 'fresh',
    cursor: formatCursor({ epoch, shard, seq }),
    replay: 0,
  })
  expect(await socket.take('synced')).toEqual({ t: 'synced', scope, cursor: answer.cursor })
  await appendMany(world.server.deps, scope, 250)
  const after = (await framesOf(scope)).slice(before.length)
  await eventually(() => expect(socket.frames.filter(({ t }) => t === 'event')).toEqual(after))
})

test('a subscription with a cursor replays what was missed, with its count, and continues live (P-SUB-2)', async () => {
  const { scope } = await makeProject(world, anna)
  const [created] = await framesOf(scope)
  await appendMany(world.server.deps, scope, 7)
  await using socket = await openAnna()
  const answer = await subscribe(socket, scope, created!.cursor)
  expect(answer).toEqual({ t: 'sub', rid: scope, scope, mode: 'resume', cursor: created!.cursor, replay: 7 })
  const { cursor } = await socket.take('synced')
  expect(socket.frames.map(({ t }) => t)).toEqual([
    'welcome',
    'sub',
    ...Array<string>(7).fill('event'),
    'synced',
  ])
  expect(cursor).toBe((await framesOf(scope)).at(-1)!.cursor)
  await appendEntries(world.server.deps, entry(scope))
  await socket.take((frame) => frame.t === 'event' && frame.cursor !== cursor && frame.data.n === undefined)
})

test("a person's own scope may be called user:me, and is named in frames (P-SUB-4)", async () => {
  await using socket = await openAnna()
  const answer = await subscribe(socket, 'user:me')
  expect(answer).toMatchObject({ t: 'sub', scope: userScope(anna.id) })
  await appendEntries(world.server.deps, entry(userScope(anna.id)))
  expect((await socket.take('event')).scope).toBe(userScope(anna.id))
})

test('a second subscription of a scope takes the place of the first (P-SUB-5)', async () => {
  const { scope } = await makeProject(world, anna)
  await using socket = await openAnna(frequent.url)
  const { cursor } = await subscribe(socket, scope)
  await appendMany(world.server.deps, scope, 3)
  await eventually(() => expect(socket.frames.filter(({ t }) => t === 'event')).toHaveLength(3))
  expect((await subscribe(socket, scope, cursor)).replay).toBe(3)
  await appendEntries(world.server.deps, entry(scope, { last: true }))
  await socket.take((frame) => frame.t === 'event' && frame.data.last)
  expect(socket.frames.filter(({ t }) => t === 'event')).toHaveLength(7)
  await socket.take((frame) => frame.t === 'position' && frame.count === 4)
})

test('after unsub nothing of the scope is received, and leaving a scope without a subscription is ok (P-SUB-6)', async () => {
  const { scope } = await makeProject(world, anna)
  const other = await makeProject(world, anna)
  await using socket = await openAnna()
  await subscribe(socket, scope)
  await subscribe(socket, other.scope)
  for (const rid of [1, 2]) {
    socket.send({ t: 'unsub', rid, scope })
    expect(await socket.take('ok')).toEqual({ t: 'ok', rid })
  }
  await appendEntries(world.server.deps, entry(scope), entry(other.scope))
  expect((await socket.take('event')).scope).toBe(other.scope)
  await untilCaughtUp(world.server)
  expect(socket.frames.filter(({ t }) => t === 'event')).toHaveLength(1)
})

test('a scope the user may not read is answered like one that does not exist (P-SUB-7)', async () => {
  const bert = await world.register()
  const foreign = await makeProject(world, bert)
  await using socket = await openAnna()
  const scopes = [
    foreign.scope,
    userScope(bert.id),
    `project:${bert.inboxId}`,
    `project:${crypto.randomUUID()}`,
  ]
  for (const scope of scopes)
    expect(await subscribe(socket, scope)).toEqual({ t: 'error', rid: scope, code: 'not_found' })
})

test('a malformed scope or a cursor of another shard is a bad frame (P-SUB-8)', async () => {
  const { scope } = await makeProject(world, anna)
  const { cursor } = (await framesOf(scope))[0]!
  const [epoch, shard, seq] = cursor.split('.')
  await using socket = await openAnna()
  for (const bad of ['project:', 'task:1', 'user', 'project:me', `${scope}:1`, scope.toUpperCase()])
    expect(await subscribe(socket, bad)).toMatchObject({ t: 'error', code: 'bad_frame' })
  for (const bad of [
    'x',
    '',
    `${epoch}.${(Number(shard) + 1) % 16}.${seq}`,
    `${epoch}.16.1`,
    `${epoch}.${shard}.-1`,
    `${cursor} `,
  ])
    expect(await subscribe(socket, scope, bad)).toMatchObject({ t: 'error', code: 'bad_frame' })
})

test('a connection holds 64 subscriptions (P-SUB-9)', async () => {
  const scopes = Array.from({ length: 65 }, () => `project:${Bun.randomUUIDv7()}` as const)
  const { deps } = world.server
  await deps.db.transact(async (tx) => {
    for (const scope of scopes) {
      const id = scope.slice('project:'.length)
      await tx`insert into projects (id, name) values (${id}, 'Tide')`
      await tx`insert into members (project_id, user_id, role) values (${id}, ${anna.id}, 'owner')`
    }
  })
  await using socket = await openAnna(frequent.url)
  for (const [index, scope] of scopes.entries()) {
    // The limit is 40 frames at once, then 20 a second. Positions of one scope are 60 ms apart: time for one frame.
    if (index >= 35) await socket.take((frame) => frame.t === 'position' && frame.scope === scopes[0])
    const answer = await subscribe(socket, scope)
    expect([answer.t, answer.code]).toEqual(index < 64 ? ['sub', undefined] : ['error', 'limit'])
  }
})

test('positions name the cursor up to which everything was sent and the number of events sent (P-SUB-10)', async () => {
  const { scope } = await makeProject(world, anna)
  await using socket = await openAnna(frequent.url)
  const { cursor } = await subscribe(socket, scope)
  expect(await socket.take('position')).toEqual({ t: 'position', scope, cursor, count: 0 })
  await appendMany(world.server.deps, scope, 5)
  const last = (await framesOf(scope)).at(-1)!
  const position = await socket.take((frame) => frame.t === 'position' && frame.count === 5)
  expect(position.cursor).toBe(last.cursor)
  expect(socket.frames.filter(({ t }) => t === 'event')).toHaveLength(5)
})

test('a quiet entry or one that is only a control is neither sent nor counted (P-SUB-11)', async () => {
  const { scope } = await makeProject(world, anna)
  const [created] = await framesOf(scope)
  const { deps } = world.server
  await appendEntries(deps, ...Array.from({ length: 201 }, () => entry(scope)))
  await appendEntries(deps, { scope, type: 'control', id: null, actorId: null })
  await using socket = await openAnna(frequent.url)
  expect((await subscribe(socket, scope, created!.cursor)).replay).toBe(1)
  await socket.take('synced')
  expect((await socket.take('event')).type).toBe('scope.refetch')
  await socket.take((frame) => frame.t === 'position' && frame.count === 1)
})

test('ping is answered with pong (P-LIV-1)', async () => {
  await using socket = await openAnna()
  socket.send({ t: 'ping', ts: 1763650000000 })
  expect(await socket.take('pong')).toEqual({ t: 'pong', ts: 1763650000000, now: expect.any(Number) })
})

test.each([
  ['not JSON', '{', { t: 'error', code: 'bad_frame' }],
  ['an empty text', '', { t: 'error', code: 'bad_frame' }],
  ['an array', '[{"t":"ping"}]', { t: 'error', code: 'bad_frame' }],
  ['null', 'null', { t: 'error', code: 'bad_frame' }],
  ['a number', '12', { t: 'error', code: 'bad_frame' }],
  ['no type', '{"rid":1}', { t: 'error', rid: 1, code: 'bad_frame' }],
  ['a type that is no text', '{"t":5,"rid":"a"}', { t: 'error', rid: 'a', code: 'bad_frame' }],
  ['an unknown type', '{"t":"drop","rid":2}', { t: 'error', rid: 2, code: 'unknown_type' }],
  ['a type of every object', '{"t":"constructor","rid":2}', { t: 'error', rid: 2, code: 'unknown_type' }],
  ['a sub without rid', '{"t":"sub","scope":"user:me"}', { t: 'error', code: 'bad_frame' }],
  ['a sub without scope', '{"t":"sub","rid":3}', { t: 'error', rid: 3, code: 'bad_frame' }],
  ['a scope that is no text', '{"t":"sub","rid":3,"scope":{}}', { t: 'error', rid: 3, code: 'bad_frame' }],
  [
    'a cursor that is no text',
    '{"t":"sub","rid":3,"scope":"user:me","cursor":7}',
    { t: 'error', rid: 3, code: 'bad_frame' },
  ],
  ['a huge rid', `{"t":"drop","rid":"${'r'.repeat(65)}"}`, { t: 'error', code: 'unknown_type' }],
  ['a rid of a fraction', '{"t":"drop","rid":1.5}', { t: 'error', code: 'unknown_type' }],
  ['an auth without token', '{"t":"auth","rid":4}', { t: 'error', rid: 4, code: 'bad_frame' }],
  ['an auth with an empty token', '{"t":"auth","rid":4,"token":""}', { t: 'error', rid: 4, code: 'token' }],
  ['a second hello', '{"t":"hello","token":"secret"}', { t: 'error', code: 'bad_frame' }],
  [
    'deep nesting',
    `{"t":"drop","x":${'['.repeat(20_000)}${']'.repeat(20_000)}}`,
    { t: 'error', code: 'unknown_type' },
  ],
  ['__proto__', '{"__proto__":{"t":"ping"},"rid":9}', { t: 'error', rid: 9, code: 'bad_frame' }],
  ['an unsub of nonsense', '{"t":"unsub","rid":5,"scope":"x"}', { t: 'error', rid: 5, code: 'bad_frame' }],
])(
  '%s is answered without an echo and leaves the socket open (P-FRM-1, P-FRM-2, P-FRM-3)',
  async (_what, text, answer) => {
    await using socket = await openAnna()
    socket.send(text)
    expect(await socket.take('error')).toEqual(answer as Frame)
    socket.send({ t: 'ping', rid: 1, more: { of: 'nothing' } })
    await socket.take('pong')
    expect(socket.frames).toHaveLength(3)
  },
)

test.each([
  ['a binary frame', opcodes.binary, Buffer.from('{"t":"ping"}'), 4500],
  ['text that is not UTF-8', opcodes.text, Buffer.from([0x22, 0xc3, 0x28, 0x22]), 1007],
])('%s closes the socket (P-FRM-4)', async (_what, opcode, payload, code) => {
  using raw = await openRaw(world.server.port, { token: anna.token })
  await eventually(() => expect(raw.texts()).toHaveLength(1))
  raw.sendFrame(opcode, payload)
  await eventually(() => expect(raw.closeCode()).toBe(code))
})

test('a frame in broken framing ends the connection and nothing else (P-FRM-5)', async () => {
  using raw = await openRaw(world.server.port, { token: anna.token })
  await using other = await openAnna()
  await eventually(() => expect(raw.texts()).toHaveLength(1))
  raw.sendBytes(Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]))
  await eventually(() => expect(raw.isOver()).toBe(true))
  other.send({ t: 'ping' })
  await other.take('pong')
})

test('a client above the frame rate receives three errors, with its rid, and is then closed with 4429 (P-LIM-1)', async () => {
  await using socket = await openAnna()
  for (let n = 0; n < 50; n += 1) socket.send({ t: 'unsub', rid: n, scope: 'user:me' })
  expect(await socket.closed()).toBe(4429)
  const errors = socket.frames.filter(({ t }) => t === 'error')
  expect(errors.map(({ code, retryAfter }) => [code, retryAfter])).toEqual([1, 2, 3].map(() => ['rate', 1]))
  expect(errors.every(({ rid }) => rid >= 40)).toBe(true)
})

test('the byte rate is limited as well, in few frames (P-LIM-1)', async () => {
  await using socket = await openAnna()
  const pad = 'x'.repeat(40_000)
  for (let n = 0; n < 5; n += 1) socket.send({ t: 'ping', pad })
  expect(await socket.closed()).toBe(4429)
})

test('WebSocket pings count as frames (P-LIM-1)', async () => {
  using raw = await openRaw(world.server.port, { token: anna.token })
  await eventually(() => expect(raw.texts()).toHaveLength(1))
  raw.sendFrame(opcodes.ping, Buffer.from('a'))
  await eventually(() => expect(raw.frames.at(-1)?.opcode).toBe(opcodes.pong))
  for (let n = 0; n < 60; n += 1) raw.sendFrame(opcodes.ping, Buffer.alloc(100))
  await eventually(() => expect(raw.closeCode()).toBe(4429))
})

test('a client that disconnects at any moment leaves no subscription behind', async () => {
  const random = randomOf(seed)
  const { scope } = await makeProject(world, anna)
  const { cursor } = (await framesOf(scope))[0]!
  await appendMany(world.server.deps, scope, 300)
  const person = await world.register()
  const come = async (): Promise<void> => {
    const token = random() < 0.8 ? anna.token : person.token
    using raw = await openRaw(world.server.port, { token })
    for (let n = 0; n < 4; n += 1) {
      raw.send({ t: 'sub', rid: n, scope: random() < 0.5 ? scope : 'user:me', cursor: n % 2 ? cursor : null })
      if (random() < 0.3) return // while it is being answered
    }
    if (random() < 0.5)
      await eventually(() => expect(raw.closeCode() !== null || raw.texts().length > 1).toBe(true))
    if (random() < 0.3) raw.sendFrame(opcodes.close, Buffer.from([0x03, 0xe8]))
  }
  for (let round = 0; round < 20; round += 1) await Promise.all(Array.from({ length: 15 }, come))
  await eventually(() => expect(world.server.deps.follower.scopeCount).toBe(0))
})

test('a bug while a frame is handled closes that socket with 4000 and no other (P-CLO-3)', async () => {
  await using own = await world.another()
  await using socket = await openAnna(own.url)
  await using other = await openAnna(own.url)
  Object.defineProperty(own.deps.follower, 'awaitEpoch', {
    value: () => Promise.reject(new TypeError('a bug')),
  })
  socket.send({ t: 'sub', rid: 1, scope: 'user:me' })
  expect(await socket.closed()).toBe(4000)
  expect(JSON.stringify(socket.frames)).not.toContain('a bug')
  other.send({ t: 'ping' })
  await other.take('pong')
})

test('a bug while an event is delivered closes its subscribers with 4000, and their cursors bring the event (P-CLO-3)', async () => {
  await using own = await world.another()
  const { scope } = await makeProject(world, anna)
  await using socket = await openAnna(own.url)
  await using other = await openAnna(own.url)
  const { cursor } = await subscribe(socket, scope)
  await subscribe(other, 'user:me')
  const entries = await world.entries(scope)
  const broken = { ...entries.at(-1)!, seq: entries.at(-1)!.seq + 1 }
  Object.defineProperty(broken, 'frame', {
    get() {
      throw new TypeError('a bug')
    },
  })
  own.deps.follower['hub'].publish([broken])
  expect(await socket.closed()).toBe(4000)
  other.send({ t: 'ping' })
  await other.take('pong')
  await appendEntries(world.server.deps, entry(scope, { after: 'it' }))
  await using again = await openAnna(own.url)
  await subscribe(again, scope, cursor)
  expect((await again.take('event')).data).toEqual({ after: 'it' })
})

test('a bug in a listener of all entries may have stopped any delivery: all sockets are closed and resume (P-CLO-3)', async () => {
  await using own = await world.another()
  const { scope } = await makeProject(world, anna)
  await using socket = await openAnna(own.url)
  const { cursor } = await subscribe(socket, scope)
  await using other = await openAnna(own.url)
  const leave = own.deps.follower.onControl(() => {
    throw new TypeError('a bug')
  })
  const revoked = { kind: 'revoke', userId: Bun.randomUUIDv7() } as const
  await appendEntries(
    world.server.deps,
    { ...entry(scope, { n: 1 }), control: revoked },
    entry(scope, { n: 2 }),
  )
  expect(await Promise.all([socket.closed(), other.closed()])).toEqual([4000, 4000])
  leave()
  await using again = await openAnna(own.url)
  await subscribe(again, scope, cursor)
  for (const n of [1, 2]) expect((await again.take('event')).data).toEqual({ n })
})

test('every subscriber of a deleted project receives the deletion, then the end of its access (P-REV-2)', async () => {
  const { id, scope } = await makeProject(world, anna)
  const bert = await world.register()
  await addMember(world, { id }, anna, bert)
  await using own = await openAnna()
  await using other = await openSocket(frequent.url, { token: bert.token })
  await Promise.all([subscribe(own, scope), subscribe(other, scope)])
  expect((await world.call('DELETE', `/api/projects/${id}`, { token: anna.token })).status).toBe(204)
  for (const socket of [own, other]) {
    const { cursor } = await socket.take((frame) => frame.type === 'project.deleted')
    expect(await socket.take('access')).toEqual({ t: 'access', scope, cursor, op: 'revoked' })
  }
  expect(await subscribe(own, scope)).toMatchObject({ t: 'error', code: 'not_found' })
})

test('a stopping server sends bye with the short reconnect window and closes with 1012 (P-CLO-2)', async () => {
  const own = await world.another()
  await using socket = await openAnna(own.url)
  await own[Symbol.asyncDispose]()
  expect(await socket.closed()).toBe(1012)
  expect(socket.frames.at(-1)).toEqual({ t: 'bye', code: 1012, reconnectAfter: [0, 500] })
})

test('a new epoch ends every subscription with resync, and the socket stays open (P-RES-2)', async () => {
  await using alone = await startWorld()
  const person = await alone.register()
  await using socket = await openSocket(alone.url, { token: person.token })
  const scopes = [userScope(person.id), `project:${person.inboxId}`]
  for (const scope of scopes) await subscribe(socket, scope)
  const { cursor } = await socket.take('synced')
  const { epoch } = await alone.server.deps.db.transact((tx) => ensureEpoch(tx, true))
  for (const _ of scopes) {
    const { scope, ...resync } = await socket.take('resync')
    const snapshot = scope.startsWith('user:')
      ? '/api/users/me/snapshot'
      : `/api/projects/${person.inboxId}/snapshot`
    expect(resync).toEqual({ t: 'resync', reason: 'epoch', snapshot })
  }
  expect(alone.server.deps.follower.scopeCount).toBe(0)
  expect(await subscribe(socket, scopes[0]!, cursor)).toMatchObject({ t: 'resync', reason: 'epoch' })
  expect((await subscribe(socket, scopes[0]!)).cursor).toStartWith(`${epoch}.`)
})

test('a snapshot read after a new epoch can be resumed from at once, without a second resync (P-RES-4)', async () => {
  await using alone = await startWorld()
  const { token, inboxId } = await alone.register()
  await using socket = await openSocket(alone.url, { token })
  const scope: Scope = `project:${inboxId}`
  const read = () => alone.call('GET', `/api/projects/${inboxId}/snapshot`, { token })
  for (let round = 0; round < 5; round += 1) {
    expect((await read()).status).toBe(200) // a read that could be shared with the next reader
    const { epoch } = await alone.server.deps.db.transact((tx) => ensureEpoch(tx, true))
    const { cursor } = (await read()).body
    expect(cursor).toStartWith(`${epoch}.`)
    expect(await subscribe(socket, scope, cursor)).toMatchObject({ t: 'sub', mode: 'resume', cursor })
  }
  expect(alone.server.deps.follower.stats.contiguityViolations).toBe(0)
})
