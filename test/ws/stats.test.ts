// What a process counts of its live data, where the metrics read it.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { RunningServer } from '../../src/app/compose.ts'
import type { Scope } from '../../src/model/scope.ts'
import { eventually } from '../support/eventually.ts'
import { openRaw } from '../support/raw-socket.ts'
import { openSocket } from '../support/socket.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { untilCaughtUp, entry, makeProject, appendEntries, appendMany } from './log-writes.ts'

let world: World
let anna: Person

beforeAll(async () => {
  world = await startWorld()
  anna = await world.register()
}, 30_000)
afterAll(() => world[Symbol.asyncDispose]())

const numberOf = (cursor: string): number => Number(cursor.split('.')[2])
const at = (cursor: string, seq: number): string => cursor.replace(/\d+$/, String(seq))

/** Subscribes and receives everything up to `synced`; returns the first answer and the number of events. */
const follow = async ({ url }: RunningServer, scope: Scope, cursor: string | null) => {
  await using socket = await openSocket(url, { token: anna.token })
  socket.send({ t: 'sub', rid: 1, scope, cursor })
  const answer = await socket.take((frame) => frame.rid === 1)
  if (answer.t === 'sub') await socket.take('synced')
  return { answer, events: socket.frames.filter(({ t }) => t === 'event').length }
}

test('replays are counted by their source, and frames as they are sent', async () => {
  const { scope } = await makeProject(world, anna)
  const { answer } = await follow(world.server, scope, null)
  await appendEntries(world.server.deps, entry(scope), entry(scope))
  await untilCaughtUp(world.server)
  const { stats } = world.server.deps
  const [ring, sent] = [stats.replays.ring, stats.sent]
  expect((await follow(world.server, scope, answer.cursor)).events).toBe(2)
  expect([stats.replays.ring - ring, stats.sent - sent]).toEqual([1, 2])
  // Another process has an empty ring: it reads the stream, and the log where the stream was lost.
  await using other = await world.another()
  await follow(other, scope, answer.cursor)
  expect(other.deps.stats.replays).toEqual({ ring: 0, stream: 1, log: 0, shared: 0 })
  await other.deps.follower.history.sources.redis.flushall()
  await follow(other, scope, answer.cursor)
  expect(other.deps.stats.replays).toEqual({ ring: 0, stream: 1, log: 1, shared: 0 })
})

test('resyncs are counted by reason, over HTTP too', async () => {
  const { scope } = await makeProject(world, anna)
  const { answer } = await follow(world.server, scope, null)
  const before = structuredClone(world.server.deps.stats.resyncs)
  const ahead = at(answer.cursor, numberOf(answer.cursor) + 1_000_000)
  expect((await follow(world.server, scope, ahead)).answer).toMatchObject({ t: 'resync', reason: 'ahead' })
  const foreign = answer.cursor.replace(/^[^.]+/, 'another0epoch')
  expect((await follow(world.server, scope, foreign)).answer).toMatchObject({ reason: 'epoch' })
  const { status } = await world.call('GET', `/api/sync?scope=${scope}&cursor=${ahead}`, {
    token: anna.token,
  })
  expect(status).toBe(410)
  expect(world.server.deps.stats.resyncs).toEqual({
    ...before,
    ahead: before.ahead + 2,
    epoch: before.epoch + 1,
  })
})

test('open, parked and dropped sockets are counted', async () => {
  await using hasty = await world.another({}, { sweepIntervalMs: 20, parkedTimeoutMs: 200 })
  const { stats } = hasty.deps
  const { scope } = await makeProject(world, anna)
  using slow = await openRaw(hasty.port, { token: anna.token })
  slow.send({ t: 'sub', rid: 1, scope })
  await eventually(() => expect(slow.texts().some(({ t }) => t === 'synced')).toBe(true))
  expect(stats).toMatchObject({ sockets: 1, parked: 0, dropped: 0 })
  slow.pause()
  await appendMany(world.server.deps, scope, 1_500, 8_000)
  await eventually(() => expect(stats.dropped).toBe(1), { timeoutMs: 10_000 })
  expect(stats.parked).toBeGreaterThan(0)
  slow.resume()
  await eventually(() => expect(slow.closeCode()).toBe(4008), { timeoutMs: 10_000 })
  slow[Symbol.dispose]()
  await eventually(() => expect(stats.sockets).toBe(0))
}, 30_000)
