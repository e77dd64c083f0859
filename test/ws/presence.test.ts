// Presence and signals over one process and several: delivered to users who may read the place, as long as they may,
// and to no others.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { RunningServer } from '../../src/app/compose.ts'
import { eventually } from '../support/eventually.ts'
import { startPacedLoad } from '../support/paced-load.ts'
import { openRaw } from '../support/raw-socket.ts'
import type { Frame, TestSocket } from '../support/socket.ts'
import { tcpProxy } from '../support/tcp-proxy.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { addMember, untilCaughtUp, makeProject, appendMany } from './log-writes.ts'

/** The rules of production with shorter times. */
const soon = {
  presenceCheckIntervalMs: 10,
  presenceDiffIntervalMs: 50,
  presenceLeaveDelayMs: 300,
  presenceAnnounceIntervalMs: 100,
  presenceTtlMs: 400,
}

let world: World
let first: RunningServer
let second: RunningServer
let anna: Person
let bert: Person

beforeAll(async () => {
  world = await startWorld()
  first = await world.another({}, soon)
  second = await world.another({}, soon)
  ;({ anna, bert } = await world.people('anna', 'bert'))
}, 30_000)
afterAll(async () => {
  for (const server of [second, first, world]) await server[Symbol.asyncDispose]()
})

const open = ({ url }: { url: string }, person: Person): Promise<TestSocket> => world.socket(person, url)

let rids = 0
const ask = async (socket: TestSocket, frame: object): Promise<Frame> => {
  const rid = (rids += 1)
  socket.send({ rid, ...frame })
  return socket.take((one) => one.rid === rid)
}

const watch = async (socket: TestSocket, key: string): Promise<void> => {
  expect(await ask(socket, { t: 'watch', key })).toMatchObject({ t: 'ok' })
}

const watching = async (server: RunningServer, person: Person, key: string): Promise<TestSocket> => {
  const socket = await open(server, person)
  await watch(socket, key)
  return socket
}

const sorted = (...people: Person[]): string[] => people.map(({ id }) => id).sort()

/** Waits for a presence frame that lists exactly these users. */
const sees = (socket: TestSocket, key: string, ...people: Person[]): Promise<Frame> =>
  seesWithin(5_000, socket, key, ...people)

const seesWithin = (
  timeoutMs: number,
  socket: TestSocket,
  key: string,
  ...people: Person[]
): Promise<Frame> =>
  socket.take(
    (frame) =>
      frame.t === 'presence' &&
      frame.key === key &&
      JSON.stringify([...(frame.users as string[])].sort()) === JSON.stringify(sorted(...people)),
    timeoutMs,
  )

const shared = async (): Promise<{ id: string; key: string }> => {
  const project = await makeProject(world, anna, { editor: bert })
  return { id: project.id, key: `project:${project.id}` }
}

const makeTask = async (projectId: string, { token }: Person = anna): Promise<string> => {
  const { status, body } = await world.call('POST', '/api/tasks', { token, body: { title: 'T', projectId } })
  expect(status).toBe(201)
  return body.id
}

/** A round trip: every frame sent before it has arrived. */
const settled = async (socket: TestSocket): Promise<void> => {
  socket.send({ t: 'ping' })
  await socket.take('pong')
}

test('a watcher receives the users present, those who enter and, after the delay, those who left (P-PRE-1, P-PRE-2)', async () => {
  const { key } = await shared()
  await using a = await watching(first, anna, key)
  expect(await a.take('presence')).toEqual({
    t: 'presence',
    key,
    users: [anna.id],
    joined: [],
    left: [],
    count: 1,
  })
  const b = await watching(first, bert, key)
  await sees(b, key, anna, bert)
  expect(await a.take((frame) => frame.joined?.includes(bert.id))).toMatchObject({ left: [], count: 2 })
  const leftAt = performance.now()
  await b[Symbol.asyncDispose]()
  expect(await a.take((frame) => frame.left?.includes(bert.id))).toEqual({
    t: 'presence',
    key,
    users: [anna.id],
    joined: [],
    left: [bert.id],
    count: 1,
  })
  expect(performance.now() - leftAt).toBeGreaterThan(soon.presenceLeaveDelayMs - 20)
})

