// The drain of a server: it is not ready first, finishes requests, closes sockets in slices and exits before its
// deadline. Clients of a cluster that is restarted process by process under writes miss nothing and need no resync.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { RunningServer } from '../../src/app/compose.ts'
import { randomOf, seed } from '../changelog/seed.ts'
import { eventually } from '../support/eventually.ts'
import { startPacedLoad } from '../support/paced-load.ts'
import { startProgram, type Program } from '../support/program.ts'
import { openRaw } from '../support/raw-socket.ts'
import { openSocket, type Frame, type TestSocket } from '../support/socket.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { entry, makeProject, appendEntries } from './log-writes.ts'

let world: World
let anna: Person

beforeAll(async () => {
  world = await startWorld()
  anna = await world.register()
}, 30_000)
afterAll(() => world[Symbol.asyncDispose]())

/** Resolves when it closes, with the time in ms. */
const closedAt = async (socket: TestSocket): Promise<number> => {
  expect(await socket.closed(30_000)).toBe(1012)
  return performance.now()
}

test('during the delay it is not ready, refuses upgrades and ends waits; requests and sockets go on', async () => {
  const draining = await world.another({ drainDelaySeconds: 3 }) // all that follows happens within it
  const { scope } = await makeProject(world, anna)
  await using socket = await openSocket(draining.url, { token: anna.token })
  socket.send({ t: 'sub', rid: 1, scope })
  const { cursor } = await socket.take('synced')
  const headers = { Authorization: `Bearer ${anna.token}` }
  const waiting = fetch(`${draining.url}/api/sync?scope=${scope}&cursor=${cursor}&wait=25`, { headers })
  const stopped = draining[Symbol.asyncDispose]()
  expect((await fetch(`${draining.url}/readyz`)).status).toBe(503)
  using refused = await openRaw(draining.port, { token: anna.token })
  expect(refused.status).toBe(503)
  expect((await waiting).status).toBe(200)
  expect((await fetch(`${draining.url}/api/users/me`, { headers })).status).toBe(200)
  await appendEntries(world.server.deps, entry(scope))
  await socket.take('event')
  expect(socket.frames.some(({ t }) => t === 'bye')).toBe(false)
  expect(await socket.closed()).toBe(1012)
  expect(socket.frames.at(-1)).toEqual({ t: 'bye', code: 1012, reconnectAfter: [0, 500] })
  await stopped
})

test('a request under way is answered before the server has stopped', async () => {
  const draining = await world.another()
  const { port } = draining
  const body = JSON.stringify({ name: 'Late' })
  const socket = await Bun.connect({
    hostname: '127.0.0.1',
    port,
    socket: {
      data(_socket, bytes) {
        answer += bytes.toString()
      },
    },
  })
  let answer = ''
  socket.write(
    [
      'POST /api/projects HTTP/1.1',
      `Host: 127.0.0.1:${port}`,
      `Authorization: Bearer ${anna.token}`,
      'Content-Type: application/json',
      `Content-Length: ${body.length}`,
      'Connection: close',
      '',
      body.slice(0, 5),
    ].join('\r\n'),
  )
  // The server is reading the rest of the body when it begins to stop.
  await eventually(async () => expect((await fetch(`${draining.url}/livez`)).status).toBe(200))
  const stopped = draining[Symbol.asyncDispose]()
  await eventually(() => expect(draining.deps.draining.aborted).toBe(true))
  socket.write(body.slice(5))
  await stopped
  expect(answer).toStartWith('HTTP/1.1 201')
})

test('while its sockets are closed a server accepts no connection, so that clients go to another one at once', async () => {
  const draining = await world.another({ socketsPerUser: 1_000 })
  const openOne = () => openSocket(draining.url, { token: anna.token })
  const sockets = await Promise.all(Array.from({ length: 200 }, openOne))
  await Promise.all(sockets.map((socket) => socket.take('welcome')))
  const stopped = draining[Symbol.asyncDispose]()
  await Promise.race(sockets.map((socket) => socket.take('bye')))
  const outcome = await fetch(`${draining.url}/livez`).then(
    () => 'served',
    () => 'refused',
  )
  expect(outcome).toBe('refused')
  await Promise.all(sockets.map(closedAt))
  await stopped
})

