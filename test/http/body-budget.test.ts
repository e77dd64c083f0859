// Bodies that arrive slowly, in parts or never: bounded in bytes and in seconds, answered, and their connections closed.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { connect, type Socket } from 'node:net'
import { eventually } from '../support/eventually.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

/** Bodies have half a minute: what is refused is refused for its bytes. */
let world: World
/** Bodies have a second. */
let hasty: World
let anna: Person
let hanna: Person

const mebibyte = 1024 * 1024

beforeAll(async () => {
  world = await startWorld({ bodyMemoryMib: 16, bodyDeadlineSeconds: 30 })
  hasty = await startWorld({ bodyMemoryMib: 16, bodyDeadlineSeconds: 1 })
  anna = await world.register()
  hanna = await hasty.register()
}, 60_000)
afterAll(async () => {
  await hasty[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
}, 30_000)

interface Sender {
  socket: Socket
  answer: string
  isClosed: boolean
  status(): number
}

const send = (head: string[], body: Uint8Array | string = '', { url } = world): Sender => {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  const sender: Sender = {
    socket,
    answer: '',
    isClosed: false,
    status: () => Number(/^HTTP\/1\.1 (\d+)/.exec(sender.answer)?.[1] ?? 0),
  }
  socket.on('data', (data) => (sender.answer += data.toString('latin1')))
  socket.on('close', () => (sender.isClosed = true))
  socket.on('error', () => {})
  const type = head.some((line) => line.startsWith('Content-Type')) ? [] : ['Content-Type: application/json']
  socket.write([...head, 'Host: localhost', ...type, '', ''].join('\r\n'))
  if (body.length > 0) socket.write(body)
  return sender
}

const posting = (
  length: number,
  body: Uint8Array | string = '',
  token?: string,
  path = '/api/auth/login',
  to = world,
) =>
  send(
    [
      `POST ${path} HTTP/1.1`,
      `Content-Length: ${length}`,
      ...(token === undefined ? [] : [`Authorization: Bearer ${token}`]),
    ],
    body,
    to,
  )

const taken = ({ server } = world): number => server.deps.bodies.taken

/** Of those that were answered: a connection that is closed while bytes arrive may lose its answer. */
const statusesOf = (senders: Sender[]): number[] => [
  ...new Set(senders.filter(({ answer }) => answer !== '').map((sender) => sender.status())),
]

test('a body that does not arrive in time is 503 with Retry-After, and its connection is closed', async () => {
  const sender = posting(1_000, '{"email":', undefined, '/api/auth/login', hasty)
  await eventually(() => expect(taken(hasty)).toBe(1_000))
  await eventually(() => expect(sender.isClosed).toBe(true))
  expect(sender.status()).toBe(503)
  expect(sender.answer).toContain('"code":"unavailable"')
  expect(sender.answer.toLowerCase()).toContain('retry-after: 1')
  expect(taken(hasty)).toBe(0)
})

test('of one address without a session 1 MiB is taken at once, the rest is refused and closed', async () => {
  const part = Buffer.alloc(200_000, ' ')
  const senders = Array.from({ length: 40 }, () => posting(256 * 1024, part))
  await eventually(() => expect(senders.filter(({ isClosed }) => isClosed)).toHaveLength(36))
  expect(taken()).toBe(mebibyte)
  expect(statusesOf(senders)).toEqual([503])
  // Requests with a session have a share of their own.
  const me = await world.call('PATCH', '/api/users/me', { token: anna.token, body: { name: 'Anna' } })
  expect(me.status).toBe(200)
  for (const { socket } of senders) socket.destroy()
  await eventually(() => expect(taken()).toBe(0))
})

test('of one user 4 MiB are taken at once, then 429, and another user is served', async () => {
  const bert = await world.register()
  // Requests of a token that is not known yet count under their address, which is that of both here.
  for (const { token } of [anna, bert]) await world.call('GET', '/api/users/me', { token })
  const senders = Array.from({ length: 8 }, () => posting(mebibyte, '{', anna.token, '/api/tasks'))
  await eventually(() => expect(senders.filter(({ isClosed }) => isClosed)).toHaveLength(4))
  expect(statusesOf(senders)).toEqual([429])
  const made = await world.call('POST', '/api/tasks', { token: bert.token, body: { title: 'beside it' } })
  expect(made.status).toBe(201)
  for (const { socket } of senders) socket.destroy()
  await eventually(() => expect(taken()).toBe(0))
})

test('requests of a known user are served beside many of the same address whose user is not known yet', async () => {
  const others = await Promise.all(Array.from({ length: 8 }, () => world.register()))
  const bert = await world.register()
  await using other = await world.another({ bodyMemoryMib: 16, bodyDeadlineSeconds: 30 })
  const at = { ...world, url: other.url, server: other }
  const headers = { Authorization: `Bearer ${bert.token}`, 'Content-Type': 'application/json' }
  expect((await fetch(`${other.url}/api/users/me`, { headers })).status).toBe(200) // it knows the token from now on
  const gate = Promise.withResolvers<void>()
  const holding = Array.from({ length: 8 }, () =>
    other.deps.systemDb.transact(async (tx) => {
      await tx`select 1`
      await gate.promise
    }),
  )
  // Their tokens are looked up in PostgreSQL, which has no connection for that.
  const senders = others.map(({ token }) => posting(mebibyte, '{', token, '/api/tasks', at))
  await eventually(() => expect(taken(at)).toBe(4 * mebibyte))
  const answer = fetch(`${other.url}/api/users/me`, {
    method: 'PATCH',
    headers,
    body: JSON.stringify({ name: 'Bert' }),
  })
  await eventually(() => expect(taken(at)).toBeGreaterThan(4 * mebibyte))
  gate.resolve()
  await Promise.all(holding)
  expect((await answer).status).toBe(200)
  for (const { socket } of senders) socket.destroy()
  await eventually(() => expect(taken(at)).toBe(0))
})

test('a body of a type that is not read is refused before it arrives', async () => {
  const sender = send(['POST /api/auth/login HTTP/1.1', 'Content-Type: text/plain', 'Content-Length: 9'])
  await eventually(() => expect(sender.isClosed).toBe(true))
  expect([sender.status(), taken()]).toEqual([415, 0])
})

test('a body of unknown length is counted as it arrives', async () => {
  const chunk = `${(100_000).toString(16)}\r\n${' '.repeat(100_000)}\r\n`
  const sender = send(['POST /api/auth/login HTTP/1.1', 'Transfer-Encoding: chunked'], chunk)
  await eventually(() => expect(taken()).toBe(100_000))
  sender.socket.write(chunk.repeat(11))
  await eventually(() => expect(sender.isClosed).toBe(true))
  expect([sender.status(), taken()]).toEqual([413, 0])
  const reading = send(
    ['GET /api/users/me HTTP/1.1', 'Transfer-Encoding: chunked', `Authorization: Bearer ${anna.token}`],
    chunk,
  )
  await eventually(() => expect(reading.isClosed).toBe(true))
  expect([reading.status(), taken()]).toEqual([400, 0])
})

test('after every ending of a body its bytes are free again, and only a body that was read keeps its connection', async () => {
  const login = JSON.stringify({ email: hanna.email, password: 'not the password' })
  const read = posting(login.length, login, undefined, '/api/auth/login', hasty)
  await eventually(() => expect(read.status()).toBe(401))
  expect([read.isClosed, read.answer.toLowerCase().includes('connection: close')]).toEqual([false, false])
  read.socket.destroy()
  const refused = [
    posting(2 * mebibyte, '{', undefined, '/api/auth/login', hasty),
    posting(100, '{', 'no.such.token', '/api/tasks', hasty),
    posting(100, '{', hanna.token, '/api/notifications/read-all', hasty),
  ]
  await eventually(() => expect(refused.every(({ isClosed }) => isClosed)).toBe(true))
  expect(refused.map((sender) => sender.status())).toEqual([413, 401, 503])
  const left = posting(1_000, '{"email":', undefined, '/api/auth/login', hasty)
  await eventually(() => expect(taken(hasty)).toBe(1_000))
  left.socket.destroy()
  await eventually(() => expect(taken(hasty)).toBe(0))
})
