// REST methods: iteration over pages, conflicts with both versions, retries without a second effect.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { createClient, type Client } from '../../packages/client/src/client.ts'
import { ApiError, ConflictError, NetworkError } from '../../packages/client/src/errors.ts'
import type { Fetch } from '../../packages/client/src/http/request.ts'
import { png } from '../support/images.ts'
import { mailedToken } from '../support/mailed-link.ts'
import { startWorld, testPassword, type Person, type World } from '../support/world.ts'
import { quick } from './scripted.ts'

let world: World
let ada: Person
const stack = new AsyncDisposableStack()

beforeAll(async () => {
  world = stack.use(await startWorld())
  ada = await world.register()
})
afterAll(() => stack.disposeAsync())

const clientOf = async (person: Person, fetch?: Fetch): Promise<Client> => {
  const client = createClient({ url: world.url, timing: quick, ...(fetch && { fetch }) })
  await client.session.adopt(person.session)
  return client
}

test('for await reads every page, by cursor and by number', async () => {
  const bob = await world.register()
  using client = await clientOf(bob)
  for (let n = 0; n < 23; n += 1)
    await client.tasks.create({ title: `task ${n}`, tags: n % 2 ? ['odd'] : [] })
  const titles: string[] = []
  for await (const { title } of client.tasks.list({ limit: 5, sort: 'createdAt' })) titles.push(title)
  expect(titles).toEqual(Array.from({ length: 23 }, (_, n) => `task ${n}`))
  expect(await client.tasks.list({ limit: 5, page: 1 }).all()).toHaveLength(23)
  expect(await client.tasks.list({ limit: 5, page: 4 }).all()).toHaveLength(8)
  for (let n = 0; n < 3; n += 1) await client.projects.create({ name: `project ${n}` })
  expect(await client.projects.list({ limit: 1, page: 2 }).all()).toHaveLength(3)
  expect(
    await client.tasks.list({ tag: ['odd'], status: ['todo', 'done'], completed: false }).all(),
  ).toHaveLength(11)
  expect(await client.tasks.list({ limit: 5, page: 2 }).page()).toMatchObject({
    total: 23,
    totalPages: 5,
    page: 2,
  })
  const tooMany = await client.tasks
    .list()
    .all({ max: 10 })
    .catch((error: unknown) => error)
  expect(tooMany).toBeInstanceOf(RangeError)
})

test('A write based on an outdated version throws ConflictError with both versions', async () => {
  using client = await clientOf(ada)
  const task = await client.tasks.create({ title: 'before' })
  await client.tasks.update(task.id, { title: 'theirs' }, { ifVersion: 1 })
  const conflict = await client.tasks
    .update(task.id, { title: 'mine' }, { ifVersion: 1 })
    .catch((e: unknown) => e)
  expect(conflict).toBeInstanceOf(ConflictError)
  expect(conflict).toMatchObject({
    code: 'version_conflict',
    mine: { version: 1, changes: { title: 'mine' } },
    theirs: { title: 'theirs', version: 2 },
  })
  const project = await client.projects.create({ name: 'Apollo' })
  await client.projects.update(project.id, { color: '#1e90ff' }, { ifVersion: 1 })
  expect(await client.projects.delete(project.id, { ifVersion: 1 }).catch((e: unknown) => e)).toMatchObject({
    theirs: { color: '#1e90ff', version: 2 },
  })
})

test('A write whose response is lost is repeated under its key and takes effect once', async () => {
  let lost = 0
  using client = await clientOf(ada, async (url, init) => {
    const response = await fetch(url, init)
    if (init.method === 'GET' || lost === 2) return response
    lost += 1
    throw new TypeError('the answer never came')
  })
  const before = await world.entryCount()
  const task = await client.tasks.create({ title: 'once' })
  expect(lost).toBe(2)
  expect(await client.tasks.get(task.id)).toEqual(task)
  expect(await world.entryCount()).toBe(before + 1)
})

test('A permanent error is not retried; an unreachable server is retried a few times', async () => {
  let attempts = 0
  using client = await clientOf(ada, (url, init) => {
    attempts += 1
    return fetch(url, init)
  })
  const invalid = await client.tasks.create({ title: '' }).catch((error: unknown) => error)
  expect(invalid).toBeInstanceOf(ApiError)
  expect(invalid).toMatchObject({ status: 422, problem: { errors: [{ pointer: '/title' }] } })
  expect((invalid as Error).message).toContain('/title must not be empty')
  expect(attempts).toBe(1)
  using nowhere = await clientOf(ada, () => {
    attempts += 1
    return Promise.reject(new TypeError('away'))
  })
  attempts = 0
  expect(await nowhere.users.me().catch((error: unknown) => error)).toBeInstanceOf(NetworkError)
  expect(attempts).toBe(4)
})

