// Who may register: everyone, the invited, no one. An invitation is for one address and one account.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { newId } from '../../src/model/scalar.ts'
import { mailedLink, mailedToken } from '../support/mailed-link.ts'
import { startWorld, testPassword, type Person, type World } from '../support/world.ts'

let open: World
let world: World
let admin: Person

/** An admin where registration is not open. */
const adminOf = async (closed: World): Promise<Person> => {
  const email = `admin-${newId()}@example.com`
  const { db, passwords } = closed.server.deps
  const hash = await passwords.hash(testPassword)
  await db.transact(
    (tx) => tx`
      insert into users (id, email, name, role, password_hash)
      values (${newId()}, ${email}, 'Admin', 'admin', ${hash})`,
  )
  const { body } = await closed.call('POST', '/api/auth/login', { body: { email, password: testPassword } })
  return { id: body.user.id, email, token: body.accessToken, session: body, inboxId: '' }
}

beforeAll(async () => {
  open = await startWorld()
  world = await startWorld({ registration: 'invite' })
  admin = await adminOf(world)
})

afterAll(async () => {
  await open[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

const register = (where: World, email: string, invitation?: string) =>
  where.call('POST', '/api/auth/register', {
    body: { email, name: 'New', password: testPassword, ...(invitation !== undefined && { invitation }) },
  })

const invite = (email: string, person = admin) =>
  world.call('POST', '/api/invitations', { token: person.token, body: { email } })

const freshEmail = (): string => `invited-${newId()}@example.com`

test('an invited person registers once, with a verified address', async () => {
  const email = freshEmail()
  expect(await register(world, email)).toMatchObject({ status: 403, body: { code: 'invitation_required' } })
  const made = await invite(` ${email.toUpperCase()}`)
  expect(made).toMatchObject({ status: 201, body: { email, acceptedAt: null } })
  expect(JSON.stringify(made.body)).not.toContain('token')
  const link = await mailedLink(world, 'invitation', email)
  expect(link).toMatchObject({ kind: 'invitation', email, name: null, inviterName: 'Admin' })

  const other = await register(world, freshEmail(), link!.token)
  expect(other).toMatchObject({ status: 409, body: { code: 'link_other_account' } })
  const answers = await Promise.all([1, 2, 3].map(() => register(world, email, link!.token)))
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(1)
  const done = answers.find(({ status }) => status === 201)!
  expect(done.body.user).toMatchObject({ email, emailVerified: true, role: 'user' })
  for (const { status, body } of answers)
    if (status !== 201) expect(['link_used', 'email_taken']).toContain(body.code)
  expect(await register(world, email, link!.token)).toMatchObject({
    status: 410,
    body: { code: 'link_used' },
  })
  const { body: list } = await world.call('GET', '/api/invitations?limit=1', { token: admin.token })
  expect(list.items).toMatchObject([{ id: made.body.id, email, acceptedAt: expect.any(String) }])
  expect(await mailedLink(world, 'invitation', email)).toBeNull()
})

test('a later invitation replaces the earlier one; withdrawn, expired and forged ones are refused', async () => {
  const email = freshEmail()
  await invite(email)
  const first = await mailedToken(world, 'invitation', email)
  const { body: second } = await invite(email)
  const token = await mailedToken(world, 'invitation', email)
  expect(await register(world, email, first)).toMatchObject({ status: 410, body: { code: 'link_expired' } })
  const withdraw = () => world.call('DELETE', `/api/invitations/${second.id}`, { token: admin.token })
  expect([(await withdraw()).status, (await withdraw()).status]).toEqual([204, 404])
  expect(await register(world, email, token)).toMatchObject({ status: 410, body: { code: 'link_expired' } })

  await invite(email)
  const late = await mailedToken(world, 'invitation', email)
  await world.server.deps.db.transact(
    (tx) => tx`update account_links set expires_at = now() where email = ${email}`,
  )
  expect(await register(world, email, late)).toMatchObject({ status: 410, body: { code: 'link_expired' } })
  expect(await register(world, email, 'none')).toMatchObject({
    status: 422,
    body: { code: 'link_invalid', errors: [{ pointer: '/invitation' }] },
  })
})

test('only admins invite, and only addresses without an account', async () => {
  const email = freshEmail()
  await invite(email)
  const { body } = await register(world, email, await mailedToken(world, 'invitation', email))
  const bob = { ...admin, token: body.accessToken }
  for (const [method, path, sent] of [
    ['GET', '', undefined],
    ['POST', '', { email: freshEmail() }],
    ['DELETE', `/${newId()}`, undefined],
  ] as const) {
    const answer = await world.call(method, `/api/invitations${path}`, { token: bob.token, body: sent })
    expect(answer).toMatchObject({ status: 403, body: { code: 'forbidden' } })
  }
  expect(await invite(email)).toMatchObject({ status: 409, body: { code: 'email_taken' } })
  expect((await invite('nowhere')).status).toBe(422)
})

test('where registration is closed no one registers or is invited', async () => {
  await using closed = await startWorld({ registration: 'closed' })
  const boss = await adminOf(closed)
  expect(await register(closed, freshEmail())).toMatchObject({
    status: 403,
    body: { code: 'registration_closed' },
  })
  const invited = await closed.call('POST', '/api/invitations', {
    token: boss.token,
    body: { email: freshEmail() },
  })
  expect(invited).toMatchObject({ status: 403, body: { code: 'registration_closed' } })
  expect(
    await closed.call('POST', '/api/users', {
      token: boss.token,
      body: { email: freshEmail(), name: 'Made' },
    }),
  ).toMatchObject({ status: 201 })
})

test('where registration is open an invitation verifies the address', async () => {
  const boss = await open.registerAdmin()
  const email = freshEmail()
  await open.call('POST', '/api/invitations', { token: boss.token, body: { email } })
  const { body } = await register(open, email, await mailedToken(open, 'invitation', email))
  expect(body.user.emailVerified).toBe(true)
  expect((await register(open, freshEmail())).body.user.emailVerified).toBe(false)
})
