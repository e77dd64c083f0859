// packages/client/endpoints.md: a call of the client for each endpoint of the OpenAPI document, each run as it is written
// against a server, and every method of the client in it.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient, type Client } from '../../packages/client/src/client.ts'
import type { PendingUpload } from '../../packages/client/src/http/direct-upload.ts'
import type { Fetch } from '../../packages/client/src/http/request.ts'
import { newId } from '../../src/model/scalar.ts'
import { png } from '../support/images.ts'
import { mailedToken } from '../support/mailed-link.ts'
import { startS3Server } from '../support/s3-server.ts'
import { startWorld, testPassword, type Person, type World } from '../support/world.ts'
import { restGroups } from './rest-groups.ts'
import { quick } from './scripted.ts'

const text = await Bun.file(new URL('../../packages/client/endpoints.md', import.meta.url)).text()

interface Row {
  endpoint: string
  call: string
  isForAdmins: boolean
  /** Whether it may end the session or the account of its caller, which others share otherwise. */
  needsOwnCaller: boolean
}

const rows: Row[] = text.split(/^## /m).flatMap((section) =>
  [...section.matchAll(/^\| `([A-Z]+ \/[^`]+)` \| `([^`]+)`/gm)].map(([, endpoint, call]) => ({
    endpoint: endpoint!,
    call: call!,
    isForAdmins: section.startsWith('Administration'),
    needsOwnCaller: /^(?:Accounts|Users)/.test(section),
  })),
)

/** The log and the socket are for live views, and a page for readers of mails is for no program. */
const withoutCall = [
  'GET /api/ws',
  'GET /api/sync',
  'GET /api/mail/unsubscribe',
  'POST /api/mail/unsubscribe',
]

const stack = new AsyncDisposableStack()
let world: World
let ada: Person
let bob: Person
let admin: Person
let calls: ((names: object) => Promise<unknown>)[]

beforeAll(async () => {
  const s3 = stack.use(await startS3Server())
  world = stack.use(await startWorld(s3.config()))
  ;({ ada, bob } = await world.people('ada', 'bob'))
  admin = await world.registerAdmin()
  const dir = await mkdtemp(join(tmpdir(), 'tide-endpoints-'))
  stack.defer(() => rm(dir, { recursive: true, force: true }))
  const file = join(dir, 'calls.ts')
  const functions = rows.map(
    ({ call }) => `(names) => { const { ${namesIn(call).join(', ')} } = names; return ${call} }`,
  )
  await Bun.write(file, `export const calls = [\n${functions.join(',\n')}\n]\n`)
  calls = (await import(file)).calls
}, 60_000)

afterAll(() => stack.disposeAsync(), 30_000)

/** The values of the names in a call; each call has its own. */
const things: Record<string, (made: Made) => unknown> = {
  email: ({ person }) => person.email,
  password: () => testPassword,
  newEmail: () => `new-${newId()}@example.com`,
  newPassword: () => 'another horse battery',
  file: () => new File(['Hello'], 'hello.txt', { type: 'text/plain' }),
  pending: async ({ client, given }) => {
    let pending: PendingUpload | undefined
    const file = new File(['Hello'], 'hello.txt', { type: 'text/plain' })
    await client.attachments.uploadDirectly(await given('taskId'), file, {
      onPending(now) {
        pending = now
      },
    })
    return pending
  },
  picture: () => new Blob([png(2, 2)]),
  userId: async ({ isForAdmins, person }) => (isForAdmins ? (await world.register()).id : person.id),
  otherEmail: () => bob.email,
  projectId: async ({ person }) => (await world.project(person)).id,
  taskId: ({ ask }) => ask('/api/tasks', { title: 'One', tags: ['docs'] }),
  otherTaskId: ({ ask }) => ask('/api/tasks', { title: 'Two' }),
  commentId: async ({ ask, given }) => ask(`/api/tasks/${await given('taskId')}/comments`, { body: 'Hm' }),
  attachmentId: async ({ client, given }) =>
    (await client.attachments.upload(await given('taskId'), new File(['Hello'], 'a.txt'))).id,
  notificationId: async ({ person }) => {
    const id = newId()
    await world.server.deps.db.transact(
      (tx) => tx`
        insert into notifications (id, user_id, kind, dedupe_key) values (${id}, ${person.id}, 'assigned', ${id})`,
    )
    return id
  },
  memberId: async ({ ask, given }) => {
    const { id, email } = bob
    await ask(`/api/projects/${await given('projectId')}/members`, { email, role: 'editor' })
    return id
  },
  shareeId: async ({ ask, given }) => {
    const { id, email } = bob
    await ask(`/api/tasks/${await given('taskId')}/shares`, { email, permission: 'view' })
    return id
  },
  picturedId: async ({ client, person }) => {
    await client.users.setAvatar(new Blob([png(2, 2)]))
    return person.id
  },
  sessionId: async ({ person }) => {
    const body = { email: person.email, password: testPassword }
    await world.call('POST', '/api/auth/login', { body })
    const { items } = await world.ask(person, 'GET', '/api/auth/sessions')
    return items.find((one: { current: boolean }) => !one.current).id
  },
  tokenId: ({ ask }) => ask('/api/auth/tokens', { name: 'CI', scopes: ['read'] }),
  resetToken: async ({ client, person }) => {
    await client.auth.requestPasswordReset(person.email)
    return mailedToken(world, 'password_reset', person.email)
  },
  verificationToken: async ({ client, person }) => {
    await client.auth.requestVerification()
    return mailedToken(world, 'verification', person.email)
  },
  invitationId: ({ ask }) => ask('/api/invitations', { email: `new-${newId()}@example.com` }),
}

