// Any text in paths and queries: a request reaches exactly the route of its method, or is not sent. Generated over all
// methods of the client; the server reads raw bytes, since URL parsers normalise the path.
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createClient, type Client } from '../../packages/client/src/client.ts'
import { InvalidArgumentError } from '../../packages/client/src/errors.ts'
import { startWorld } from '../support/world.ts'
import { eventually } from '../support/eventually.ts'
import { restGroups } from './rest-groups.ts'
import { quick } from './scripted.ts'

const refused = ['', '.', '..', '\ud800', 'a\udc00']
const sendable = [
  '%2e%2e',
  '%2E',
  '...',
  'a/b',
  '../x',
  '?',
  '#',
  ';',
  '\0',
  '\r\n',
  ' ',
  '🚀',
  'é',
  '\\',
  '%',
  '..%2f',
]

const scopeId = '01933b6e-7c4a-7d3e-8f21-5a9c0b7d1e42'
/** One for each position, so that the route shows where each argument goes. */
const ids = ['a', 'b', 'c'].map((digit) => `01933b6e-7c4a-7d3e-8f21-00000000000${digit}`)

interface Arrived {
  method: string
  segments: string[]
  query: string
}

let server: Server
let url = ''
let arrived: Arrived[] = []
/** Requests of an earlier test's client, which may arrive late, have another base path and are not recorded. */
let base = ''
let tests = 0

