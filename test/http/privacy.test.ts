// The search of every answer and frame that tests receive: it finds an address of another user and a hash, and lets pass
// what the caller may read.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { IssuedToken } from '../../src/model/personal-token.ts'
import { projectScope } from '../../src/model/scope.ts'
import { createPrivacyCheck } from '../support/privacy.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { appendEntries, entry } from '../ws/log-writes.ts'

let world: World
let ada: Person
let bob: Person
let admin: Person

beforeAll(async () => {
  world = await startWorld()
  ;({ ada, bob } = await world.people('ada', 'bob'))
  admin = await world.registerAdmin()
})

afterAll(() => world[Symbol.asyncDispose]())

const search = (token: string | undefined, answer: object, sent?: string, path = '/api/projects') =>
  createPrivacyCheck(world.server.deps.db)
    .check({ method: 'POST', path, sent, token, text: JSON.stringify(answer) })
    .then(
      () => null,
      ({ message }: Error) => message,
    )

test('an answer with the address of another user is found', async () => {
  const answer = { items: [{ name: 'Bob', email: bob.email }] }
  expect(await search(ada.token, answer)).toContain(`reveals the address ${bob.email}`)
  expect(await search(undefined, answer)).toContain(`reveals the address ${bob.email}`)
  expect(await search(ada.token, { detail: `${bob.email.toUpperCase()} is taken` })).toContain('reveals')
  const { token } = await world.ask<IssuedToken>(ada, 'POST', '/api/auth/tokens', {
    name: 'CI',
    scopes: ['read'],
  })
  expect(await search(token, answer)).toContain('reveals')
  expect(await search(token, { email: ada.email })).toBeNull()
})

test('the own address, one that was sent, what is no address of a user, and all to admins pass', async () => {
  const answer = { email: bob.email }
  expect(await search(bob.token, answer)).toBeNull()
  expect(await search(admin.token, answer)).toBeNull()
  expect(await search(ada.token, answer, JSON.stringify({ email: ` ${bob.email.toUpperCase()}` }))).toBeNull()
  expect(
    await search(ada.token, answer, undefined, `/api/users/search?q=${encodeURIComponent(bob.email)}`),
  ).toBeNull()
  expect(await search(ada.token, { body: 'Write to nobody@example.org' })).toBeNull()
})

test('a hash of a password or token is found', async () => {
  expect(await search(admin.token, { hash: '$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA' })).toContain(
    'a hash',
  )
  expect(await search(admin.token, { hash: '$2b$10$abcdefghijklmnopqrstuv' })).toContain('a hash')
  expect(await search(admin.token, { tokenHash: '00' })).toContain('a hash')
})

test('a frame with the address of another user is found when its socket is closed', async () => {
  const scope = projectScope(ada.inboxId)
  const received = async (data: Record<string, unknown>): Promise<void> => {
    await using socket = await world.socket(ada)
    socket.send({ t: 'sub', rid: 1, scope, cursor: null })
    await socket.take('synced')
    await appendEntries(world.server.deps, entry(scope, data))
    await socket.take('event')
  }
  await received({ email: ada.email })
  expect(
    await received({ email: bob.email }).then(
      () => null,
      ({ message }: Error) => message,
    ),
  ).toContain(`reveals the address ${bob.email}`)
})
