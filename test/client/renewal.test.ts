// Failures of a refresh: only certain responses of the server end the session. All others keep the tokens, and a
// refused origin is reported once as OriginRefusedError.
import { expect, test } from 'bun:test'
import { createClient } from '../../packages/client/src/client.ts'
import { OriginRefusedError, SignedOutError } from '../../packages/client/src/errors.ts'
import { eventually } from '../support/eventually.ts'
import { projectId, quick, startScript, type Script } from './scripted.ts'
import { startWorld, testPassword } from '../support/world.ts'

const refuseRefresh = (script: Script, answer: () => Response): { count: number } => {
  const asked = { count: 0 }
  script.onRequest = ({ pathname }) => {
    if (pathname !== '/api/auth/refresh') return undefined
    asked.count += 1
    return answer()
  }
  return asked
}

const problem = (status: number, code: string, headers = {}): Response =>
  Response.json({ code, status, detail: code, title: code }, { status, headers })

test('C-CON-3 a refused origin: requests throw OriginRefusedError, one refresh is sent, views stop with the reason; the tokens stay', async () => {
  await using script = startScript()
  using client = await script.client()
  using view = client.project(projectId).live()
  await eventually(() => expect(view.state).toBe('live'))
  const asked = refuseRefresh(script, () => problem(403, 'origin_refused'))
  const failures = await Promise.all(
    [1, 2, 3].map(() => client.session.renewCurrent().catch((error: unknown) => error)),
  )
  for (const failure of failures) expect(failure).toBeInstanceOf(OriginRefusedError)
  const stops: unknown[] = []
  client.connection.onChange(
    () => client.connection.state === 'stopped' && stops.push(client.connection.stopped),
  )
  script.peers.at(-1)!.close(4401, 'token_expired')
  await eventually(() => expect(view.state).toBe('stopped'))
  expect(view.error).toMatchObject({ reason: 'origin_refused', closeCode: 4401 })
  expect(view.error!.cause).toBeInstanceOf(OriginRefusedError)
  expect(client.connection.stopped).toMatchObject({ reason: 'origin_refused' })
  expect(stops).toHaveLength(1)
  expect(asked.count).toBe(1)
  expect(await client.session.tokens()).not.toBeNull()
  // Once the server is configured, the next attempt of the user succeeds.
  script.onRequest = null
  client.reconnect()
  using again = client.project(projectId).live()
  await eventually(() => expect(again.state).toBe('live'))
})

test('a refused origin at the start, with the cookie alone: views and requests report it, by sockets and polls', async () => {
  await using script = startScript()
  const asked = refuseRefresh(script, () => problem(403, 'origin_refused'))
  for (const transport of ['socket', 'poll'] as const) {
    asked.count = 0
    using client = createClient({ url: script.url, useCookie: true, timing: quick, transport })
    using view = client.project(projectId).live()
    using own = client.live()
    const failure: unknown = await view.ready.catch((error: unknown) => error)
    expect(failure).toMatchObject({ name: 'StoppedError', reason: 'origin_refused' })
    expect(await own.ready.catch(({ reason }) => reason)).toBe('origin_refused')
    expect(await client.users.me().catch((error: unknown) => error)).toBeInstanceOf(OriginRefusedError)
    expect(asked.count).toBe(1)
  }
})

test('a real server: sign-in works from a page of another origin, the refresh is refused, and the client reports the reason', async () => {
  await using world = await startWorld()
  const { email } = await world.register()
  let cookie = ''
  using client = createClient({
    url: world.url,
    useCookie: true,
    timing: quick,
    // A browser adds the header.
    fetch: async (url, init) => {
      const headers = {
        ...(init.headers as Record<string, string>),
        Origin: 'https://elsewhere.example',
        Cookie: cookie,
      }
      const response = await fetch(url, { ...init, headers })
      cookie = response.headers.getSetCookie()[0]?.split(';')[0] ?? cookie
      return response
    },
  })
  await client.auth.signIn({ email, password: testPassword })
  const failure = await client.session.renewCurrent().catch((error: unknown) => error)
  expect(failure).toBeInstanceOf(OriginRefusedError)
  expect(failure).toMatchObject({ status: 403, code: 'origin_refused' })
  expect((await client.users.me()).email).toBe(email) // the access token is still good
})

for (const [name, answer, isOver] of [
  ['401 refresh_reused', () => problem(401, 'refresh_reused'), true],
  ['401 unauthenticated', () => problem(401, 'unauthenticated'), true],
  ['403 user_disabled', () => problem(403, 'user_disabled'), true],
  ['429', () => problem(429, 'rate_limited', { 'Retry-After': '1' }), false],
  ['503', () => problem(503, 'unavailable'), false],
  ['500', () => problem(500, 'internal'), false],
  ['403 of a proxy', () => new Response('<h1>Forbidden</h1>', { status: 403 }), false],
  ['401 of a proxy', () => new Response('<h1>Sign in to the Wi-Fi</h1>', { status: 401 }), false],
] as const) {
  test(`a refresh answered with ${name} ${isOver ? 'ends' : 'does not end'} the session`, async () => {
    await using script = startScript()
    using client = await script.client()
    using view = client.project(projectId).live()
    await eventually(() => expect(view.state).toBe('live'))
    const asked = refuseRefresh(script, answer)
    const failure = await client.session.renewCurrent().catch((error: unknown) => error)
    expect(failure instanceof SignedOutError).toBe(isOver)
    expect((await client.session.tokens()) === null).toBe(isOver)
    if (isOver) return eventually(() => expect(view.error).toMatchObject({ reason: 'signed_out' }))
    // The server closes because the token expired, while it cannot be renewed: the view waits, and continues later.
    script.peers.at(-1)!.close(4401, 'token_expired')
    await eventually(() => expect(asked.count).toBeGreaterThan(1))
    expect(view.state).not.toBe('stopped')
    script.onRequest = null
    await eventually(() => expect(view.state).toBe('live'))
    return undefined
  })
}
