// Fairness between users: while the calls of one user wait, by REST, long poll and snapshot, another is served.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import net from 'node:net'
import { eventually } from '../support/eventually.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { makeProject } from '../ws/log-writes.ts'

const mebibyte = 1024 * 1024

let world: World
let anna: Person
let bert: Person

beforeAll(async () => {
  world = await startWorld()
  ;({ anna, bert } = await world.people('anna', 'bert'))
}, 30_000)
afterAll(() => world[Symbol.asyncDispose]())

const cursorOf = async ({ token }: Person, projectId: string): Promise<string> =>
  (await world.call('GET', `/api/projects/${projectId}/snapshot`, { token })).body.cursor

test('calls of one user share its turns, by REST, long poll and snapshot; its joins and another user are served', async () => {
  const { db } = world.server.deps
  const { id: projectId, scope } = await makeProject(world, anna)
  const theirs = await makeProject(world, bert)
  const { body: task } = await world.call('POST', '/api/tasks', {
    token: anna.token,
    body: { title: 'held', projectId },
  })
  const [cursor, cursorOfBert] = [await cursorOf(anna, projectId), await cursorOf(bert, theirs.id)]
  await using annas = await world.socket(anna)
  await using berts = await world.socket(bert)
  const gate = Promise.withResolvers<void>()
  const isHeld = Promise.withResolvers<void>()
  const holding = db.transact(async (tx) => {
    await tx`select from tasks where id = ${task.id} for update`
    isHeld.resolve()
    await gate.promise
  })
  await isHeld.promise
  const waiting = (count: number) => eventually(() => expect(db.calls.waitingOf(anna.id)).toBe(count))
  const writes = Array.from({ length: 20 }, (_, n) =>
    world.call('PATCH', `/api/tasks/${task.id}`, { token: anna.token, body: { title: `${n}` } }),
  )
  await waiting(16)
  const others = [
    world.call('GET', '/api/users/search?q=Person', { token: anna.token }),
    world.call('GET', `/api/projects/${projectId}/snapshot`, { token: anna.token }),
    world.call('GET', `/api/sync?scope=${scope}&cursor=${cursor}`, { token: anna.token }),
  ]
  await waiting(19)
  expect(db.calls.running).toBe(4)
  // Reads and joins that share their statements with others do not wait for the caller's own calls.
  expect((await world.call('GET', '/api/users/me', { token: anna.token })).status).toBe(200)
  annas.send({ t: 'sub', rid: 1, scope, cursor })
  expect(await annas.take((frame) => frame.rid === 1)).toMatchObject({ t: 'sub', mode: 'resume' })

  berts.send({ t: 'sub', rid: 1, scope: theirs.scope, cursor: cursorOfBert })
  const served = await Promise.all([
    world.call('GET', '/api/users/me', { token: bert.token }),
    world.call('POST', '/api/tasks', { token: bert.token, body: { title: 'beside it' } }),
    world.call('GET', `/api/projects/${theirs.id}/snapshot`, { token: bert.token }),
    world.call('GET', `/api/sync?scope=${theirs.scope}&cursor=${cursorOfBert}`, { token: bert.token }),
    world.call('GET', '/readyz'),
  ])
  expect(served.map(({ status }) => status)).toEqual([200, 201, 200, 200, 200])
  expect(await berts.take((frame) => frame.rid === 1)).toMatchObject({ t: 'sub', mode: 'resume' })
  expect(db.calls.waitingOf(anna.id)).toBeGreaterThan(0)

  gate.resolve()
  await holding
  for (const { status } of await Promise.all([...writes, ...others])) expect(status).toBeOneOf([200, 503])
  await eventually(() => expect(db.calls.size).toBe(0))
}, 20_000)

/** Sends a request; of its answer it reads the first bytes alone. */
const askUnread = async (method: string, path: string, { token }: Person, body = '') => {
  const { hostname, port } = new URL(world.url)
  const head = Promise.withResolvers<string>()
  const socket = net.connect(Number(port), hostname)
  socket.on('error', head.reject)
  socket.once('data', (bytes) => {
    socket.pause()
    head.resolve(bytes.toString('latin1'))
  })
  const lines = [
    `${method} ${path} HTTP/1.1`,
    'Host: localhost',
    `Authorization: Bearer ${token}`,
    ...(body === '' ? [] : ['Content-Type: application/json', `Content-Length: ${Buffer.byteLength(body)}`]),
  ]
  socket.write([...lines, '', body].join('\r\n'))
  return { socket, head: await head.promise }
}

type Unread = Awaited<ReturnType<typeof askUnread>>

const statusOf = ({ head }: { head: string }): number => Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1])

/** A project whose page of 100 tasks is 6 MB: more than the kernel takes of an answer that is not read. */
const makeLargePage = async (): Promise<{ path: string; ids: string[] }> => {
  const { id } = await makeProject(world, anna)
  const tasks = await world.server.deps.db.transact(
    (tx) => tx<{ id: string }[]>`
      insert into tasks (id, project_id, creator_id, title, description, rank)
      select gen_random_uuid(), ${id}, ${anna.id}, 'long', ${'\u0001'.repeat(10_000)}, lpad(n::text, 8, '0')
      from generate_series(1, 100) n
      returning id`,
    { deadlineMs: 30_000 },
  )
  return { path: `/api/tasks?projectId=${id}&limit=100`, ids: tasks.map((task) => task.id) }
}