test('the first frame is complete, on a process with other watchers and over processes; no user is listed as joined twice (P-PRE-1)', async () => {
  // The next diff is a minute away: only the first frame can be complete here.
  await using slow = await world.another(
    {},
    { ...soon, presenceDiffIntervalMs: 60_000, presenceAnnounceIntervalMs: 60_000 },
  )
  const { key } = await shared()
  await using a = await watching(slow, anna, key)
  expect(await a.take('presence')).toMatchObject({ users: [anna.id], joined: [] })
  await using b = await watching(slow, bert, key)
  expect(await b.take('presence')).toMatchObject({ joined: [], left: [], count: 2 })
  expect([...(b.frames.findLast(({ t }) => t === 'presence')!.users as string[])].sort()).toEqual(
    sorted(anna, bert),
  )

  // Over two processes with frequent diffs: each user is listed as joined at most once, and never to itself.
  const { key: other } = await shared()
  await using c = await watching(first, anna, other)
  await using d = await watching(second, bert, other)
  await sees(c, other, anna, bert)
  await sees(d, other, anna, bert)
  await using e = await watching(second, anna, other)
  const full = await e.take('presence')
  expect([...(full.users as string[])].sort()).toEqual(sorted(anna, bert))
  await using f = await watching(first, bert, other)
  expect([...((await f.take('presence')).users as string[])].sort()).toEqual(sorted(anna, bert))
  // Three announcements of each process have arrived at both, and what they caused at every socket.
  const after = [first, second].map(({ deps }) => deps.bus.stats.received + 6)
  await eventually(() => {
    for (const [n, { deps }] of [first, second].entries())
      expect(deps.bus.stats.received).toBeGreaterThanOrEqual(after[n]!)
  })
  for (const socket of [a, b, c, d, e, f]) await settled(socket)
  for (const [socket, self] of [
    [a, anna],
    [b, bert],
    [c, anna],
    [d, bert],
    [e, anna],
    [f, bert],
  ] as const) {
    const frames = socket.frames.filter(({ t }) => t === 'presence')
    const listed = new Set<string>()
    for (const [index, { users, joined }] of frames.entries()) {
      for (const id of joined) {
        expect(id).not.toBe(self.id)
        expect(listed.has(id)).toBe(false)
      }
      expect(new Set(users).size).toBe(users.length)
      if (index === 0) for (const id of users) listed.add(id)
      for (const id of joined) listed.add(id)
    }
  }
})

test('presence and signals cross processes; the sender does not receive its own signals (P-PRE-3, P-SIG-1)', async () => {
  const { key } = await shared()
  await using a = await watching(first, anna, key)
  await using b = await watching(second, bert, key)
  await sees(a, key, anna, bert)
  await sees(b, key, anna, bert)
  b.send({ t: 'signal', key, kind: 'cursor', data: { x: 1, name: 'né' } })
  expect(await a.take('signal')).toEqual({
    t: 'signal',
    key,
    kind: 'cursor',
    user: bert.id,
    data: { x: 1, name: 'né' },
  })
  expect(await ask(a, { t: 'signal', key, kind: 'typing' })).toMatchObject({ t: 'ok' })
  expect(await b.take('signal')).toMatchObject({ kind: 'typing', user: anna.id, data: {} })
  await settled(b)
  expect(b.frames.filter(({ t, user }) => t === 'signal' && user === bert.id)).toEqual([])
})

test('a user who returns within the delay is not listed as left, also on another process (P-PRE-2)', async () => {
  const { key } = await shared()
  await using a = await watching(first, anna, key)
  const b = await watching(first, bert, key)
  await sees(a, key, anna, bert)
  await b[Symbol.asyncDispose]()
  await using again = await watching(second, bert, key)
  await sees(again, key, anna, bert)
  // Another user leaves later: its leave is delivered after the one of bert would have been.
  const carl = await world.register()
  await addMember(world, { id: key.slice('project:'.length) }, anna, carl)
  await (await watching(first, carl, key))[Symbol.asyncDispose]()
  await a.take((frame) => frame.left?.includes(carl.id))
  expect(a.frames.flatMap(({ left }) => (left ?? []) as string[])).toEqual([carl.id])
})

