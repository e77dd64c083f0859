// Verification of the own address by a link, and what a change of the address does to it.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { userScope } from '../../src/model/scope.ts'
import { linkDeliveries, mailedLink, mailedToken } from '../support/mailed-link.ts'
import { startWorld, testPassword, type Person, type World } from '../support/world.ts'

let world: World

beforeAll(async () => {
  world = await startWorld()
})

afterAll(() => world[Symbol.asyncDispose]())

const request = ({ token }: Person) => world.call('POST', '/api/auth/email/verify/request', { token })

const confirm = (token: string, person?: Person) =>
  world.call('POST', '/api/auth/email/verify/confirm', {
    body: { token },
    ...(person && { token: person.token }),
  })

const isVerified = async (person: Person): Promise<boolean> =>
  (await world.ask(person, 'GET', '/api/users/me')).emailVerified

test('a link verifies the address once, in any browser, and open sockets receive it', async () => {
  const ada = await world.register('Ada')
  await using socket = await world.socket(ada)
  socket.send({ t: 'sub', rid: 1, scope: 'user:me', cursor: null })
  await socket.take('synced')
  const { status, body, headers } = await request(ada)
  expect([status, body, headers.get('cache-control')]).toEqual([202, '', 'no-store'])
  const token = await mailedToken(world, 'verification', ada.email)
  expect((await confirm(token)).status).toBe(204)
  expect(await socket.take('event')).toMatchObject({
    type: 'user.updated',
    changed: ['emailVerified'],
    data: { id: ada.id, emailVerified: true },
  })
  expect(await confirm(token)).toMatchObject({ status: 410, body: { code: 'link_used' } })

  // Another request sends nothing: there is nothing to verify.
  expect((await request(ada)).status).toBe(202)
  expect(await linkDeliveries(world, 'verification', ada.email)).toHaveLength(1)
})

test('a new address is unverified, and the link to the earlier one is for another address', async () => {
  const ada = await world.register('Ada')
  await request(ada)
  const before = await mailedToken(world, 'verification', ada.email)
  const email = `moved-${ada.email}`
  await world.ask(ada, 'PATCH', '/api/users/me', { email, currentPassword: testPassword })
  expect(await confirm(before)).toMatchObject({ status: 409, body: { code: 'link_other_account' } })
  expect(await mailedLink(world, 'verification', ada.email)).toBeNull()

  await request(ada)
  expect((await confirm(await mailedToken(world, 'verification', email), ada)).status).toBe(204)
  expect(await isVerified(ada)).toBe(true)
  await world.ask(ada, 'PATCH', '/api/users/me', { email: ada.email, currentPassword: testPassword })
  expect(await isVerified(ada)).toBe(false)
  expect((await world.entries(userScope(ada.id))).at(-1)).toMatchObject({
    type: 'user.updated',
    changes: { email: { from: email, to: ada.email }, emailVerified: { from: true, to: false } },
  })
})

test('signed in as another user, late, forged or with a bad token: refused, and nothing is verified', async () => {
  const { Ada: ada, Bob: bob } = await world.people('Ada', 'Bob')
  await request(ada)
  const token = await mailedToken(world, 'verification', ada.email)
  const entries = await world.entryCount()
  expect(await confirm(token, bob)).toMatchObject({ status: 409, body: { code: 'link_other_account' } })
  expect((await confirm(token, { ...bob, token: 'none' })).status).toBe(401)
  expect(await confirm('none')).toMatchObject({
    status: 422,
    body: { code: 'link_invalid', errors: [{ pointer: '/token' }] },
  })
  await world.server.deps.db.transact(
    (tx) => tx`update account_links set expires_at = now() where email = ${ada.email}`,
  )
  expect(await confirm(token)).toMatchObject({ status: 410, body: { code: 'link_expired' } })
  expect(await isVerified(ada)).toBe(false)
  expect(await world.entryCount()).toBe(entries)
  expect((await world.call('POST', '/api/auth/email/verify/request')).status).toBe(401)
})

test('a person is sent five links an hour', async () => {
  await using limited = await startWorld({ rateLimit: true, verificationsPerHour: 5 })
  const ada = await limited.register('Ada')
  const statuses: number[] = []
  for (let n = 0; n < 6; n += 1)
    statuses.push((await limited.call('POST', '/api/auth/email/verify/request', { token: ada.token })).status)
  expect(statuses).toEqual([202, 202, 202, 202, 202, 429])
})
