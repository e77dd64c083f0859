// Every password check is limited like a sign-in, also for signed-in users; correct passwords are not counted, and the
// attempts of others do not lock the owner out.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { startWorld, testPassword, type Person, type World } from '../support/world.ts'

let world: World
let addresses = 0

beforeAll(async () => {
  world = await startWorld({ rateLimit: true, trustedProxies: 1, registrationsPerHour: 1_000 })
})

afterAll(() => world[Symbol.asyncDispose]())

const freshAddress = (): string => `198.51.${(addresses += 1) >> 8}.${addresses & 255}`

const from = (ip: string) => ({ headers: { 'X-Forwarded-For': ip } })

/** A person and the address it signed in from. */
const personAt = async (ip = freshAddress()): Promise<Person & { ip: string }> => {
  const email = `${Bun.randomUUIDv7()}@example.com`
  const { body } = await world.call('POST', '/api/auth/register', {
    ...from(ip),
    body: { email, name: 'Ada', password: testPassword },
  })
  return { id: body.user.id, email, token: body.accessToken, session: body, inboxId: '', ip }
}

const signIn = (email: string, password: string, ip: string) =>
  world.call('POST', '/api/auth/login', { ...from(ip), body: { email, password } })

const wrong = 'not the password'

const checks: [
  string,
  (person: Person, password: string, ip: string) => Promise<{ status: number; headers: Headers }>,
][] = [
  [
    'a new password',
    ({ token }, currentPassword, ip) =>
      world.call('PUT', '/api/users/me/password', {
        ...from(ip),
        token,
        body: { currentPassword, password: 'another horse battery' },
      }),
  ],
  [
    'a new address',
    ({ token }, currentPassword, ip) =>
      world.call('PATCH', '/api/users/me', {
        ...from(ip),
        token,
        body: { currentPassword, email: `${Bun.randomUUIDv7()}@example.com` },
      }),
  ],
  [
    'the end of the account',
    ({ token }, password, ip) =>
      world.call('DELETE', '/api/users/me', { ...from(ip), token, body: { password } }),
  ],
]

test.each(checks)(
  'of 12 wrong passwords for %s ten are checked, and sign-ins count with them',
  async (_, check) => {
    const ada = await personAt()
    const bob = await personAt(ada.ip)
    const statuses = []
    for (let count = 0; count < 12; count += 1) statuses.push((await check(ada, wrong, ada.ip)).status)
    expect(statuses).toEqual([...Array<number>(10).fill(422), 429, 429])
    const refused = await check(ada, testPassword, ada.ip)
    expect(refused.status).toBe(429)
    expect(Number(refused.headers.get('retry-after'))).toBeWithin(1, 901)
    expect(refused.headers.get('ratelimit-policy')).toBe('"sign-ins-account";q=10;w=900')
    expect((await signIn(ada.email, testPassword, ada.ip)).status).toBe(429)
    expect((await world.call('GET', '/api/users/me', { token: ada.token })).status).toBe(200)
    // The failures count for the address, but not against an account that is at home there.
    expect((await signIn(bob.email, testPassword, ada.ip)).status).toBe(200)
    expect((await signIn('stranger@example.com', wrong, ada.ip)).status).toBe(429)
  },
)

test('a live session checks passwords at an address where strangers have used up the limit', async () => {
  const ada = await personAt()
  const cafe = freshAddress()
  for (let count = 0; count < 10; count += 1) await signIn(ada.email, wrong, cafe)
  expect((await signIn(ada.email, testPassword, cafe)).status).toBe(429)
  expect((await checks[0]![1](ada, testPassword, cafe)).status).toBe(200)
})

test('failures from eleven addresses lock the owner out of no address it signed in from recently', async () => {
  const ada = await personAt()
  const statuses = []
  for (let count = 0; count < 11; count += 1)
    statuses.push((await signIn(ada.email, wrong, freshAddress())).status)
  expect(statuses).toEqual([...Array<number>(10).fill(401), 429])
  expect((await signIn(ada.email, testPassword, freshAddress())).status).toBe(429)
  expect((await signIn(ada.email, testPassword, ada.ip)).status).toBe(200)
  await world.server.deps.db.transact(
    (tx) => tx`update sessions set last_seen_at = now() - interval '31 days' where user_id = ${ada.id}`,
  )
  expect((await signIn(ada.email, testPassword, ada.ip)).status).toBe(429)
})

test('25 users behind one address who sign in at once all succeed, wherever they signed in before', async () => {
  const office = freshAddress()
  const people = await Promise.all(Array.from({ length: 25 }, () => personAt()))
  for (let round = 0; round < 2; round += 1) {
    const answers = await Promise.all(people.map(({ email }) => signIn(email, testPassword, office)))
    expect(answers.map(({ status }) => status)).toEqual(Array<number>(25).fill(200))
  }
}, 30_000)

test('what checks no password is not limited with it, and right passwords do not count', async () => {
  const ada = await personAt()
  for (let count = 0; count < 12; count += 1) {
    const name = `Ada ${count}`
    expect((await world.call('PATCH', '/api/users/me', { token: ada.token, body: { name } })).status).toBe(
      200,
    )
    const email = `${Bun.randomUUIDv7()}@example.com`
    const body = { email, currentPassword: testPassword }
    expect((await world.call('PATCH', '/api/users/me', { token: ada.token, body })).status).toBe(200)
  }
})

test('password checks of signed-in users take no turn from sign-ins', async () => {
  const people = await Promise.all(Array.from({ length: 12 }, () => personAt()))
  const [checkPassword] = checks.map(([, check]) => check)
  const over = new AbortController()
  const busy = people.slice(0, 6).map(async (person) => {
    while (!over.signal.aborted)
      await Promise.all(Array.from({ length: 6 }, () => checkPassword!(person, testPassword, person.ip)))
  })
  const answers = await Promise.all(
    Array.from({ length: 30 }, (_, index) => {
      const { email, ip } = people[6 + (index % 6)]!
      return signIn(email, testPassword, ip)
    }),
  )
  over.abort()
  await Promise.all(busy)
  expect(answers.map(({ status }) => status)).toEqual(Array<number>(30).fill(200))
}, 30_000)