test('several connections of a user are one presence (P-PRE-3, P-PRE-6)', async () => {
  const { key } = await shared()
  await using a = await watching(first, anna, key)
  await using b1 = await watching(first, bert, key)
  await using b2 = await watching(second, bert, key)
  await sees(a, key, anna, bert)
  await b1[Symbol.asyncDispose]()
  await b2.take((frame) => frame.t === 'presence' && frame.count === 2)
  expect(await ask(b2, { t: 'unwatch', key })).toMatchObject({ t: 'ok' })
  await a.take((frame) => frame.left?.includes(bert.id))
  expect(a.frames.filter(({ left }) => left?.length > 0)).toHaveLength(1)
})

test('a place the user may not read is not found, like one that does not exist; a malformed key is a bad frame (P-PRE-1)', async () => {
  const project = await makeProject(world, anna)
  const taskId = await makeTask(project.id)
  await using b = await open(first, bert)
  const nowhere = Bun.randomUUIDv7()
  for (const key of [`project:${project.id}`, `task:${taskId}`, `project:${nowhere}`, `task:${nowhere}`]) {
    expect(await ask(b, { t: 'watch', key })).toEqual({ t: 'error', rid: rids, code: 'not_found' })
    expect(await ask(b, { t: 'signal', key, kind: 'typing' })).toMatchObject({ code: 'not_found' })
  }
  for (const key of [`user:${bert.id}`, 'project:me', `task:${taskId}:x`, 'nonsense'])
    expect(await ask(b, { t: 'watch', key })).toMatchObject({ t: 'error', code: 'bad_frame' })
  expect(await ask(b, { t: 'watch' })).toMatchObject({ code: 'bad_frame' })
  expect(await ask(b, { t: 'signal', key: `task:${taskId}`, kind: 'dancing' })).toMatchObject({
    code: 'bad_frame',
  })
})

test('a share is enough for its task and not for the project; signals need no watch (P-SIG-1)', async () => {
  const project = await makeProject(world, anna)
  const taskId = await makeTask(project.id)
  const key = `task:${taskId}`
  await world.call('POST', `/api/tasks/${taskId}/shares`, {
    token: anna.token,
    body: { userId: bert.id, permission: 'view' },
  })
  await using a = await watching(first, anna, key)
  await using b = await open(second, bert)
  expect(await ask(b, { t: 'watch', key: `project:${project.id}` })).toMatchObject({ code: 'not_found' })
  // Signals are not stored: one sent before the other process subscribes to the place is not delivered there.
  await eventually(
    async () => {
      expect(await ask(b, { t: 'signal', key, kind: 'viewing', data: { n: 1 } })).toMatchObject({ t: 'ok' })
      expect(a.frames).toContainEqual(
        expect.objectContaining({ t: 'signal', user: bert.id, kind: 'viewing' }),
      )
    },
    { everyMs: 200 },
  )
  await watch(b, key)
  await sees(a, key, anna, bert)
})

/** The watch ends, and a later signal is not delivered. */
const endsFor = async (socket: TestSocket, key: string, other: TestSocket): Promise<void> => {
  expect(await socket.take((frame) => frame.t === 'error' && frame.key === key)).toEqual({
    t: 'error',
    key,
    code: 'not_found',
  })
  const before = socket.frames.length
  await ask(other, { t: 'signal', key, kind: 'typing' })
  await settled(socket)
  expect(socket.frames.slice(before).map(({ t }) => t)).toEqual(['pong'])
  expect(await ask(socket, { t: 'signal', key, kind: 'typing' })).toMatchObject({ code: 'not_found' })
}