test('a few sockets are closed at once, many in slices', async () => {
  const few = await world.another()
  const some = await Promise.all(Array.from({ length: 10 }, () => openSocket(few.url, { token: anna.token })))
  const startedAt = performance.now()
  await few[Symbol.asyncDispose]()
  await Promise.all(some.map(closedAt))
  expect(performance.now() - startedAt).toBeLessThan(1_500)

  const many = await world.another({ socketsPerUser: 1_000 })
  const sockets: TestSocket[] = []
  const openOne = () => openSocket(many.url, { token: anna.token })
  while (sockets.length < 400) sockets.push(...(await Promise.all(Array.from({ length: 100 }, openOne))))
  const closing = Promise.all(sockets.map(closedAt))
  await many[Symbol.asyncDispose]()
  const times = (await closing).sort((a, b) => a - b)
  const spreadMs = times.at(-1)! - times[0]!
  console.log(`400 sockets closed over ${spreadMs.toFixed(0)} ms`)
  expect(spreadMs).toBeGreaterThan(600)
  expect(spreadMs).toBeLessThan(3_000)
}, 30_000)

interface Client {
  /** The frames of each of its connections, in order. */
  connections: Frame[][]
  stop(): void
  done: Promise<void>
}

const framesOf = ({ connections }: Client, t: string): Frame[] =>
  connections.flatMap((frames) => frames.filter((frame) => frame.t === t))

/** A socket on the first server that accepts one. */
const openOnAny = (urls: () => string, random: () => number): Promise<TestSocket> =>
  eventually(
    async () => {
      const socket = await openSocket(urls(), { token: anna.token })
      expect(await Promise.race([socket.take('welcome').then(() => null), socket.closed()])).toBeNull()
      return socket
    },
    { timeoutMs: 30_000, everyMs: 20 + random() * 80 },
  )

/** Follows a scope as a client does: reconnects with its last cursor, to any server that accepts it. */
const followOver = (urls: () => string, scope: string, cursor: string, random: () => number): Client => {
  const over = new AbortController()
  const stopped = new Promise<void>((resolve) => over.signal.addEventListener('abort', () => resolve()))
  const client: Client = {
    connections: [],
    stop: () => over.abort(),
    done: Promise.resolve(),
  }
  client.done = (async () => {
    while (!over.signal.aborted) {
      await using socket = await openOnAny(urls, random)
      socket.send({ t: 'sub', rid: 1, scope, cursor: framesOf(client, 'event').at(-1)?.cursor ?? cursor })
      client.connections.push(socket.frames)
      await Promise.race([socket.closed(90_000), stopped])
    }
  })()
  return client
}

test('a rolling restart of three processes under constant writes loses nothing and needs no resync', async () => {
  const random = randomOf(seed)
  const { scope } = await makeProject(world, anna)
  await using stack = new AsyncDisposableStack()
  const start = (port = '0'): Promise<Program> =>
    startProgram(world, { args: ['server'], environment: { PORT: port, DRAIN_DELAY: '1' } })
  const servers = await Promise.all([start(), start(), start()])
  stack.defer(async () => void (await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()))))
  const urlOf = (): string => servers[Math.floor(random() * servers.length)]!.url
  const from = (
    await world.call('GET', `/api/projects/${scope.slice('project:'.length)}/snapshot`, { token: anna.token })
  ).body.cursor
  const clients = Array.from({ length: 200 }, () => followOver(urlOf, scope, from, random))
  await eventually(() => expect(clients.every(({ connections }) => connections.length > 0)).toBe(true), {
    timeoutMs: 15_000,
  })
  const writing = startPacedLoad(5, () => appendEntries(world.server.deps, entry(scope)))
  for (const [n, server] of servers.entries()) {
    const { port } = new URL(server.url)
    expect(await server.stop()).toBe(0)
    servers[n] = await start(port)
  }
  await writing.stop()
  const log = (await world.entries(scope)).map(({ seq }) => seq).slice(1)
  await eventually(
    () => expect(clients.filter((client) => framesOf(client, 'event').length < log.length)).toHaveLength(0),
    { timeoutMs: 20_000, everyMs: 50 },
  )
  for (const client of clients) client.stop()
  await Promise.all(clients.map(({ done }) => done))
  const reconnects = clients.reduce((sum, { connections }) => sum + connections.length - 1, 0)
  console.log(`${log.length} writes, 200 sockets, ${reconnects} reconnects, seed ${seed}`)
  for (const client of clients) {
    expect(framesOf(client, 'resync')).toEqual([])
    expect(framesOf(client, 'event').map(({ cursor }) => Number(cursor.split('.')[2]))).toEqual(log)
  }
  expect(reconnects).toBeGreaterThanOrEqual(clients.length)
}, 90_000)

test('a server stops before its deadline also while PostgreSQL hangs', async () => {
  const server: RunningServer = await world.another()
  const hanging = server.deps.db
    .read((sql) => sql`select pg_sleep(60)`, { deadlineMs: 60_000 })
    .catch(() => {})
  const startedAt = performance.now()
  await server[Symbol.asyncDispose]()
  expect(performance.now() - startedAt).toBeLessThan(12_000)
  await hanging
}, 30_000)
