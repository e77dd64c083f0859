// Tokens: one shared refresh for concurrent requests, storage across pages, and the end of the session.
import { expect, test } from 'bun:test'
import { createClient } from '../../packages/client/src/client.ts'
import { NetworkError, SignedOutError } from '../../packages/client/src/errors.ts'
import type { Fetch } from '../../packages/client/src/http/request.ts'
import type { Tokens, TokenStorage } from '../../packages/client/src/session.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld, testPassword } from '../support/world.ts'
import { quick } from './scripted.ts'

const memory = (tokens: Tokens | null = null): TokenStorage & { held: Tokens | null } => ({
  held: tokens,
  load() {
    return this.held
  },
  save(held) {
    this.held = held
  },
})

const counting = (): { fetch: Fetch; count: (path: string) => number; lose: Set<string> } => {
  const paths: string[] = []
  const lose = new Set<string>()
  return {
    lose,
    count: (path) => paths.filter((one) => one.endsWith(path)).length,
    async fetch(url, init) {
      paths.push(url)
      const response = await fetch(url, init)
      for (const path of lose) {
        if (!url.endsWith(path)) continue
        lose.delete(path)
        throw new TypeError('the answer never came')
      }
      return response
    },
  }
}

test('Concurrent requests with a stale token share one refresh and succeed', async () => {
  await using world = await startWorld()
  const ada = await world.register()
  const { fetch, count } = counting()
  using client = createClient({ url: world.url, fetch, timing: quick })
  await client.session.adopt({ ...ada.session, accessToken: 'stale', expiresIn: 900 })
  const answers = await Promise.all(Array.from({ length: 20 }, () => client.users.me()))
  expect(new Set(answers.map(({ id }) => id))).toEqual(new Set([ada.id]))
  expect(count('/api/auth/refresh')).toBe(1)
  // About to expire: renewed before it is used.
  const { accessToken, refreshToken } = (await client.session.tokens())!
  await client.session.adopt({ ...ada.session, accessToken, refreshToken: refreshToken!, expiresIn: 0 })
  await Promise.all([client.users.me(), client.users.me()])
  expect(count('/api/auth/refresh')).toBe(2)
})

test('A refresh whose response is lost is repeated and does not count as reuse', async () => {
  await using world = await startWorld()
  const ada = await world.register()
  const { fetch, count, lose } = counting()
  using client = createClient({ url: world.url, fetch, timing: quick })
  await client.session.adopt({ ...ada.session, accessToken: 'stale' })
  lose.add('/api/auth/refresh')
  expect(await client.users.me()).toMatchObject({ id: ada.id })
  expect(count('/api/auth/refresh')).toBe(2)
})

test('Two clients with one storage share a refreshed token', async () => {
  await using world = await startWorld()
  const ada = await world.register()
  const storage = memory()
  const { fetch, count } = counting()
  const options = { url: world.url, fetch, storage, timing: quick }
  using one = createClient(options)
  using two = createClient(options)
  await one.session.adopt({ ...ada.session, accessToken: 'stale' })
  expect(await one.users.me()).toMatchObject({ id: ada.id })
  expect(await two.users.me()).toMatchObject({ id: ada.id })
  expect(count('/api/auth/refresh')).toBe(1)
})

test('A session that another client ended throws SignedOutError and removes the tokens', async () => {
  await using world = await startWorld()
  const storage = memory()
  using client = createClient({ url: world.url, storage, timing: quick })
  expect(await client.users.me().catch((error: unknown) => error)).toBeInstanceOf(SignedOutError)
  const email = `ada-${Bun.randomUUIDv7()}@example.com`
  await client.auth.register({ email, name: 'Ada', password: testPassword })
  expect(await client.auth.sessions().all()).toMatchObject([{ current: true }])
  using other = createClient({ url: world.url, timing: quick })
  await other.auth.signIn({ email, password: testPassword })
  await other.auth.signOutEverywhere()
  // Revocation takes effect within a second on every server.
  await eventually(async () => {
    expect(await client.users.me().catch((error: unknown) => error)).toBeInstanceOf(SignedOutError)
  })
  expect(storage.held).toBeNull()
})

test('A renewed token is sent on the open socket, which stays open past the old one’s expiry', async () => {
  await using world = await startWorld()
  const ada = await world.register()
  using client = createClient({ url: world.url, timing: quick })
  await client.session.adopt(ada.session)
  using view = client.project(ada.inboxId).live()
  await view.ready
  await client.session.renewCurrent()
  await view.create({ title: 'after' }).settled
  expect(client.connection.kind).toBe('socket')
})

test('A wrong password, an unreachable server and an aborted call throw different errors', async () => {
  await using world = await startWorld()
  const ada = await world.register()
  using client = createClient({ url: world.url, timing: quick })
  const wrong = await client.auth
    .signIn({ email: ada.email, password: 'wrong' })
    .catch((error: unknown) => error)
  expect(wrong).toMatchObject({ code: 'invalid_credentials', status: 401 })
  using nowhere = createClient({ url: 'http://127.0.0.1:9', timing: quick })
  const away = await nowhere.auth
    .signIn({ email: ada.email, password: testPassword })
    .catch((e: unknown) => e)
  expect(away).toBeInstanceOf(NetworkError)
  await client.session.adopt(ada.session)
  const given = AbortSignal.abort(new Error('the person left'))
  expect(await client.users.me({ signal: given }).catch((error: unknown) => error)).toMatchObject({
    message: 'the person left',
  })
})

test.each(['works', 'cannot save'])(
  'A sign-in ends the views of the user whose tokens were stored, where the storage %s',
  async (how) => {
    await using world = await startWorld()
    const [ada, bob] = [await world.register(), await world.register()]
    const storage = memory({
      accessToken: ada.session.accessToken,
      refreshToken: ada.session.refreshToken,
      expiresAt: Date.now() + 600_000,
      userId: ada.id,
    })
    using client = createClient({ url: world.url, storage, timing: quick })
    const views = [client.project(ada.inboxId).live(), client.live()]
    await eventually(() => expect(views.map(({ state }) => state)).toEqual(['live', 'live']))
    if (how !== 'works')
      storage.save = () => {
        throw new Error('no room')
      }
    const adopted = client.session.adopt(bob.session)
    expect(views.map(({ state, error }) => [state, error?.reason])).toEqual([
      ['stopped', 'signed_out'],
      ['stopped', 'signed_out'],
    ])
    expect(
      await adopted.then(
        () => 'works',
        () => 'cannot save',
      ),
    ).toBe(how)
    using own = client.live()
    await eventually(() => expect(own.current.user?.id).toBe(bob.id))
  },
)

test('Tokens that are loaded after a sign-out do not sign in again', async () => {
  await using world = await startWorld()
  const ada = await world.register()
  const stored = Promise.withResolvers<Tokens>()
  using client = createClient({
    url: world.url,
    storage: { load: () => stored.promise, save() {} },
    timing: quick,
  })
  const request = client.users.me().catch((error: unknown) => error)
  const out = client.session.forget()
  stored.resolve({
    accessToken: ada.session.accessToken,
    refreshToken: null,
    expiresAt: Date.now() + 600_000,
    userId: ada.id,
  })
  await out
  expect(await request).toBeInstanceOf(SignedOutError)
  expect(await client.session.tokens()).toBeNull()
})