beforeAll(async () => {
  server = createServer((request, response) => {
    const [sent = '', query = ''] = request.url!.split('?')
    const path = sent.replace(/^\/test-\d+/, '')
    if (sent.startsWith(`${base}/`))
      arrived.push({ method: request.method!, segments: path.split('/'), query })
    request.resume()
    const isScope = path === `/api/projects/${scopeId}/snapshot`
    response.writeHead(isScope ? 200 : 404, { 'Content-Type': 'application/json' })
    const snapshot = {
      project: { id: scopeId },
      members: [],
      tasks: [],
      cursor: 'epoch.3.7',
      nextAfter: null,
    }
    response.end(JSON.stringify(isScope ? snapshot : { code: 'not_found', status: 404, detail: 'Not found' }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(() => new Promise((resolve) => server.close(resolve)))

beforeEach(() => {
  arrived = []
  tests += 1
  base = `/test-${tests}`
})

const signedIn = async (): Promise<Client> => {
  const made = createClient({ url: url + base, timing: quick, transport: 'poll' })
  await made.session.adopt({
    user: { id: ids[0] },
    accessToken: 'token',
    expiresIn: 900,
    refreshToken: 'r',
  } as never)
  return made
}

type Method = (...args: unknown[]) => unknown

/** Calls the method to its end; returns what it threw. Of a list it reads the first page. */
const outcome = async (call: () => unknown): Promise<unknown> => {
  try {
    const value = await call()
    const isList = typeof value === 'object' && value !== null && 'page' in value
    return isList ? await (value as { page: () => Promise<unknown> }).page() : value
  } catch (error) {
    return error
  }
}

/** Methods that take a body alone. */
const withoutPathText = new Set([
  'signOut',
  'signOutEverywhere',
  'register',
  'signIn',
  'deleteMe',
  'requestPasswordReset',
  'resetPassword',
  'verifyEmail',
  'setAvatar',
])

const file = new File(['a'], 'a.txt', { type: 'text/plain' })

/** Of methods that take something else than texts. */
const argumentsOf: Record<string, (texts: string[]) => unknown[]> = {
  'attachments.upload': ([taskId]) => [taskId, file],
  'attachments.uploadDirectly': ([taskId]) => [taskId, file],
  'attachments.resumeUpload': ([id]) => [{ id, size: file.size, isStored: true, expiresAt: '' }, file],
}

interface TestedMethod {
  label: string
  call: (texts: string[]) => unknown
}

/** Every method of every group that takes a text for its path. */
const methodsOf = (client: Client): TestedMethod[] =>
  restGroups.flatMap((group) =>
    Object.entries(client[group] as Record<string, Method>)
      .filter(([name]) => !withoutPathText.has(name))
      .map(([name, method]) => {
        const label = `${group}.${name}`
        return { label, call: (texts: string[]) => method(...(argumentsOf[label]?.(texts) ?? texts)) }
      }),
  )

test('each method of the client sends any text as one segment or parameter of its own route, or refuses it', async () => {
  using client = await signedIn()
  const methods = methodsOf(client)
  expect(methods.length).toBeGreaterThan(55)
  let checked = 0
  for (const { label: method, call } of methods) {
    arrived = []
    await outcome(() => call(ids))
    const [baseline] = arrived
    expect({ method, isSent: baseline !== undefined }).toEqual({ method, isSent: true })
    for (const [position, id] of ids.entries()) {
      const at = baseline!.segments.indexOf(id)
      if (at < 0) continue
      for (const text of [...refused, ...sendable]) {
        arrived = []
        const label = `${method} with ${JSON.stringify(text)} at ${position}`
        const result = await outcome(() => call(ids.with(position, text)))
        checked += 1
        if (refused.includes(text)) {
          expect({ label, arrived, isTyped: result instanceof InvalidArgumentError }).toEqual({
            label,
            arrived: [],
            isTyped: true,
          })
          continue
        }
        const [request] = arrived
        expect({
          label,
          method: request?.method,
          segments: request?.segments.map(decodeURIComponent),
        }).toEqual({
          label,
          method: baseline!.method,
          segments: baseline!.segments.with(at, text),
        })
      }
    }
  }
  expect(checked).toBeGreaterThan(500)
})

test('text in queries arrives unchanged, or is refused', async () => {
  using client = await signedIn()
  const queries: ((text: string) => unknown)[] = [
    (q) => client.users.search(q).page(),
    (after) => client.projects.snapshot(ids[0]!, { after }),
    (search) => client.tasks.list({ search }).page(),
    (tag) => client.tasks.list({ tag: [tag] }).page(),
    (cursor) => client.notifications.list({ cursor }).page(),
  ]
  for (const [index, call] of queries.entries())
    for (const text of [...refused, ...sendable]) {
      arrived = []
      const result = await outcome(() => call(text))
      const isRefused = /\p{Surrogate}/u.test(text)
      expect({ index, text, isTyped: result instanceof InvalidArgumentError }).toEqual({
        index,
        text,
        isTyped: isRefused,
      })
      if (isRefused) expect(arrived).toEqual([])
      else expect([...new URLSearchParams(arrived[0]!.query).values()]).toEqual([text])
    }
})

test('an invalid Idempotency-Key is refused and is no network error', async () => {
  using client = await signedIn()
  for (const key of ['', 'a b', 'a\nb', 'é', 'x'.repeat(256)]) {
    const result = await outcome(() => client.tasks.create({ title: 'one' }, { key }))
    expect(result).toBeInstanceOf(InvalidArgumentError)
  }
  expect(arrived).toEqual([])
})

test('no id selects a route without parameters: the words of all routes are tried', async () => {
  await using world = await startWorld()
  const { body } = await world.call('GET', '/api/openapi.json')
  const routes = Object.keys(body.paths)
  const words = new Set(
    routes.flatMap((route) => route.split('/').filter((part) => part && !part.startsWith('{'))),
  )
  expect(words.size).toBeGreaterThan(20)
  using client = await signedIn()
  for (const { call } of methodsOf(client))
    for (const [position, id] of ids.entries()) {
      arrived = []
      await outcome(() => call(ids))
      if (!arrived[0]?.segments.includes(id)) continue
      for (const word of words) {
        arrived = []
        await outcome(() => call(ids.with(position, word)))
        const path = arrived[0]?.segments.join('/')
        if (path !== undefined) expect(routes).not.toContain(path)
      }
    }
})

test('a view of an invalid id stops with the reason, and a write of it is refused; neither sends another request', async () => {
  using client = await signedIn()
  using view = client.project('..').live()
  await view.ready.catch(() => {})
  expect(view.error).toMatchObject({ reason: 'refused', cause: { name: 'InvalidArgumentError' } })
  expect(arrived).toEqual([])
  using open = client.project(scopeId).live()
  await open.ready
  for (const write of [
    open.update('..', { title: 'x' }),
    open.delete('.'),
    open.move('', { after: scopeId }),
  ])
    expect(await write.settled.catch((error: unknown) => error)).toBeInstanceOf(InvalidArgumentError)
  await eventually(() => expect(client.outbox.pending).toEqual([]))
  expect(arrived.filter(({ method }) => method !== 'GET')).toEqual([])
})
