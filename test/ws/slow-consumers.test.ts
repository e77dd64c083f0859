// Clients that stop reading: their unsent data stays bounded, other clients are not affected, and a client that resumes
// reading in time has missed nothing.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Scope } from '../../src/model/scope.ts'
import type { RunningServer } from '../../src/app/compose.ts'
import { Connection, type Socket } from '../../src/ws/connection.ts'
import { openJoins } from '../../src/ws/joins.ts'
import { HandshakeLimiter } from '../../src/limits/handshake-limiter.ts'
import { Presence } from '../../src/ws/presence/presence.ts'
import { socketTimings } from '../../src/ws/protocol.ts'
import { randomOf, seed } from '../changelog/seed.ts'
import { eventually } from '../support/eventually.ts'
import { startPacedLoad } from '../support/paced-load.ts'
import { openRaw, type RawSocket } from '../support/raw-socket.ts'
import { openSocket } from '../support/socket.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { untilCaughtUp, entry, makeProject, appendEntries, appendMany } from './log-writes.ts'

let world: World
/** Closes a connection after 300 ms of being parked. */
let hasty: RunningServer
let anna: Person

beforeAll(async () => {
  world = await startWorld()
  hasty = await world.another({}, { sweepIntervalMs: 20, parkedTimeoutMs: 300 })
  anna = await world.register()
}, 30_000)
afterAll(async () => {
  await hasty[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

const openPaused = async (port: number, scopes: Scope[]): Promise<RawSocket> => {
  const raw = await openRaw(port, { token: anna.token })
  for (const scope of scopes) raw.send({ t: 'sub', rid: scope, scope })
  await eventually(() => expect(raw.texts().filter(({ t }) => t === 'synced')).toHaveLength(scopes.length))
  raw.pause()
  return raw
}

const eventsOf = (raw: RawSocket, scope: Scope): string[] =>
  raw.frames
    .map(({ payload }) => payload.toString())
    .filter((text) => text.startsWith(`{"t":"event","scope":"${scope}"`))

/** Without the first entry, which was appended before the subscription. */
const logOf = async (scope: Scope): Promise<string[]> =>
  (await world.entries(scope)).slice(1).flatMap(({ frame }) => frame ?? [])

/** Waits until the whole log of the scope has arrived, in order, each entry once. */
const receivesAll = async (raw: RawSocket, scope: Scope): Promise<void> => {
  const log = await logOf(scope)
  await eventually(() => expect(eventsOf(raw, scope)).toHaveLength(log.length), {
    timeoutMs: 20_000,
    everyMs: 100,
  })
  expect(eventsOf(raw, scope)).toEqual(log)
}

const megabyte = 1024 * 1024

test('a client that stops reading is parked, costs little memory, and has missed nothing when it reads again (P-LIM-3)', async () => {
  const { scope } = await makeProject(world, anna)
  using slow = await openPaused(world.server.port, [scope])
  await using quick = await openSocket(world.url, { token: anna.token })
  quick.send({ t: 'sub', rid: 1, scope })
  await quick.take('synced')
  // Far more than the kernel and a send buffer of 1 MiB take together: unparked, it would be closed.
  await appendMany(world.server.deps, scope, 3_000, 8_000)
  const log = await logOf(scope)
  await eventually(() => expect(quick.frames.filter(({ t }) => t === 'event')).toHaveLength(log.length), {
    timeoutMs: 10_000,
  })
  expect(slow.frames.length).toBeLessThan(10)
  slow.resume()
  await receivesAll(slow, scope)
  expect(slow.closeCode()).toBeNull()
}, 60_000)

test('a client that stops reading is parked for each of its scopes, also where events come one by one (P-LIM-3)', async () => {
  const scopes = await Promise.all(
    Array.from({ length: 20 }, async () => (await makeProject(world, anna)).scope),
  )
  using slow = await openPaused(world.server.port, scopes)
  const text = 'x'.repeat(8_000)
  for (let round = 0; round < 150; round += 1)
    await appendEntries(world.server.deps, ...scopes.map((scope) => entry(scope, { round, text })))
  await untilCaughtUp(world.server)
  slow.resume()
  for (const scope of scopes) await receivesAll(slow, scope)
  expect(slow.closeCode()).toBeNull()
}, 60_000)

test('reading with interruptions, several scopes at once, loses nothing either', async () => {
  const random = randomOf(seed)
  const scopes = await Promise.all([1, 2, 3].map(async () => (await makeProject(world, anna)).scope))
  using slow = await openPaused(world.server.port, scopes)
  const reading = startPacedLoad(30, () => (random() < 0.5 ? slow.resume() : slow.pause()))
  for (let round = 0; round < 12; round += 1)
    for (const scope of scopes)
      await appendMany(world.server.deps, scope, 50 + Math.floor(random() * 50), 9_000)
  await reading.stop()
  slow.resume()
  for (const scope of scopes) await receivesAll(slow, scope)
}, 60_000)

test('a hundred clients that stop reading leave the memory of the process bounded (P-LIM-4)', async () => {
  const { scope } = await makeProject(world, anna)
  await using crowded = await world.another({ socketsPerUser: 200 })
  const crowd = await Promise.all(Array.from({ length: 100 }, () => openPaused(crowded.port, [scope])))
  await appendMany(world.server.deps, scope, 600, 8_000) // the kernel's buffers fill
  await untilCaughtUp(crowded)
  Bun.gc(true)
  const before = process.memoryUsage.rss()
  await appendMany(world.server.deps, scope, 3_000, 8_000)
  await untilCaughtUp(crowded)
  Bun.gc(true)
  const growth = (process.memoryUsage.rss() - before) / megabyte
  console.log(`24 MB to each of 100 clients that do not read: ${growth.toFixed(0)} MB more`)
  // 100 x (256 KiB unsent and one batch) and 4 MiB of memory per shard; unbounded it would be 2,400 MB.
  expect(growth).toBeLessThan(200)
  for (const raw of crowd) raw[Symbol.dispose]()
  await eventually(() => expect(crowded.deps.follower.scopeCount).toBe(0))
}, 60_000)

test('a client parked for too long is closed with 4008 and resumes without a gap (P-LIM-3)', async () => {
  const { scope } = await makeProject(world, anna)
  using slow = await openPaused(hasty.port, [scope])
  await appendMany(world.server.deps, scope, 1_500, 8_000)
  await eventually(() => expect(hasty.deps.follower.scopeCount).toBe(0))
  slow.resume()
  await eventually(() => expect(slow.closeCode()).toBe(4008), { timeoutMs: 10_000 })
  const received = eventsOf(slow, scope)
  await using again = await openSocket(hasty.url, { token: anna.token })
  again.send({ t: 'sub', rid: 1, scope, cursor: JSON.parse(received.at(-1)!).cursor })
  await again.take('synced', 10_000)
  const rest = again.frames.filter(({ t }) => t === 'event').map((frame) => frame.cursor)
  const log = (await logOf(scope)).map((text) => JSON.parse(text).cursor)
  expect([...received.map((text) => JSON.parse(text).cursor), ...rest]).toEqual(log)
}, 60_000)

test('a send that Bun refuses closes with 4008 at once (P-LIM-3)', async () => {
  const { deps } = world.server
  const closes: unknown[][] = []
  const socket = {
    send: (text: string) => (text.includes('pong') ? 0 : text.length),
    getBufferedAmount: () => 0,
    cork: (work: () => void) => work(),
    close: (...args: unknown[]) => closes.push(args),
  }
  const identity = await deps.authenticator.authenticate(anna.token)
  using presence = new Presence(deps, socketTimings)
  const own = { ...deps, presence, handshakes: new HandshakeLimiter(1), joins: openJoins(deps.systemDb) }
  const connection = new Connection(own, { onIdentified: () => {} }, identity, socketTimings)
  connection.onOpen(socket as unknown as Socket)
  connection.onMessage('{"t":"ping"}')
  connection.onMessage('{"t":"ping"}')
  await eventually(() => expect(closes).toEqual([[4008, 'slow_consumer']]))
})