test('After an error 500 repeatable requests are retried a few times', async () => {
  let faults = 2
  using client = await clientOf(ada, (url, init) => {
    faults -= 1
    if (faults < 0) return fetch(url, init)
    return Promise.resolve(Response.json({ code: 'internal', status: 500, detail: '' }, { status: 500 }))
  })
  expect((await client.tasks.create({ title: 'after all' })).title).toBe('after all')
  faults = 9
  expect(await client.tasks.create({ title: 'never' }).catch(({ code }) => code)).toBe('internal')
  expect(faults).toBe(5)
})

test('After 429 the client waits for Retry-After', async () => {
  let refusals = 0
  using client = await clientOf(ada, (url, init) => {
    refusals += 1
    if (refusals > 1) return fetch(url, init)
    const body = { code: 'rate_limited', status: 429, detail: 'Too many requests' }
    return Promise.resolve(Response.json(body, { status: 429, headers: { 'Retry-After': '1' } }))
  })
  const startedAt = performance.now()
  await client.users.me()
  expect(performance.now() - startedAt).toBeGreaterThanOrEqual(995)
})

test('Every endpoint is typed, and its responses match', async () => {
  const [eve, bob] = [await world.register('Eve'), await world.register('Bob')]
  const asked = new Set<string>()
  const noting: Fetch = (url, init) => {
    asked.add(`${init.method} ${new URL(url).pathname}`)
    return fetch(url, init)
  }
  using client = await clientOf(eve, noting)
  const { users, projects, tasks, attachments, comments, notifications, auth } = client
  expect((await users.updateMe({ name: 'Eva' })).name).toBe('Eva')
  expect((await users.me()).name).toBe('Eva')
  expect((await users.get(bob.id)).name).toBe('Bob')
  expect(await users.search(bob.email).all()).toMatchObject([{ id: bob.id }])
  expect((await users.snapshot()).projects).toHaveLength(1)
  const project = await projects.create({ name: 'Apollo' })
  expect((await projects.update(project.id, { name: 'Artemis' })).version).toBe(2)
  expect((await projects.get(project.id)).name).toBe('Artemis')
  expect(await projects.list().all()).toHaveLength(2)
  expect((await projects.addMember(project.id, { email: bob.email, role: 'viewer' })).role).toBe('viewer')
  expect((await projects.changeMember(project.id, bob.id, 'editor')).role).toBe('editor')
  expect(await projects.members(project.id).all()).toHaveLength(2)
  expect(await projects.removeMember(project.id, bob.id)).toBeNull()
  expect((await projects.archive(project.id)).archivedAt).not.toBeNull()
  expect(await projects.list({ archived: true }).all()).toHaveLength(1)
  expect((await projects.unarchive(project.id)).archivedAt).toBeNull()
  const [one, two] = [await tasks.create({ title: 'one' }), await tasks.create({ title: 'two' })]
  expect((await tasks.get(one.id)).title).toBe('one')
  expect(await tasks.list({ search: 'two' }).all()).toMatchObject([{ id: two.id }])
  expect((await tasks.replace(one.id, { title: 'uno', priority: 'high' })).priority).toBe('high')
  expect((await tasks.addTags(one.id, ['a/b', 'c'])).tags).toEqual(['a/b', 'c'])
  expect(await tasks.removeTag(one.id, 'a/b')).toBeNull()
  expect((await tasks.move(two.id, { before: one.id })).rank < one.rank).toBe(true)
  expect((await tasks.updateMany([one.id, two.id], { status: 'done' })).items).toHaveLength(2)
  const { items } = await tasks.batch([
    { op: 'create', data: { title: 'three' } },
    { op: 'delete', id: two.id },
  ])
  expect(items).toMatchObject([{ title: 'three' }, null])
  expect((await tasks.share(one.id, { userId: bob.id, permission: 'view' })).permission).toBe('view')
  expect((await tasks.changeShare(one.id, bob.id, 'edit')).permission).toBe('edit')
  expect(await tasks.shares(one.id).all()).toHaveLength(1)
  expect(await tasks.removeShare(one.id, bob.id)).toBeNull()
  const comment = await tasks.comment(one.id, { body: 'Done?', mentions: [eve.id] })
  expect(await tasks.comments(one.id).all()).toEqual([comment])
  expect((await comments.update(comment.id, { body: 'Done!' }, { ifVersion: 1 })).version).toBe(2)
  const late = await comments.update(comment.id, { body: 'No' }, { ifVersion: 1 }).catch((e: unknown) => e)
  expect(late).toMatchObject({ status: 412, problem: { code: 'version_conflict', currentVersion: 2 } })
  expect(await comments.delete(comment.id, { ifVersion: 2 })).toBeNull()
  const file = await attachments.upload(one.id, new File(['Hello'], 'a.txt'))
  expect(await attachments.list(one.id).all()).toEqual([file])
  expect(await (await attachments.download(file.id)).text()).toBe('Hello')
  expect(await attachments.delete(file.id)).toBeNull()
  const direct = attachments.uploadDirectly(one.id, new File(['x'], 'a.txt', { type: 'text/plain' }))
  expect(await direct.catch((error: unknown) => error)).toMatchObject({ code: 'direct_upload_unavailable' })
  expect((await projects.snapshot(eve.inboxId, { limit: 1 })).nextAfter).not.toBeNull()
  expect(await notifications.list({ unread: true }).page()).toMatchObject({ items: [], unreadCount: 0 })
  expect(await notifications.readAll()).toEqual({ upTo: null, unreadCount: 0 })
  const quieter = { dueSoonHours: 48, kinds: { commented: { email: false } } }
  const preferred = await notifications.updatePreferences(quieter)
  expect(preferred).toMatchObject(quieter)
  expect(await notifications.preferences()).toEqual(preferred)
  const missing = await notifications.read(one.id).catch((error: unknown) => error)
  expect(missing).toMatchObject({ code: 'not_found' })
  const token = await auth.createToken({ name: 'Script', scopes: ['read'] })
  expect(await auth.tokens().all()).toMatchObject([{ id: token.id, name: 'Script' }])
  expect(await auth.deleteToken(token.id)).toBeNull()
  expect((await tasks.stats({ projectId: eve.inboxId })).total).toBeGreaterThan(0)
  expect((await client.activity.list().page()).items).toBeArray()
  expect((await client.activity.ofTask(one.id).page()).items).toBeArray()
  expect(await tasks.delete(one.id)).toBeNull()
  expect(await projects.delete(project.id)).toBeNull()
  const [session, ...others] = await auth.sessions().all()
  expect([session!.current, others]).toEqual([true, []])
  const word = 'another horse battery'
  const changed = await users.changePassword({ currentPassword: testPassword, password: word })
  expect(changed.id).toBe((await users.me()).id)
  await client.session.renewCurrent()
  await auth.signOut()
  expect(await client.session.tokens()).toBeNull()
  await auth.signOut() // over is over
  using second = createClient({ url: world.url, timing: quick, fetch: noting })
  expect(await second.auth.signIn({ email: eve.email, password: word })).toMatchObject({ id: eve.id })
  const current = (await second.auth.sessions().all()).find((one) => one.current)!
  expect(await second.auth.endSession(current.id)).toBeNull()
  await second.auth.signIn({ email: eve.email, password: word })
  await second.auth.signOutEverywhere()
  const email = `ada-${Bun.randomUUIDv7()}@example.com`
  await second.auth.register({ email, name: 'Ada', password: testPassword })
  await second.auth.requestVerification()
  await second.auth.verifyEmail(await mailedToken(world, 'verification', email))
  expect((await second.users.me()).emailVerified).toBe(true)
  await second.auth.requestPasswordReset(email)
  await second.auth.resetPassword({
    token: await mailedToken(world, 'password_reset', email),
    password: word,
  })
  await second.auth.signIn({ email, password: word })
  const pictured = await second.users.setAvatar(new Blob([png(2, 2)]))
  expect(pictured.avatarUrl).not.toBeNull()
  const picture = await second.users.avatar(pictured.id)
  expect([picture.type, new Uint8Array(await picture.arrayBuffer())]).toEqual(['image/png', png(2, 2)])
  expect(await second.users.removeAvatar()).toBeNull()
  await second.users.deleteMe(word)
  expect(await second.session.tokens()).toBeNull()

  using boss = await clientOf(await world.registerAdmin(), noting)
  const made = await boss.accounts.create({ email: `made-${email}`, name: 'Made' })
  expect((await boss.accounts.update(made.id, { disabled: true })).disabled).toBe(true)
  expect((await boss.accounts.get(made.id)).disabled).toBe(true)
  expect((await boss.accounts.list().all()).map(({ id }) => id)).toContain(made.id)
  expect(await boss.accounts.delete(made.id)).toBeNull()
  const invitation = await boss.invitations.create({ email })
  expect(await boss.invitations.list().all()).toMatchObject([{ id: invitation.id, email }])
  expect(await boss.invitations.withdraw(invitation.id)).toBeNull()

  const { body } = await world.call('GET', '/api/openapi.json')
  // The log and the socket are for live views, and a page for readers of mails is for no program.
  const unasked = new Set([
    '/api/sync',
    '/api/ws',
    '/api/mail/unsubscribe',
    '/api/attachments/{id}/complete', // without S3 no direct upload begins: uploads.test.ts
  ])
  const offered = Object.entries<object>(body.paths).flatMap(([path, methods]) =>
    path.startsWith('/api/') && !unasked.has(path)
      ? Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`)
      : [],
  )
  const untyped = offered.filter((operation) => {
    const asPattern = new RegExp(`^${operation.replaceAll(/\{\w+\}/g, '[^/]+')}$`)
    return ![...asked].some((one) => asPattern.test(one))
  })
  expect(offered.length).toBeGreaterThan(40)
  expect(untyped).toEqual([])
})