test('a removed member is present nowhere in the project, on every process (P-PRE-5)', async () => {
  const project = await shared()
  const keys = [project.key, `task:${await makeTask(project.id)}`]
  await using stack = new AsyncDisposableStack()
  const pairs = []
  for (const server of [first, second])
    for (const key of keys) {
      const b = stack.use(await watching(server, bert, key))
      pairs.push({ key, b, a: stack.use(await watching(server, anna, key)) })
    }
  for (const { a, key } of pairs) await sees(a, key, anna, bert)
  await world.call('DELETE', `/api/projects/${project.id}/members/${bert.id}`, { token: anna.token })
  for (const { a, b, key } of pairs) await endsFor(b, key, a)
  for (const { a } of pairs) expect(await a.take((frame) => frame.left?.includes(bert.id))).toBeDefined()
}, 15_000)

test('removing a share ends the watch of the sharee and keeps those of members', async () => {
  const project = await makeProject(world, anna)
  const taskId = await makeTask(project.id)
  const key = `task:${taskId}`
  await world.call('POST', `/api/tasks/${taskId}/shares`, {
    token: anna.token,
    body: { userId: bert.id, permission: 'edit' },
  })
  await using a = await watching(first, anna, key)
  await using b = await watching(second, bert, key)
  await sees(a, key, anna, bert)
  await world.call('DELETE', `/api/tasks/${taskId}/shares/${bert.id}`, { token: anna.token })
  await endsFor(b, key, a)
  expect(await ask(a, { t: 'signal', key, kind: 'typing' })).toMatchObject({ t: 'ok' })
})

test('moving a task keeps the watches of users who may read it in the target, and ends the others', async () => {
  const source = await shared()
  const target = await makeProject(world, anna)
  const taskId = await makeTask(source.id)
  const key = `task:${taskId}`
  await using a = await watching(first, anna, key)
  await using b = await watching(second, bert, key)
  await sees(a, key, anna, bert)
  const move = await world.call('POST', `/api/tasks/${taskId}/move`, {
    token: anna.token,
    body: { projectId: target.id },
  })
  expect(move.status).toBe(200)
  await endsFor(b, key, a)
  await a.take((frame) => frame.left?.includes(bert.id))
  // A watch after the move depends on the target project: removal from it ends the watch.
  await addMember(world, target, anna, bert)
  await watch(b, key)
  await sees(a, key, anna, bert)
  await world.call('DELETE', `/api/projects/${target.id}/members/${bert.id}`, { token: anna.token })
  await endsFor(b, key, a)
})

test.each(['task', 'project'])('the end of a %s ends every watch there', async (what) => {
  const project = await shared()
  const taskId = await makeTask(project.id)
  const key = `task:${taskId}`
  await using a = await watching(first, anna, key)
  await using b = await watching(second, bert, key)
  await sees(a, key, anna, bert)
  const path = what === 'task' ? `/api/tasks/${taskId}` : `/api/projects/${project.id}`
  expect((await world.call('DELETE', path, { token: anna.token })).status).toBe(204)
  for (const socket of [a, b]) await socket.take((frame) => frame.t === 'error' && frame.key === key)
})

test('an ended session is present nowhere', async () => {
  const { key } = await shared()
  const carl = await world.register()
  await addMember(world, { id: key.slice('project:'.length) }, anna, carl)
  await using a = await watching(first, anna, key)
  await using c = await watching(second, carl, key)
  await sees(a, key, anna, carl)
  await world.call('POST', '/api/auth/logout-all', { token: carl.token })
  expect(await c.closed()).toBe(4403)
  await a.take((frame) => frame.left?.includes(carl.id))
})

