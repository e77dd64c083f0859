// Fairness between users: while the calls of one user wait, by REST, long poll and snapshot, another is served.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { eventually } from '../support/eventually.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { makeProject } from '../ws/log-writes.ts'

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

test('while the queue of a user is full its long queries are refused before they are read', async () => {
  const { db } = world.server.deps
  const { token, id } = await world.register()
  const long = `/api/sync?${Array.from({ length: 20 }, () => `scope=user:me&cursor=${'0'.repeat(50)}`).join('&')}`
  const ask = (path: string) => world.call('GET', path, { token })
  expect((await ask(long)).body.code).toBe('bad_cursor')
  const gate = Promise.withResolvers<void>()
  const calls = Array.from({ length: 4 + 512 }, () => db.of(id).read(() => gate.promise))
  const refused = await ask(long)
  expect([refused.status, refused.body.code]).toEqual([429, 'rate_limited'])
  expect(refused.headers.get('retry-after')).toBe('1')
  expect((await ask('/api/users/me')).status).toBe(200)
  gate.resolve()
  await Promise.all(calls)
  expect((await ask(long)).body.code).toBe('bad_cursor')
})
