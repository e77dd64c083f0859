// Accounts without a password, as sign-in by another way or an admin makes them: whatever asks for a password is refused
// as for a wrong one, everything else works, and a reset gives them one.
import { afterAll, beforeAll, expect, spyOn, test } from 'bun:test'
import { newId } from '../../src/model/scalar.ts'
import { mailedToken } from '../support/mailed-link.ts'
import { startWorld, testPassword, type Person, type World } from '../support/world.ts'

let world: World

beforeAll(async () => {
  world = await startWorld()
})

afterAll(() => world[Symbol.asyncDispose]())

/** Signed in, by whatever way. */
const passwordless = async (): Promise<Person> => {
  const person = await world.register()
  await world.server.deps.db.transact(
    (tx) => tx`update users set password_hash = null where id = ${person.id}`,
  )
  return person
}

const signIn = (email: string, password: string) =>
  world.call('POST', '/api/auth/login', { body: { email, password } })

test('the schema asks for no password', async () => {
  const id = newId()
  const [row] = await world.server.deps.db.transact(
    (tx) => tx<{ hash: string | null }[]>`
      insert into users (id, email, name) values (${id}, ${`${id}@example.com`}, 'Ada')
      returning password_hash as hash`,
  )
  expect(row!.hash).toBeNull()
})

test('a sign-in is refused as for a wrong password, at the cost of one hash', async () => {
  const [ada, bob] = [await passwordless(), await world.register()]
  using verified = spyOn(Bun.password, 'verify')
  const answers = new Set<string>()
  for (const { email } of [ada, bob]) {
    for (const password of ['not the password', 'null', ' ']) {
      verified.mockClear()
      const { status, body } = await signIn(email, password)
      answers.add(JSON.stringify({ status, ...body, requestId: '' }))
      expect(verified).toHaveBeenCalledTimes(1)
    }
  }
  expect([...answers]).toEqual([expect.stringContaining('invalid_credentials')])
})

test('password, address and account stay without the password that a change asks for', async () => {
  const ada = await passwordless()
  const entries = await world.entryCount()
  const changes: [string, string, Record<string, unknown>, string][] = [
    [
      'PUT',
      '/api/users/me/password',
      { currentPassword: testPassword, password: 'another horse battery' },
      '/currentPassword',
    ],
    [
      'PATCH',
      '/api/users/me',
      { email: `new-${ada.email}`, currentPassword: testPassword },
      '/currentPassword',
    ],
    ['DELETE', '/api/users/me', { password: testPassword }, '/password'],
  ]
  for (const [method, path, body, pointer] of changes) {
    const answer = await world.call(method, path, { token: ada.token, body })
    expect([method, answer.status, answer.body.errors[0].pointer]).toEqual([method, 422, pointer])
  }
  expect(await world.entryCount()).toBe(entries)
})

test('what asks for no password works: profile, sessions, tokens, administration', async () => {
  const ada = await passwordless()
  expect(await world.ask(ada, 'PATCH', '/api/users/me', { name: 'Ada' })).toMatchObject({ name: 'Ada' })
  const { refreshToken } = ada.session
  const refreshed = await world.call('POST', '/api/auth/refresh', { body: { refreshToken } })
  expect(refreshed.status).toBe(200)
  const token = await world.ask(ada, 'POST', '/api/auth/tokens', { name: 'CI', scopes: ['read'] })
  expect((await world.call('GET', '/api/users/me', { token: token.token })).status).toBe(200)
  const admin = await world.registerAdmin()
  expect(await world.ask(admin, 'PATCH', `/api/users/${ada.id}`, { disabled: true })).toMatchObject({
    disabled: true,
  })
  expect(await world.ask(admin, 'PATCH', `/api/users/${ada.id}`, { disabled: false })).toMatchObject({
    disabled: false,
  })
  expect((await world.call('DELETE', `/api/users/${ada.id}`, { token: admin.token })).status).toBe(204)
})

test('a reset gives it a password, with which it changes its address and is deleted', async () => {
  const ada = await passwordless()
  const password = 'another horse battery'
  await world.call('POST', '/api/auth/password-reset/request', { body: { email: ada.email } })
  const token = await mailedToken(world, 'password_reset', ada.email)
  const confirmed = await world.call('POST', '/api/auth/password-reset/confirm', {
    body: { token, password },
  })
  expect(confirmed.status).toBe(204)
  const { body } = await signIn(ada.email, password)
  const signedIn = { ...ada, token: body.accessToken }
  const email = `new-${ada.email}`
  expect(
    await world.ask(signedIn, 'PATCH', '/api/users/me', { email, currentPassword: password }),
  ).toMatchObject({ email, emailVerified: false })
  await world.ask(signedIn, 'DELETE', '/api/users/me', { password })
  expect((await signIn(email, password)).status).toBe(401)
})
