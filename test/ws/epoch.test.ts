// Entries just before a new epoch may not have been delivered to any process. Their effects hold all the same.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { append } from '../../src/db/log/append.ts'
import { ensureEpoch } from '../../src/db/log/epochs.ts'
import { readHead } from '../../src/db/log/feed.ts'
import { deleteMember } from '../../src/db/projects/members.ts'
import { revokePersonalToken } from '../../src/db/users/personal-tokens.ts'
import { revokeSession } from '../../src/db/users/sessions.ts'
import type { Tx } from '../../src/db/client.ts'
import { projectScope, shardOf, userScope } from '../../src/model/scope.ts'
import { type Control, type Entry } from '../../src/model/event.ts'
import { eventually } from '../support/eventually.ts'
import { openSocket } from '../support/socket.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { makeProject } from './log-writes.ts'

let world: World
let anna: Person

beforeAll(async () => {
  world = await startWorld()
  anna = await world.register()
}, 30_000)
afterAll(() => world[Symbol.asyncDispose]())

/** Commits a change, its entry and a new epoch in one transaction: followers continue after both. */
const appendBeforeNewEpoch = (change: (tx: Tx) => Promise<unknown>, entry: Entry): Promise<unknown> =>
  world.server.deps.db.transact(async (tx) => {
    await change(tx)
    await append(tx, [entry])
    await ensureEpoch(tx, true)
  })

const control = (userId: string, order: Control): Entry => ({
  scope: userScope(userId),
  type: 'control',
  id: null,
  actorId: null,
  control: order,
})

const login = async ({ email }: Person): Promise<{ token: string; sessionId: string }> => {
  const { body } = await world.call('POST', '/api/auth/login', {
    body: { email, password: 'correct horse battery' },
  })
  const [, claims] = String(body.accessToken).split('.')
  const { sid } = JSON.parse(Buffer.from(claims!, 'base64url').toString())
  return { token: body.accessToken, sessionId: sid }
}

test('the sockets of an ended session are closed, those of other sessions stay open', async () => {
  const ended = await login(anna)
  await using lost = await world.socket(ended)
  await using kept = await world.socket(anna)
  await appendBeforeNewEpoch(
    (tx) => revokeSession(tx, anna.id, ended.sessionId),
    control(anna.id, { kind: 'session', sessionId: ended.sessionId }),
  )
  expect(await lost.closed()).toBe(4403)
  kept.send({ t: 'ping' })
  await kept.take('pong')
})

test('the sockets of a revoked personal access token are closed, those of another stay open', async () => {
  const make = () => world.ask(anna, 'POST', '/api/auth/tokens', { name: 'CI', scopes: ['read'] })
  const open = async ({ token }: { token: string }) => {
    const socket = await openSocket(world.url)
    socket.send({ t: 'hello', token })
    await socket.take('welcome')
    return socket
  }
  const [ended, other] = [await make(), await make()]
  await using lost = await open(ended)
  await using kept = await open(other)
  await appendBeforeNewEpoch(
    (tx) => revokePersonalToken(tx, anna.id, ended.id),
    control(anna.id, { kind: 'token', tokenId: ended.id }),
  )
  expect(await lost.closed()).toBe(4403)
  kept.send({ t: 'ping' })
  await kept.take('pong')
})

test('the sockets of a user whose role changed are closed, to reconnect with the new role', async () => {
  const person = await world.registerAdmin()
  await using socket = await world.socket(person)
  await appendBeforeNewEpoch(
    (tx) => tx`update users set role = 'user' where id = ${person.id}`,
    control(person.id, { kind: 'role' }),
  )
  expect(await socket.closed()).toBe(4010)
})

test('the watches of a removed member end', async () => {
  const bert = await world.register()
  const project = await makeProject(world, anna, { editor: bert })
  await using socket = await world.socket(bert)
  const key = `project:${project.id}`
  socket.send({ t: 'watch', rid: 1, key })
  expect(await socket.take((frame) => frame.rid === 1)).toMatchObject({ t: 'ok' })
  await appendBeforeNewEpoch((tx) => deleteMember(tx, project.id, bert.id), {
    scope: projectScope(project.id),
    type: 'member.removed',
    id: bert.id,
    actorId: anna.id,
    control: { kind: 'revoke', userId: bert.id },
  })
  expect(await socket.take('error')).toEqual({ t: 'error', key, code: 'not_found' })
})

test('a long poll ends at once and names the snapshot to read', async () => {
  const scope = projectScope(anna.inboxId)
  const shard = shardOf(scope)
  const { epoch, seq } = await world.server.deps.db.read((sql) => readHead(sql, shard))
  const polling = world.call('GET', `/api/sync?scope=${scope}&cursor=${epoch}.${shard}.${seq}&wait=25`, {
    token: anna.token,
  })
  await eventually(() => expect(world.server.deps.follower.scopeCount).toBeGreaterThan(0))
  await world.server.deps.db.transact((tx) => ensureEpoch(tx, true))
  const { status, body } = await polling
  expect({ status, ...body }).toMatchObject({ status: 410, code: 'cursor_expired', reason: 'epoch', scope })
})
