// What returning clients cost PostgreSQL, in statements: a storm is few statements over many clients, and none is turned
// away that could be served.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { RunningServer } from '../../src/app/compose.ts'
import { insertSession } from '../../src/db/users/sessions.ts'
import { formatCursor } from '../../src/model/event.ts'
import { newId } from '../../src/model/scalar.ts'
import { shardOf, type Scope } from '../../src/model/scope.ts'
import { meterPostgres, type PostgresMeter } from '../support/postgres-meter.ts'
import { openSocket } from '../support/socket.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { appendMany, makeProject, untilCaughtUp } from './log-writes.ts'

const clients = 1_000
const missed = 30
const stack = new AsyncDisposableStack()
let world: World
let meter: PostgresMeter
let server: RunningServer
let users: { person: Person; scope: Scope; before: number }[]
let tokens: string[]

beforeAll(async () => {
  world = stack.use(await startWorld())
  users = []
  for (let n = 0; n < 5; n += 1) {
    const person = await world.register()
    const { scope } = await makeProject(world, person)
    await untilCaughtUp(world.server)
    const before = world.server.deps.follower.positions[shardOf(scope)]!
    await appendMany(world.server.deps, scope, missed)
    users.push({ person, scope, before })
  }
  // A session each, as a thousand people have.
  const { deps } = world.server
  tokens = []
  await deps.db.transact(async (tx) => {
    for (let n = 0; n < clients; n += 1) {
      const { id: userId } = users[n % users.length]!.person
      const sessionId = newId()
      const tokenHash = crypto.getRandomValues(new Uint8Array(32))
      await insertSession(tx, { id: sessionId, userId, tokenHash, userAgent: '', ip: '' })
      tokens.push(await deps.tokens.sign({ userId, sessionId }))
    }
  })
  meter = stack.use(await meterPostgres(deps.config.databaseUrl, 'tasktide server'))
  server = stack.use(await world.another({ databaseUrl: meter.url, socketsPerUser: 1_000 }))
}, 60_000)
afterAll(() => stack.disposeAsync(), 30_000)

test('a thousand clients that return at once resume by a few statements', async () => {
  meter.take()
  const { epoch } = server.deps.follower
  const sockets = await Promise.all(tokens.map((token) => openSocket(server.url, { token })))
  await using open = new AsyncDisposableStack()
  for (const socket of sockets) open.use(socket)
  await Promise.all(sockets.map((socket) => socket.take('welcome')))
  const identified = meter.take()
  // Cursors 0 to 29 entries behind.
  for (const [n, socket] of sockets.entries()) {
    const { scope, before } = users[n % users.length]!
    const cursor = formatCursor({ epoch, shard: shardOf(scope), seq: before + (n % missed) })
    socket.send({ t: 'sub', rid: 1, scope, cursor })
  }
  await Promise.all(sockets.map((socket) => socket.take('synced')))
  const resumed = meter.take()
  console.log({ identified: identified.statements, resumed: resumed.statements })
  for (const [n, { frames }] of sockets.entries())
    expect(frames.filter(({ t }) => t === 'event')).toHaveLength(missed - (n % missed))
  expect(server.deps.stats.overloaded).toBe(0)
  // One statement for each client would be 1,000; joining alone was 2,000.
  expect(identified.statements).toBeLessThan(100)
  expect(resumed.statements).toBeLessThan(100)
}, 60_000)
