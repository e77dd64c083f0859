// Many clients at once: a bounded number of handshakes is served, the others are refused with a time to retry; equal
// snapshots cost one read; connections that come and go leak nothing.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { RunningServer } from '../../src/app/compose.ts'
import { FrameRateLimiter } from '../../src/ws/frame-rate-limiter.ts'
import { HandshakeLimiter } from '../../src/limits/handshake-limiter.ts'
import { eventually } from '../support/eventually.ts'
import { openSocket } from '../support/socket.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { addMember, makeProject } from './log-writes.ts'

let world: World
let anna: Person
let bert: Person

beforeAll(async () => {
  world = await startWorld({ socketsPerUser: 1_000 })
  ;({ anna, bert } = await world.people('anna', 'bert'))
}, 30_000)
afterAll(() => world[Symbol.asyncDispose]())

const snapshot = (person: Person, projectId: string, query = '') =>
  world.call('GET', `/api/projects/${projectId}/snapshot${query}`, { token: person.token })

test('past the limit of handshakes a socket receives when to retry and is closed with 1013, and the next one is served (P-CLO-4)', async () => {
  const narrow = await world.another({ socketsPerUser: 1_000 }, { maxHandshakes: 20 })
  const before = narrow.deps.stats.overloaded
  const sockets = await Promise.all(
    Array.from({ length: 300 }, () => openSocket(narrow.url, { token: anna.token })),
  )
  const codes = await Promise.all(
    sockets.map((socket) => Promise.race([socket.take('welcome').then(() => null), socket.closed()])),
  )
  const served = codes.filter((code) => code === null).length
  console.log(`${served} of 300 sockets served at once, ${300 - served} refused`)
  expect(new Set(codes)).toEqual(new Set([null, 1013]))
  expect(served).toBeGreaterThanOrEqual(20)
  expect(narrow.deps.stats.overloaded - before).toBe(300 - served)
  for (const { frames } of sockets.filter((_, n) => codes[n] === 1013)) {
    expect(frames).toEqual([
      { t: 'bye', code: 1013, reconnectAfter: [expect.any(Number), expect.any(Number)] },
    ])
  }
  await using _later = await world.socket(anna, narrow.url)
  await Promise.all(sockets.map((socket) => socket[Symbol.asyncDispose]()))
  await narrow[Symbol.asyncDispose]()
}, 30_000)

test('subscriptions being joined count as handshakes (P-CLO-4)', async () => {
  const narrow = await world.another({ socketsPerUser: 1_000 }, { maxHandshakes: 1 })
  const { scope } = await makeProject(world, anna)
  const sockets = []
  for (let n = 0; n < 20; n += 1) {
    sockets.push(await world.socket(anna, narrow.url))
  }
  for (const socket of sockets) socket.send({ t: 'sub', rid: 1, scope })
  const outcomes = await Promise.all(
    sockets.map((socket) => Promise.race([socket.take('synced').then(() => null), socket.closed()])),
  )
  expect(new Set(outcomes)).toEqual(new Set([null, 1013]))
  for (const [n, { frames }] of sockets.entries())
    expect(frames.at(-1)!.t === 'bye').toBe(outcomes[n] === 1013)
  await narrow[Symbol.asyncDispose]()
}, 30_000)

test('the limiter admits up to its limit, and again once slots are freed', () => {
  const limiter = new HandshakeLimiter(2)
  const [one, two] = [limiter.tryEnter(), limiter.tryEnter()]
  expect(limiter.tryEnter()).toBeNull()
  one![Symbol.dispose]()
  one![Symbol.dispose]()
  expect(limiter.inProgress).toBe(1)
  expect(limiter.tryEnter()).not.toBeNull()
  two![Symbol.dispose]()
  expect(limiter.inProgress).toBe(1)
})

test('retry windows line up one behind the other, within 10 s, and start over when they are past (P-CLO-4)', () => {
  let now = 0
  const limiter = new HandshakeLimiter(10, () => now)
  const windows = Array.from({ length: 12_000 }, () => limiter.nextRetryWindow())
  expect([windows[1], windows[999], windows[9_999], windows[11_999]]).toEqual([
    [1, 500],
    [500, 1_000],
    [5_000, 10_000],
    [5_000, 10_000],
  ])
  now += 5_500
  expect(limiter.nextRetryWindow()).toEqual([501, 1_002])
  now += 60_000
  expect(limiter.nextRetryWindow()).toEqual([1, 500])
})

