// Reset of a password by a link: what is sent to whom, every way in which a link fails, and what ends with the old
// password. Invariant under attack: neither answer nor work reveals whether an address has an account.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { userScope } from '../../src/model/scope.ts'
import { linkTokenOf } from '../../src/auth/link-tokens.ts'
import { newId } from '../../src/model/scalar.ts'
import { eventually } from '../support/eventually.ts'
import { linkDeliveries, mailedLink, mailedToken } from '../support/mailed-link.ts'
import { startWorld, testPassword, type Person, type World } from '../support/world.ts'

let world: World

beforeAll(async () => {
  world = await startWorld()
})

afterAll(() => world[Symbol.asyncDispose]())

const request = (email: string) => world.call('POST', '/api/auth/password-reset/request', { body: { email } })

const confirm = (token: string, password = 'another horse battery') =>
  world.call('POST', '/api/auth/password-reset/confirm', { body: { token, password } })

const signIn = (email: string, password: string) =>
  world.call('POST', '/api/auth/login', { body: { email, password } })

const tokenFor = async (person: Person): Promise<string> => {
  expect((await request(person.email)).status).toBe(202)
  return mailedToken(world, 'password_reset', person.email)
}

test('a reset sets the password, verifies the address, and ends every session and socket', async () => {
  const ada = await world.register('Ada')
  await using socket = await world.socket(ada)
  const entries = await world.entryCount()
  const answer = await request(` ${ada.email.toUpperCase()} `)
  expect([answer.status, answer.body, answer.headers.get('cache-control')]).toEqual([202, '', 'no-store'])
  expect(await world.entryCount()).toBe(entries)

  const link = await mailedLink(world, 'password_reset', ada.email)
  expect(link).toMatchObject({ email: ada.email, name: 'Ada', kind: 'password_reset' })
  expect((await confirm(link!.token)).status).toBe(204)
  expect(await socket.closed()).toBe(4403)
  expect((await world.call('GET', '/api/users/me', { token: ada.token })).status).toBe(401)
  const { refreshToken } = ada.session
  expect((await world.call('POST', '/api/auth/refresh', { body: { refreshToken } })).status).toBe(401)
  expect((await signIn(ada.email, testPassword)).status).toBe(401)
  const { status, body } = await signIn(ada.email, 'another horse battery')
  expect([status, body.user.emailVerified]).toEqual([200, true])
  expect((await world.entries(userScope(ada.id))).slice(-2)).toMatchObject([
    { type: 'user.updated', changes: { emailVerified: { from: false, to: true } } },
    { type: 'control', control: { kind: 'sessions', except: null } },
  ])
})

test('tokens and sockets of every process end with the old password, also personal ones', async () => {
  const ada = await world.register('Ada')
  await using second = await world.another()
  await using socket = await world.socket(ada, second.url)
  const { token: personal } = await world.ask(ada, 'POST', '/api/auth/tokens', {
    name: 'Script',
    scopes: ['read'],
  })
  const statusOf = async (url: string, token: string): Promise<number> =>
    (await fetch(`${url}/api/users/me`, { headers: { Authorization: `Bearer ${token}` } })).status
  for (const token of [ada.token, personal])
    for (const url of [world.url, second.url]) expect(await statusOf(url, token)).toBe(200)
  expect((await confirm(await tokenFor(ada))).status).toBe(204)
  expect(await socket.closed(1_000)).toBe(4403)
  for (const token of [ada.token, personal])
    for (const url of [world.url, second.url])
      await eventually(async () => expect(await statusOf(url, token)).toBe(401), { timeoutMs: 1_000 })
})

test('a link counts once, and with it the older ones of the account; a newer password ends it too', async () => {
  const ada = await world.register('Ada')
  const [older, token] = [await tokenFor(ada), await tokenFor(ada)]
  expect(older).not.toBe(token)
  const answers = await Promise.all([1, 2, 3, 4].map(() => confirm(token)))
  expect(answers.map(({ status }) => String(status)).toSorted()).toEqual(['204', '410', '410', '410'])
  for (const used of [token, older])
    expect(await confirm(used, 'a third horse battery')).toMatchObject({
      status: 410,
      body: { code: 'link_used' },
    })
  expect((await signIn(ada.email, 'a third horse battery')).status).toBe(401)
  expect(await mailedLink(world, 'password_reset', ada.email)).toBeNull()

  const { body: session } = await signIn(ada.email, 'another horse battery')
  const pending = await tokenFor(ada)
  const changed = await world.call('PUT', '/api/users/me/password', {
    token: session.accessToken,
    body: { currentPassword: 'another horse battery', password: testPassword },
  })
  expect(changed.status).toBe(200)
  expect(await confirm(pending)).toMatchObject({ status: 410, body: { code: 'link_used' } })
})

