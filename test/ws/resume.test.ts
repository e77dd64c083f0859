// Resuming from every kind of cursor, over sockets and over HTTP: either exactly the entries of the log after it, or a
// resync with its reason.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { RunningServer } from '../../src/app/compose.ts'
import { projectScope, shardOf, type Scope } from '../../src/model/scope.ts'
import { dropStream, streamKey } from '../../src/changelog/stream.ts'
import { randomOf, seed } from '../changelog/seed.ts'
import { openSocket, type Frame } from '../support/socket.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { untilCaughtUp, entry, makeProject, appendEntries } from './log-writes.ts'

let world: World
/** Started after everything was written: its ring is empty, it reads the stream. */
let late: RunningServer
let anna: Person
let scope: Scope
let shard: number
let epoch: string
let log: Frame[]
let head: number

const random = randomOf(seed)
const totalEntries = 3_000
const ringEntries = 2_000

/** A scope without readers, numbered in the same shard. */
const neighbourOf = (scope: Scope): Scope => {
  for (;;) {
    const other = projectScope(Bun.randomUUIDv7())
    if (shardOf(other) === shardOf(scope)) return other
  }
}

beforeAll(async () => {
  world = await startWorld()
  anna = await world.register()
  ;({ scope } = await makeProject(world, anna))
  shard = shardOf(scope)
  const neighbour = neighbourOf(scope)
  for (let written = 0; written < totalEntries; written += 50) {
    const of = () => (random() < 0.2 ? scope : neighbour)
    await appendEntries(world.server.deps, ...Array.from({ length: 50 }, () => entry(of(), { n: written })))
  }
  await untilCaughtUp(world.server)
  late = await world.another()
  log = (await world.entries(scope)).map(({ frame }) => JSON.parse(frame!) as Frame)
  epoch = log[0]!.cursor.split('.')[0]
  head = late.deps.follower.positions[shard]!
}, 60_000)
afterAll(async () => {
  await late[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

const cursorAt = (seq: number): string => `${epoch}.${shard}.${seq}`
const seqOf = (frame: Frame): number => Number(frame.cursor.split('.')[2])
const after = (seq: number): Frame[] => log.filter((frame) => seqOf(frame) > seq)

/** The events a socket receives from a cursor up to `synced`, or the refusal. */
const overSocket = async (url: string, cursor: string): Promise<Frame[] | Frame> => {
  await using socket = await openSocket(url, { token: anna.token })
  socket.send({ t: 'sub', rid: 1, scope, cursor })
  const answer = await socket.take((frame) => frame.rid === 1)
  if (answer.t !== 'sub') return answer
  await socket.take('synced')
  const events = socket.frames.filter(({ t }) => t === 'event')
  expect(answer.replay).toBe(events.length)
  return events
}

const askSync = (cursor: string) =>
  world.call('GET', `/api/sync?scope=${scope}&cursor=${cursor}`, { token: anna.token })

/** The same over HTTP, page by page. */
const overHttp = async (from: string): Promise<Frame[]> => {
  const events: Frame[] = []
  for (let cursor = from; ;) {
    const { status, body } = await askSync(cursor)
    expect(status).toBe(200)
    const [page] = body.scopes
    expect(page.events.length).toBeLessThanOrEqual(500)
    events.push(...page.events)
    cursor = page.cursor
    if (!page.more) return events
  }
}

const places = (): [string, number][] => [
  ['the head', head],
  ['one before the head', head - 1],
  ['the first in memory', head - ringEntries],
  ['one before memory', head - ringEntries - 1],
  ['the beginning', log[0] ? seqOf(log[0]) : 0],
  ...Array.from({ length: 12 }, (_, n): [string, number] => [
    `a random place ${n}`,
    seqOf(log[0]!) + Math.floor(random() * (head - seqOf(log[0]!))),
  ]),
]

const expectEverywhere = async (url: string): Promise<void> => {
  for (const [name, seq] of places()) {
    expect([name, await overSocket(url, cursorAt(seq))]).toEqual([name, after(seq)])
  }
}

test('from the ring, where the process has the entries (P-CUR-2)', () => expectEverywhere(world.url))

test('from the stream, then from what is left of it, then from the log alone (P-RES-3, P-CUR-3)', async () => {
  const { redis } = late.deps.follower.history.sources
  await expectEverywhere(late.url)
  const edge = head - 700
  await redis.xtrim(streamKey(epoch, shard), 'MINID', `${edge}-0`)
  for (const seq of [edge, edge - 1, edge - 2, edge + 1])
    expect(await overSocket(late.url, cursorAt(seq))).toEqual(after(seq))
  await dropStream(redis, epoch, shard)
  await expectEverywhere(late.url)
})

test('over HTTP, a page at a time (P-CUR-2, P-EVT-1)', async () => {
  for (const [name, seq] of places())
    expect([name, await overHttp(cursorAt(seq))]).toEqual([name, after(seq)])
})

test.each([
  ['ahead of the head', () => cursorAt(world.server.deps.follower.positions[shard]! + 1), 'ahead'],
  ['of another epoch', () => `zzzzzzzz.${shard}.${head}`, 'epoch'],
])('a cursor %s gets a resync (P-RES-1, P-HTTP-4)', async (_what, cursorOf, reason) => {
  const snapshot = `/api/projects/${scope.slice('project:'.length)}/snapshot`
  for (const { url } of [world, late])
    expect(await overSocket(url, cursorOf())).toEqual({
      t: 'resync',
      rid: 1,
      scope,
      reason,
      snapshot,
    } as Frame)
  const { status, body } = await askSync(cursorOf())
  expect([status, body.code, body.reason, body.snapshot]).toEqual([410, 'cursor_expired', reason, snapshot])
})

test.each([
  ['of a foreign shard', () => `${epoch}.${(shard + 1) % 16}.1`],
  ['that is garbage', () => 'garbage'],
  ['with a number beyond the head', () => cursorAt(1e17)],
])('a cursor %s is refused (P-CUR-1, P-SUB-8, P-HTTP-5)', async (_what, cursorOf) => {
  expect(await overSocket(world.url, cursorOf())).toEqual({ t: 'error', rid: 1, code: 'bad_frame' })
  const { status, body } = await askSync(cursorOf())
  expect([status, body.code]).toEqual([400, 'bad_cursor'])
})

test('a cursor at the edge of the log resumes, one before it gets a resync (P-RES-1, P-CUR-3)', async () => {
  await using alone = await startWorld()
  const person = await alone.register()
  const project = await makeProject(alone, person)
  const own = shardOf(project.scope)
  await appendEntries(alone.server.deps, ...Array.from({ length: 20 }, () => entry(project.scope)))
  const entries = await alone.entries(project.scope)
  const at = (seq: number): string => `${JSON.parse(entries[0]!.frame!).cursor.split('.')[0]}.${own}.${seq}`
  const edge = entries[10]!.seq
  await alone.server.deps.db.transact((tx) => tx`delete from feed where shard = ${own} and seq <= ${edge}`)
  // A process that still has the entries in memory must answer as the log does.
  await using socket = await openSocket(alone.url, { token: person.token })
  const subscribe = (cursor: string) => {
    socket.send({ t: 'sub', rid: cursor, scope: project.scope, cursor })
    return socket.take((frame) => frame.rid === cursor)
  }
  const sync = (cursor: string) =>
    alone.call('GET', `/api/sync?scope=${project.scope}&cursor=${cursor}`, { token: person.token })
  expect(await subscribe(at(edge))).toMatchObject({ t: 'sub', mode: 'resume', replay: entries.length - 11 })
  expect((await sync(at(edge))).body.scopes[0].events).toHaveLength(entries.length - 11)
  expect(await subscribe(at(edge - 1))).toMatchObject({ t: 'resync', reason: 'too_old' })
  expect((await sync(at(edge - 1))).body).toMatchObject({ code: 'cursor_expired', reason: 'too_old' })
  await alone.server.deps.db.transact((tx) => tx`delete from feed`)
  expect(await subscribe(at(entries.at(-1)!.seq - 1))).toMatchObject({ t: 'resync', reason: 'too_old' })
  expect(await subscribe(at(entries.at(-1)!.seq))).toMatchObject({ t: 'sub', mode: 'resume', replay: 0 })
})

test('dropping a partition during a catch-up closes the socket instead of skipping entries', async () => {
  await using alone = await startWorld()
  const person = await alone.register()
  const { token } = person
  const { scope } = await makeProject(alone, person)
  // Few of the entries are of the scope: it is read by itself.
  const neighbour = neighbourOf(scope)
  for (let written = 0; written < 2_400; written += 200)
    await appendEntries(
      alone.server.deps,
      ...Array.from({ length: 200 }, (_, n) => entry(n % 20 === 0 ? scope : neighbour)),
    )
  const [first] = await alone.entries(scope)
  const { cursor } = JSON.parse(first!.frame!)
  const { sources } = alone.server.deps.follower.history
  const { db } = sources
  sources.db = {
    of: (caller) => ({
      ...db.of(caller),
      async read(work, options) {
        await alone.server.deps.db.transact(
          (tx) => tx`delete from feed where shard = ${first!.shard} and seq <= ${first!.seq + 99}`,
        )
        return db.of(caller).read(work, options)
      },
    }),
  }
  await using socket = await openSocket(alone.url, { token })
  socket.send({ t: 'sub', rid: 1, scope, cursor })
  expect(await socket.closed()).toBe(4000)
  expect(socket.frames.map(({ t }) => t)).toEqual(['welcome', 'sub'])
  await using next = await openSocket(alone.url, { token })
  next.send({ t: 'sub', rid: 1, scope, cursor })
  expect(await next.take('resync')).toMatchObject({ reason: 'too_old' })
})

test('a socket more than 5,000 entries behind reads the snapshot, HTTP continues page by page (P-RES-1, P-HTTP-2)', async () => {
  const project = await makeProject(world, anna)
  for (let written = 0; written < 5_001; written += 200)
    await appendEntries(
      world.server.deps,
      ...Array.from({ length: Math.min(200, 5_001 - written) }, () => entry(project.scope)),
    )
  const entries = await world.entries(project.scope)
  const at = (index: number): string => JSON.parse(entries[index]!.frame!).cursor
  await using socket = await openSocket(world.url, { token: anna.token })
  const subscribe = (cursor: string) => {
    socket.send({ t: 'sub', rid: cursor, scope: project.scope, cursor })
    return socket.take((frame) => frame.rid === cursor)
  }
  expect(await subscribe(at(0))).toMatchObject({ t: 'resync', reason: 'gap' })
  expect(await subscribe(at(1))).toMatchObject({ t: 'sub', mode: 'resume', replay: 5_000 })
  await socket.take('synced', 20_000)
  const received = socket.frames.filter(({ t }) => t === 'event')
  expect(received).toEqual(entries.slice(2).map(({ frame }) => JSON.parse(frame!) as Frame))
  let pages = 0
  let events = 0
  for (let cursor = at(0), more = true; more; pages += 1) {
    const { body } = await world.call('GET', `/api/sync?scope=${project.scope}&cursor=${cursor}`, {
      token: anna.token,
    })
    ;({ cursor, more } = body.scopes[0])
    events += body.scopes[0].events.length
  }
  expect([pages, events]).toEqual([11, 5_001])
}, 30_000)