test('limits: 64 watches, 10 signals a second, a kilobyte each (P-PRE-5, P-SIG-2)', async () => {
  const { id, key } = await shared()
  await using a = await open(first, anna)
  const tasks = await Promise.all(Array.from({ length: 65 }, () => makeTask(id)))
  const answers: Frame[] = []
  const watchNext = async (): Promise<void> => {
    const task = tasks[answers.length]
    if (task !== undefined) answers.push(await ask(a, { t: 'watch', key: `task:${task}` }))
  }
  while (answers.length < 35) await watchNext()
  // Control frames are 20 a second after the first 40.
  const load = startPacedLoad(55, watchNext)
  await eventually(() => expect(answers).toHaveLength(65), { progress: () => answers.length })
  await load.stop()
  expect(answers.filter(({ t }) => t === 'ok')).toHaveLength(64)
  expect(answers.at(-1)).toMatchObject({ t: 'error', code: 'limit' })
  await using b = await watching(first, bert, key)
  const large = { t: 'signal', key, kind: 'cursor', data: { text: 'x'.repeat(1_014) } }
  expect(await ask(b, large)).toMatchObject({ code: 'limit' })
  expect(await ask(b, { ...large, data: { text: 'x'.repeat(1_013) } })).toMatchObject({ t: 'ok' })
  await using c = await open(first, anna)
  const rids = Array.from({ length: 12 }, (_, rid) => rid)
  for (const rid of rids) c.send({ t: 'signal', rid, key, kind: 'typing' })
  await c.take((frame) => frame.rid === 11)
  expect(c.frames.filter(({ code }) => code === 'rate')).toHaveLength(2)
}, 20_000)

test('the last report of a killed process expires (P-PRE-3)', async () => {
  const { key } = await shared()
  await using a = await watching(first, anna, key)
  const others = Bun.randomUUIDv7()
  first.deps.bus.publish(
    `tide-presence:${key}`,
    `h${others}${JSON.stringify({ users: [bert.id], count: 1 })}`,
  )
  await sees(a, key, anna, bert)
  await a.take((frame) => frame.left?.includes(bert.id))
})

test('a client that stops reading receives the current presence once it reads again', async () => {
  const { key, id } = await shared()
  using slow = await openRaw(first.port, { token: anna.token })
  slow.send({ t: 'watch', rid: 1, key })
  slow.send({ t: 'sub', rid: 2, scope: `project:${id}` })
  await eventually(() => expect(slow.texts().some(({ t }) => t === 'synced')).toBe(true))
  slow.pause()
  await appendMany(world.server.deps, `project:${id}`, 1_500, 8_000)
  await untilCaughtUp(first)
  await eventually(() => expect(first.deps.stats.parked).toBeGreaterThan(0))
  await using b = await watching(second, bert, key)
  await sees(b, key, anna, bert)
  slow.resume()
  await eventually(
    () =>
      expect(
        slow
          .texts()
          .filter(({ t }) => t === 'presence')
          .at(-1)
          ?.users.sort(),
      ).toEqual(sorted(anna, bert)),
    { timeoutMs: 10_000 },
  )
}, 20_000)

test('presence and signals append no entry, and no subscription is left after the last watcher (P-SIG-1)', async () => {
  const { key } = await shared()
  const before = await world.entryCount()
  const a = await watching(first, anna, key)
  await ask(a, { t: 'signal', key, kind: 'typing' })
  await a[Symbol.asyncDispose]()
  expect(await world.entryCount()).toBe(before)
  await eventually(() =>
    expect([first.deps.follower.scopeCount, second.deps.follower.scopeCount]).toEqual([0, 0]),
  )
})

test('without Redis presence covers the own process; when Redis is back, all processes again', async () => {
  const { key } = await shared()
  await using away = await tcpProxy({ host: '127.0.0.1', port: Number(new URL(world.redisUrl).port) })
  const url = new URL(world.redisUrl)
  url.port = String(away.port)
  await using lone = await world.another({ redisUrl: url.href }, soon)
  await using a = await watching(lone, anna, key)
  await using b = await watching(second, bert, key)
  await sees(a, key, anna, bert)
  away.blackhole()
  await a.take((frame) => frame.left?.includes(bert.id))
  const carl = await world.register()
  await addMember(world, { id: key.slice('project:'.length) }, anna, carl)
  await using c = await watching(lone, carl, key)
  await sees(a, key, anna, carl)
  c.send({ t: 'signal', key, kind: 'typing' })
  await a.take('signal')
  away.heal()
  // A connection without an answer is closed after five seconds.
  await seesWithin(15_000, a, key, anna, bert, carl)
  await seesWithin(15_000, b, key, anna, bert, carl)
}, 40_000)