const isServed = async (person: Person): Promise<void> => {
  await world.ask(person, 'POST', '/api/tasks', { title: 'beside it' })
  expect((await world.ask(person, 'GET', '/api/tasks?limit=100')).items.length).toBeGreaterThan(0)
}

/** Sends requests, one after another, until one is refused. How much of an answer the kernel takes differs. */
const untilRefused = async (ask: () => Promise<Unread>): Promise<Unread[]> => {
  const answers: Unread[] = []
  while (answers.every((one) => statusOf(one) === 200) && answers.length < 60) answers.push(await ask())
  expect(statusOf(answers.at(-1)!)).toBe(429)
  return answers
}

test('large answers that a user does not read are bounded, further ones are 429, and another user is served', async () => {
  const { unsent } = world.server.deps
  const { path } = await makeLargePage()
  const burst = await Promise.all(Array.from({ length: 40 }, () => askUnread('GET', path, anna)))
  expect(new Set(burst.map(statusOf))).toEqual(new Set([200, 429]))
  expect(unsent.bytes).toBeWithin(1, 32 * mebibyte)
  for (const { head } of burst.filter((one) => statusOf(one) === 429))
    expect(head).toMatch(/retry-after: 1\r\n[^]*"code":"rate_limited"/i)
  // The kernel may take the rest of an answer late: then there is room for another.
  const more: Unread[] = []
  await eventually(async () => {
    more.push(...(await untilRefused(() => askUnread('GET', path, anna))))
    expect(unsent.bytes).toBeLessThan(32 * mebibyte)
    // Refused before the work, whatever it asks for.
    const small = await world.call('GET', '/api/users/me', { token: anna.token })
    expect([small.status, small.body.code]).toEqual([429, 'rate_limited'])
  })
  // Sessions can be ended.
  expect((await world.call('GET', '/api/auth/sessions', { token: anna.token })).status).toBe(200)
  await isServed(bert)
  for (const { socket } of [...burst, ...more]) socket.destroy()
  await eventually(() => expect(unsent.bytes).toBe(0), { timeoutMs: 10_000 })
  expect((await world.ask(anna, 'GET', path)).items).toHaveLength(100)
  await eventually(() => expect(unsent.bytes).toBe(0))
}, 60_000)

test('writes of a user who reads no answers are refused before they have an effect', async () => {
  const { db, unsent } = world.server.deps
  const { path, ids } = await makeLargePage()
  const few = ids.slice(0, 2)
  const change = { ids: few, changes: { title: 'Changed' } }
  const reads: Unread[] = []
  const writes = await untilRefused(async () => {
    reads.push(...(await untilRefused(() => askUnread('GET', path, anna))))
    return askUnread('PATCH', '/api/tasks/bulk', anna, JSON.stringify(change))
  })
  // Those before the last had room.
  const changes = writes.length - 1
  const rows = await db.read(
    (sql) => sql<{ title: string; version: number }[]>`
      select distinct title, version from tasks where id = any(${ids}::uuid[])`,
  )
  expect([...rows]).toEqual([{ title: changes > 0 ? 'Changed' : 'long', version: Math.min(2, 1 + changes) }])
  await isServed(bert)
  for (const { socket } of [...writes, ...reads]) socket.destroy()
  await eventually(() => expect(unsent.bytes).toBe(0), { timeoutMs: 10_000 })
  await world.ask(anna, 'PATCH', '/api/tasks/bulk', { ids: few, changes: { title: 'Changed again' } })
}, 60_000)

test('long queries of a user in progress are bounded, further ones are 429, and another user is served', async () => {
  const { db } = world.server.deps
  const cora = await world.register()
  const scopes = await Promise.all(
    Array.from({ length: 30 }, async () => {
      const { id: projectId, scope } = await makeProject(world, cora)
      return `scope=${scope}&cursor=${await cursorOf(cora, projectId)}`
    }),
  )
  const query = `?${scopes.join('&')}`
  const ask = (who: { token: string }) => world.call('GET', `/api/sync${query}`, { token: who.token })
  const room = Math.floor((64 * 1024) / query.length)
  const gate = Promise.withResolvers<void>()
  const calls = Array.from({ length: 16 }, () => db.of(cora.id).read(() => gate.promise))
  let refused = 0
  const asked = Array.from({ length: room + 20 }, async () => {
    const { status, body, headers } = await ask(cora)
    if (status === 429) {
      expect([body.code, headers.get('retry-after')]).toEqual(['rate_limited', '1'])
      refused += 1
    }
    return status
  })
  await eventually(() => expect(refused).toBe(20), { timeoutMs: 10_000 })
  expect((await world.call('GET', '/api/users/me', { token: bert.token })).status).toBe(200)
  expect((await ask(bert)).status).toBe(404) // read, and not of bert
  gate.resolve()
  await Promise.all(calls)
  const statuses = await Promise.all(asked)
  expect(statuses.filter((status) => status === 200)).toHaveLength(room)
  expect((await ask(cora)).status).toBe(200)
}, 30_000)
