// E-mail addresses of every odd kind, at every route that takes one: what is none, or could be read as two, as a name or as
// a header, makes no account, sends nothing and names no one; what is one is one account in any spelling.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { newId } from '../../src/model/scalar.ts'
import { startWorld, testPassword, type Person, type World } from '../support/world.ts'

let world: World
let ada: Person
let admin: Person
let projectId: string
let taskId: string

beforeAll(async () => {
  world = await startWorld()
  ada = await world.register('Ada')
  admin = await world.registerAdmin()
  projectId = (await world.project(ada)).id
  taskId = (await world.ask(ada, 'POST', '/api/tasks', { title: 'One' })).id
}, 30_000)

afterAll(() => world[Symbol.asyncDispose]())

/** Rows that a route could write, by table. */
const written = async (): Promise<Record<string, number>> => {
  const [row] = await world.server.deps.db.read(
    (sql) => sql<Record<string, number>[]>`
      select
        (select count(*) from users)::int as users, (select count(*) from projects)::int as projects,
        (select count(*) from account_links)::int as links, (select count(*) from deliveries)::int as deliveries,
        (select count(*) from members)::int as members, (select count(*) from shares)::int as shares,
        (select count(*) from feed where type <> 'stats.updated')::int as entries`,
  )
  return row!
}

const none = [
  'nowhere',
  '@',
  '@example.com',
  'ada@',
  'ada@.example.com',
  'ada@example..com',
  'ada@-example.com',
  'a..b@example.com',
  '.ada@example.com',
  'ada.@example.com',
  'a b@example.com',
  'ada@exa mple.com',
  'ada@example.com, eve@example.com',
  'ada@example.com;eve@example.com',
  'Ada <ada@example.com>',
  '<ada@example.com>',
  '"ada eve"@example.com',
  'ada(comment)@example.com',
  'group:ada@example.com',
  'ada@example.com@example.org',
  'ada@[127.0.0.1]',
  'ada@example.com\r\nBcc: eve@example.com',
  'ada@example.com\nBcc: eve@example.com',
  'ada\r\n@example.com',
  'ada\t@example.com',
  'ada\u0000@example.com',
  'ada\u0085@example.com',
  'ada\u2028@example.com',
  'ada\u00a0@example.com',
  'ada\ud800@example.com',
  `${'a'.repeat(65)}@example.com`,
  `ada@${'a'.repeat(64)}.com`,
  `ada@${'a.'.repeat(124)}com`,
  `${'a'.repeat(60)}@${'a'.repeat(1_000)}.com`,
]

test.each(none)(
  '%j is no address: 422 and nothing written, wherever an account is made or mailed',
  async (email) => {
    const before = await written()
    const requests: [string, string, Person | null, object][] = [
      ['POST', '/api/auth/register', null, { email, name: 'Eve', password: testPassword }],
      ['PATCH', '/api/users/me', ada, { email, currentPassword: testPassword }],
      ['POST', '/api/users', admin, { email, name: 'Eve' }],
      ['POST', '/api/invitations', admin, { email }],
      ['POST', '/api/auth/password-reset/request', null, { email }],
    ]
    for (const [method, path, caller, body] of requests) {
      const answer = await world.call(method, path, { body, ...(caller && { token: caller.token }) })
      expect([path, answer.status, answer.body.code]).toEqual([path, 422, 'validation_failed'])
      expect([path, answer.body.errors[0].pointer]).toEqual([path, '/email'])
      expect(JSON.stringify(answer.body)).not.toContain('eve@')
    }
    expect(await written()).toEqual(before)
  },
)

test.each(none)('%j names no one where a person is looked up', async (email) => {
  const before = await written()
  const member = await world.call('POST', `/api/projects/${projectId}/members`, {
    token: ada.token,
    body: { email, role: 'viewer' },
  })
  const share = await world.call('POST', `/api/tasks/${taskId}/shares`, {
    token: ada.token,
    body: { email, permission: 'view' },
  })
  for (const answer of [member, share]) {
    expect(answer.status).toBe(422)
    expect(['user_not_found', 'validation_failed']).toContain(answer.body.code)
    expect(answer.body.errors[0].pointer).toBe('/email')
  }
  const signIn = await world.call('POST', '/api/auth/login', { body: { email, password: testPassword } })
  expect([401, 422]).toContain(signIn.status)
  const found = await world.call('GET', `/api/users/search?q=${encodeURIComponent(email.toWellFormed())}`, {
    token: ada.token,
  })
  expect([200, 422]).toContain(found.status)
  if (found.status === 200) expect(found.body.items).toEqual([])
  expect(await written()).toEqual(before)
})

test.each([
  [
    'capitals',
    (name: string) => `${name.toUpperCase()}@EXAMPLE.COM`,
    (name: string) => `${name}@example.com`,
  ],
  ['white space around it', (name) => ` \t${name}@example.com\n`, (name) => `${name}@example.com`],
  ['decomposed letters', (name) => `${name}-u\u0308@example.com`, (name) => `${name}-\u00fc@example.com`],
  ['a decomposed domain', (name) => `${name}@exa\u0308mple.de`, (name) => `${name}@ex\u00e4mple.de`],
  ['capitals of another script', (name) => `${name}-ИМЯ@ПРИМЕР.РФ`, (name) => `${name}-имя@пример.рф`],
] as [string, (name: string) => string, (name: string) => string][])(
  'an address with %s is the account that has it in the other spelling',
  async (_what, spelled, stored) => {
    const name = newId()
    const register = (email: string) =>
      world.call('POST', '/api/auth/register', { body: { email, name: 'Ada', password: testPassword } })
    const made = await register(spelled(name))
    expect([made.status, made.body.user.email]).toEqual([201, stored(name)])
    const before = await written()
    for (const email of [spelled(name), stored(name)]) {
      expect(await register(email)).toMatchObject({ status: 409, body: { code: 'email_taken' } })
      const invited = await world.call('POST', '/api/invitations', { token: admin.token, body: { email } })
      expect(invited).toMatchObject({ status: 409, body: { code: 'email_taken' } })
      const moved = await world.call('PATCH', '/api/users/me', {
        token: ada.token,
        body: { email, currentPassword: testPassword },
      })
      expect(moved).toMatchObject({ status: 409, body: { code: 'email_taken' } })
    }
    expect(await written()).toEqual(before)
    for (const email of [spelled(name), stored(name)])
      expect(
        (await world.call('POST', '/api/auth/login', { body: { email, password: testPassword } })).status,
      ).toBe(200)
  },
)