test('late, forged, of another kind, and for an account with another address: a code each, and no effect', async () => {
  const { Ada: ada, Bob: bob } = await world.people('Ada', 'Bob')
  const late = await tokenFor(ada)
  await world.server.deps.db.transact(
    (tx) => tx`update account_links set expires_at = now() where email = ${ada.email}`,
  )
  const entries = await world.entryCount()
  const refused = async (token: string, status: number, code: string, password?: string) =>
    expect(await confirm(token, password)).toMatchObject({ status, body: { code } })
  await refused(late, 410, 'link_expired')
  const { config } = world.server.deps
  await refused(linkTokenOf(config, 'password_reset', newId()), 410, 'link_expired') // its row was purged
  // Not the last character: some of its bits are in no byte.
  await refused(`${late.slice(0, -2)}${late.at(-2) === 'A' ? 'B' : 'A'}${late.at(-1)}`, 422, 'link_invalid')
  await refused('none', 422, 'link_invalid')

  await world.call('POST', '/api/auth/email/verify/request', { token: ada.token })
  await refused(await mailedToken(world, 'verification', ada.email), 422, 'link_invalid')

  const fresh = await tokenFor(ada)
  for (const password of ['short', 'password123', 'x'.repeat(129)]) {
    const answer = await confirm(fresh, password)
    expect([answer.status, answer.body.errors[0].pointer]).toEqual([422, '/password'])
  }
  expect(await world.entryCount()).toBe(entries)

  // Ada takes another address, and Bob takes hers: the link to it is for neither of them.
  const move = (person: Person, email: string) =>
    world.ask(person, 'PATCH', '/api/users/me', { email, currentPassword: testPassword })
  await move(ada, `moved-${ada.email}`)
  await refused(fresh, 409, 'link_other_account')
  await move(bob, ada.email)
  await refused(fresh, 409, 'link_other_account')
  expect((await signIn(ada.email, testPassword)).body.user.id).toBe(bob.id)
})

test('a disabled account is sent nothing, and a link it still has is refused', async () => {
  const ada = await world.register('Ada')
  const admin = await world.registerAdmin()
  const token = await tokenFor(ada)
  await world.ask(admin, 'PATCH', `/api/users/${ada.id}`, { disabled: true })
  expect(await confirm(token)).toMatchObject({ status: 403, body: { code: 'user_disabled' } })
  expect((await request(ada.email)).status).toBe(202)
  expect(await mailedLink(world, 'password_reset', ada.email)).toBeNull()
})

test('an account without a password gets one', async () => {
  const admin = await world.registerAdmin()
  const email = `open-${newId()}@example.com`
  await world.ask(admin, 'POST', '/api/users', { email, name: 'Open' })
  await request(email)
  expect((await confirm(await mailedToken(world, 'password_reset', email))).status).toBe(204)
  expect((await signIn(email, 'another horse battery')).status).toBe(200)
})

test('an address without an account gets the same answer, the same rows, and no mail', async () => {
  const ada = await world.register('Ada')
  const unknown = `nobody-${newId()}@example.com`
  const [known, other] = [await request(ada.email), await request(unknown)]
  const comparable = ({ status, headers, body }: typeof known) => {
    const { 'x-request-id': _, date: __, ...rest } = Object.fromEntries(headers)
    return { status, body, rest }
  }
  expect(comparable(other)).toEqual(comparable(known))
  expect(await linkDeliveries(world, 'password_reset', unknown)).toHaveLength(1)
  expect(await mailedLink(world, 'password_reset', unknown)).toBeNull()
  for (const email of ['nowhere', 'a@b\nBcc: c@example.com', '', 'x'.repeat(300), '@', 'a b@example.com'])
    expect((await request(email)).status).toBe(422)
})

test('the token is nowhere in the database', async () => {
  const ada = await world.register('Ada')
  const token = await tokenFor(ada)
  const [deliveries, rows] = await world.server.deps.db.read(async (sql) => [
    await sql<{ all: string }[]>`select string_agg(d::text, ' ') as all from deliveries d`,
    await sql<{ all: string }[]>`select string_agg(l::text, ' ') as all from account_links l`,
  ])
  const stored = `${deliveries[0]!.all} ${rows[0]!.all}`
  const mac = Buffer.from(token.split('.')[1]!, 'base64url')
  for (const form of [token, token.split('.')[1]!, mac.toString('hex'), mac.toString('base64')])
    expect(stored).not.toContain(form)
})

test('five requests an hour are sent from one address, and to one address', async () => {
  await using limited = await startWorld({ rateLimit: true, trustedProxies: 1, passwordResetsPerHour: 5 })
  const send = (email: string, ip: string) =>
    limited.call('POST', '/api/auth/password-reset/request', {
      body: { email },
      headers: { 'X-Forwarded-For': ip },
    })
  const fromOne = await Promise.all([1, 2, 3, 4, 5, 6].map((n) => send(`${n}@example.com`, '192.0.2.1')))
  expect(fromOne.map(({ status }) => String(status)).toSorted()).toEqual([
    '202',
    '202',
    '202',
    '202',
    '202',
    '429',
  ])
  const refused = fromOne.find(({ status }) => status === 429)!
  expect(refused.body.code).toBe('rate_limited')
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
  const toOne: number[] = []
  for (const n of [1, 2, 3, 4, 5, 6])
    toOne.push((await send('Victim@example.com', `192.0.2.${10 + n}`)).status)
  expect(toOne).toEqual([202, 202, 202, 202, 202, 429])
})