test('equal snapshots share one read, each with the role of its reader', async () => {
  const project = await makeProject(world, anna, { editor: bert })
  const { stats } = world.server.deps
  const before = { ...stats }
  // The reads of one user run one at a time: few enough to finish within the two seconds.
  const people = Array.from({ length: 6 }, (_, n) => (n % 2 === 0 ? anna : bert))
  const answers = await Promise.all(people.map((person) => snapshot(person, project.id)))
  expect(answers.map(({ body }) => body.project.role)).toEqual(
    people.map((person) => (person === anna ? 'owner' : 'editor')),
  )
  expect(new Set(answers.map(({ body }) => body.cursor)).size).toBe(1)
  expect(stats.snapshotsRead - before.snapshotsRead).toBe(1)
  expect(stats.snapshotsShared - before.snapshotsShared).toBe(5)
  // Another page size is another request.
  await snapshot(anna, project.id, '?limit=10')
  expect(stats.snapshotsRead - before.snapshotsRead).toBe(2)
})

test('a shared snapshot is never older than the last write of its reader or than its membership', async () => {
  const project = await makeProject(world, anna, { editor: bert })
  const titles = async (person: Person): Promise<string[]> =>
    (await snapshot(person, project.id)).body.tasks.map(({ title }: { title: string }) => title)
  for (let n = 0; n < 5; n += 1) {
    const writer = n % 2 === 0 ? anna : bert
    await world.call('POST', '/api/tasks', {
      token: writer.token,
      body: { title: `${n}`, projectId: project.id },
    })
    expect(await titles(writer)).toContain(`${n}`)
  }
  const carl = await world.register()
  expect((await snapshot(carl, project.id)).status).toBe(404)
  await titles(anna)
  await addMember(world, project, anna, carl)
  const joined = await snapshot(carl, project.id)
  expect(joined.body.members.map(({ userId }: { userId: string }) => userId)).toContain(carl.id)
  await using socket = await openSocket(world.url, { token: carl.token })
  socket.send({ t: 'sub', rid: 1, scope: project.scope, cursor: joined.body.cursor })
  expect(await socket.take((frame) => frame.rid === 1)).toMatchObject({ t: 'sub', mode: 'resume' })
})

test('a removed member gets no shared snapshot, at once', async () => {
  const project = await makeProject(world, anna, { editor: bert })
  expect((await snapshot(bert, project.id)).status).toBe(200)
  await world.call('DELETE', `/api/projects/${project.id}/members/${bert.id}`, { token: anna.token })
  expect((await snapshot(bert, project.id)).status).toBe(404)
})

test('strikes are forgiven with time, and close a connection that stays too fast', () => {
  const patientOne = new FrameRateLimiter()
  let now = 1_000_000
  const burst = (allowance: FrameRateLimiter, frames: number): string[] =>
    Array.from({ length: frames }, () => allowance.take('frame', 10, now))
  expect(burst(patientOne, 42).slice(-2)).toEqual(['refuse', 'refuse'])
  for (let n = 0; n < 10; n += 1) {
    now += 20_000
    expect(burst(patientOne, 42)).not.toContain('close')
  }
  now += 1_000
  expect(burst(patientOne, 23).at(-1)).toBe('close')
})

test('signals and frames have allowances of their own, and share the bytes', () => {
  const allowance = new FrameRateLimiter()
  const take = (kind: 'frame' | 'signal', bytes = 10) => allowance.take(kind, bytes, 5_000)
  for (let n = 0; n < 10; n += 1) expect(take('signal')).toBe('pass')
  expect(take('signal')).toBe('refuse')
  expect(take('frame')).toBe('pass')
  expect(take('frame', 64 * 1024)).toBe('refuse')
})

const megabyte = 1024 * 1024

test('five thousand connections that come and go leak no subscription and no memory', async () => {
  const server: RunningServer = await world.another({ socketsPerUser: 1_000 })
  const { id, scope } = await makeProject(world, anna)
  const visit = async (): Promise<void> => {
    const socket = await openSocket(server.url, { token: anna.token })
    await socket.take('welcome')
    socket.send({ t: 'sub', rid: 1, scope })
    socket.send({ t: 'watch', rid: 2, key: `project:${id}` })
    await socket.take('synced')
    await socket.take('ok')
    await socket[Symbol.asyncDispose]()
  }
  const visits = async (count: number): Promise<number> => {
    for (let done = 0; done < count; done += 50) await Promise.all(Array.from({ length: 50 }, visit))
    await eventually(() => expect(server.deps.follower.scopeCount).toBe(0))
    Bun.gc(true)
    return process.memoryUsage.rss() / megabyte
  }
  const warm = await visits(1_500)
  const after = await visits(3_500)
  console.log(`memory after 1,500 visits ${warm.toFixed(0)} MB, after 5,000 ${after.toFixed(0)} MB`)
  expect(after - warm).toBeLessThan(40)
  await server[Symbol.asyncDispose]()
}, 90_000)