interface Made {
  client: Client
  person: Person
  isForAdmins: boolean
  /** Creates a thing and returns its id. */
  ask: (path: string, body: object) => Promise<string>
  /** The id of another thing of the same call. */
  given: (name: string) => Promise<string>
}

const namesIn = (call: string): string[] =>
  ['client', ...Object.keys(things)].filter((name) => new RegExp(`(?<![.\\w'])${name}\\b(?!:)`).test(call))

/** The requests of a call that succeeded, each as method and path. */
const requestsOf = async (
  { endpoint, call, isForAdmins, needsOwnCaller }: Row,
  run: (names: object) => Promise<unknown>,
) => {
  const person = isForAdmins ? admin : needsOwnCaller ? await world.register() : ada
  let seen: string[] = []
  const noting: Fetch = (url, init) => {
    seen.push(`${init.method} ${new URL(url).pathname}`)
    return fetch(url, init)
  }
  using client = createClient({ url: world.url, timing: quick, fetch: noting })
  await client.session.adopt(person.session)
  const known = new Map<string, unknown>()
  const thing = (name: string): unknown => {
    if (!known.has(name)) known.set(name, things[name]!(made))
    return known.get(name)
  }
  const made: Made = {
    client,
    person,
    isForAdmins,
    ask: async (path, body) => (await world.ask(person, 'POST', path, body)).id,
    given: async (name) => String(await thing(name)),
  }
  const names: Record<string, unknown> = { client }
  for (const name of namesIn(call)) if (name !== 'client') names[name] = await thing(name)
  if (endpoint === 'DELETE /api/users/me/avatar') await thing('picturedId')
  seen = []
  await run(names)
  return seen
}

test('each endpoint has a call, and each row an endpoint', async () => {
  const { body } = await world.call('GET', '/api/openapi.json')
  const documented = Object.entries<object>(body.paths).flatMap(([path, methods]) =>
    path.startsWith('/api/') ? Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`) : [],
  )
  const described = [...rows.map(({ endpoint }) => endpoint), ...withoutCall]
  expect([...new Set(described)].toSorted()).toEqual(documented.toSorted())
})

test('each call sends a request to its endpoint and succeeds as it is written', async () => {
  const wrong: string[] = []
  for (const [n, row] of rows.entries()) {
    const seen = await requestsOf(row, calls[n]!).catch((error: unknown) => [String(error)])
    const pattern = new RegExp(`^${row.endpoint.replaceAll(/\{\w+\}/g, '[^/]+')}$`)
    if (!seen.some((one) => pattern.test(one))) wrong.push(`${row.call}: ${seen.join(', ')}`)
  }
  expect(wrong).toEqual([])
}, 120_000)

test('each method of the client is the call of an endpoint', () => {
  using client = createClient({ url: world.url })
  const methods = restGroups.flatMap((group) =>
    Object.keys(client[group]).map((method) => `client.${group}.${method}`),
  )
  const missing = methods.filter((method) => !rows.some(({ call }) => call.startsWith(`${method}(`)))
  expect(missing).toEqual([])
  expect(methods.length).toBeGreaterThan(60)
})
