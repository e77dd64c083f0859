// Writes made while the server is away: stored and sent in order, once each, with conflicts detected.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { createClient, type Client, type ClientOptions } from '../../packages/client/src/client.ts'
import { ConflictError, StoppedError } from '../../packages/client/src/errors.ts'
import type { Fetch } from '../../packages/client/src/http/request.ts'
import { memoryStorage } from '../../packages/client/src/memory-storage.ts'
import type { OutboxStorage } from '../../packages/client/src/outbox/outbox.ts'
import type { Conflict, Resolution } from '../../packages/client/src/outbox/send-write.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { quick } from './scripted.ts'

let world: World
const stack = new AsyncDisposableStack()

beforeAll(async () => {
  world = stack.use(await startWorld())
})
afterAll(() => stack.disposeAsync())

/** A network whose writes can be switched off; reads pass, so that the queue alone is affected. */
const network = () => {
  const state = { isAway: false, sent: [] as string[] }
  const send: Fetch = async (url, init) => {
    const isWrite = init.method !== 'GET'
    if (isWrite && state.isAway) throw new TypeError('the network is away')
    if (isWrite) state.sent.push(`${init.method} ${new URL(url).pathname}`)
    return fetch(url, init)
  }
  return { state, fetch: send }
}

const clientOf = async (person: Person, options: Partial<ClientOptions> = {}): Promise<Client> => {
  const client = createClient({ url: world.url, timing: quick, ...options })
  await client.session.adopt(person.session)
  return client
}

const task = async (person: Person, title: string): Promise<any> =>
  (await world.call('POST', '/api/tasks', { token: person.token, body: { title } })).body

const patch = (person: Person, id: string, body: object): Promise<any> =>
  world.call('PATCH', `/api/tasks/${id}`, { token: person.token, body })

test('Offline writes are shown at once, sent in order when the network is back, and take effect once', async () => {
  const ada = await world.register()
  const { state, fetch } = network()
  using client = await clientOf(ada, { fetch })
  using view = client.project(ada.inboxId).live()
  await view.ready
  state.isAway = true
  const parent = view.create({ title: 'parent' })
  const child = view.create({ title: 'child', parentId: parent.taskId })
  const renamed = view.update(parent.taskId, { title: 'renamed' })
  const moved = view.move(child.taskId, { before: parent.taskId })
  const gone = view.create({ title: 'gone' })
  const deleted = view.delete(gone.taskId)
  expect(view.current.tasks.map(({ title }) => title)).toEqual(['child', 'renamed'])
  expect(client.outbox.pending).toHaveLength(6)
  state.isAway = false
  await Promise.all([parent, child, renamed, moved, gone, deleted].map(({ settled }) => settled))
  expect(view.current.tasks.map(({ title, version }) => [title, version])).toEqual([
    ['child', 2],
    ['renamed', 2],
  ])
  expect(state.sent).toEqual([
    'POST /api/tasks',
    'POST /api/tasks',
    `PATCH /api/tasks/${parent.taskId}`,
    `POST /api/tasks/${child.taskId}/move`,
    'POST /api/tasks',
    `DELETE /api/tasks/${gone.taskId}`,
  ])
  const entries = await world.entries(`project:${ada.inboxId}`)
  expect(entries.filter(({ op }) => op !== null).map(({ type }) => type)).toEqual([
    'task.created',
    'task.created',
    'task.updated',
    'task.updated',
    'task.created',
    'task.deleted',
  ])
})

test('Stored writes are sent by the next run of the program under the same keys', async () => {
  const ada = await world.register()
  const storage = memoryStorage()
  const { state, fetch } = network()
  state.isAway = true
  const first = await clientOf(ada, { fetch, outbox: storage })
  const view = first.project(ada.inboxId).live()
  await view.ready
  const made = view.create({ title: 'kept' })
  const changed = view.update(made.taskId, { status: 'done' })
  await eventually(async () => expect(await storage.load()).toHaveLength(2))
  first.close()
  expect(await made.settled.catch((error: Error) => error.name)).toBe('OutboxError')
  using second = await clientOf(ada, { outbox: storage })
  await eventually(async () => expect(await storage.load()).toEqual([]))
  await eventually(() => expect(second.outbox.pending).toEqual([]))
  const entries = await world.entries(`project:${ada.inboxId}`)
  expect(entries.filter(({ op }) => op !== null).map(({ op }) => op)).toEqual([made.op, changed.op])
})

test('Two programs with one storage send all writes, and each takes effect once', async () => {
  const ada = await world.register()
  const storage = memoryStorage()
  const { state, fetch } = network()
  state.isAway = true
  using first = await clientOf(ada, { fetch, outbox: storage })
  using view = first.project(ada.inboxId).live()
  await view.ready
  const writes = Array.from({ length: 5 }, (_, n) => view.create({ title: `task ${n}` }))
  await eventually(async () => expect(await storage.load()).toHaveLength(5))
  using second = await clientOf(ada, { outbox: storage })
  state.isAway = false
  await Promise.all(writes.map(({ settled }) => settled))
  await eventually(() => expect(second.outbox.pending).toEqual([]))
  expect(view.current.tasks).toHaveLength(5)
  expect((await world.entries(`project:${ada.inboxId}`)).filter(({ op }) => op !== null)).toHaveLength(5)
})

test('Changes of other fields by others are no conflict', async () => {
  const ada = await world.register()
  const { id } = await task(ada, 'theirs')
  const { state, fetch } = network()
  const asked: Conflict[] = []
  using client = await clientOf(ada, {
    fetch,
    onConflict: (conflict) => {
      asked.push(conflict)
      return 'theirs'
    },
  })
  using view = client.project(ada.inboxId).live()
  await view.ready
  state.isAway = true
  const mine = view.update(id, { status: 'done' })
  const again = view.update(id, { tags: ['own'] })
  await patch(ada, id, { title: 'changed elsewhere', priority: 'high' })
  state.isAway = false
  await Promise.all([mine.settled, again.settled])
  expect(view.current.tasks).toMatchObject([
    { title: 'changed elsewhere', priority: 'high', status: 'done', tags: ['own'] },
  ])
  expect(asked).toEqual([])
})

for (const [resolution, title] of [
  ['theirs', 'theirs'],
  ['mine', 'mine'],
  [{ changes: { title: 'both' } }, 'both'],
] as const) {
  test(`A conflict in one field is decided by the rule: ${JSON.stringify(resolution)}`, async () => {
    const ada = await world.register()
    const { id } = await task(ada, 'before')
    const { state, fetch } = network()
    const asked: Conflict[] = []
    const refused: string[] = []
    using client = await clientOf(ada, {
      fetch,
      onConflict: (conflict) => {
        asked.push(structuredClone(conflict))
        return resolution
      },
      onRefused: ({ op }) => void refused.push(op),
    })
    using view = client.project(ada.inboxId).live()
    await view.ready
    state.isAway = true
    const write = view.update(id, { title: 'mine' })
    await patch(ada, id, { title: 'theirs' })
    state.isAway = false
    const result: unknown = await write.settled.catch((error: unknown) => error)
    expect(asked).toMatchObject([
      {
        write: { change: { changes: { title: 'mine' } }, before: { title: 'before' } },
        theirs: { title: 'theirs' },
      },
    ])
    await eventually(() => expect(view.current.tasks).toMatchObject([{ title }]))
    if (resolution !== 'theirs') return expect(result).toMatchObject({ title, version: 3 })
    expect(result).toBeInstanceOf(ConflictError)
    expect(result).toMatchObject({
      mine: { version: 1, changes: { title: 'mine' } },
      theirs: { title: 'theirs', version: 2 },
      problem: { currentVersion: 2 },
    })
    // `onConflict` was the notification; `onRefused` is not another one of the same conflict.
    expect(result).toMatchObject({ isDecided: true })
    expect(refused).toEqual([])
  })
}

test('A conflict that no rule decides is notified once, by onRefused', async () => {
  const ada = await world.register()
  const { id } = await task(ada, 'before')
  const { state, fetch } = network()
  const notified: Error[] = []
  using client = await clientOf(ada, { fetch, onRefused: (_, error) => void notified.push(error) })
  using view = client.project(ada.inboxId).live()
  await view.ready
  state.isAway = true
  const write = view.update(id, { title: 'mine' })
  await patch(ada, id, { title: 'theirs' })
  state.isAway = false
  const result = await write.settled.catch((error: unknown) => error)
  expect(result).toBeInstanceOf(ConflictError)
  expect(result).toMatchObject({ isDecided: false })
  expect(notified).toEqual([result as Error])
})

test('A rule that always answers `mine` gives up against a continuous writer, and onRefused is called once', async () => {
  const ada = await world.register()
  const { id } = await task(ada, 'before')
  const { state, fetch } = network()
  const refused: Error[] = []
  let asked = 0
  using client = await clientOf(ada, {
    fetch,
    onConflict: async (): Promise<Resolution> => {
      asked += 1
      await patch(ada, id, { title: `theirs ${asked}` })
      return 'mine'
    },
    onRefused: (_, error) => void refused.push(error),
  })
  using view = client.project(ada.inboxId).live()
  await view.ready
  state.isAway = true
  const write = view.update(id, { title: 'mine' })
  await patch(ada, id, { title: 'theirs' })
  state.isAway = false
  expect(await write.settled.catch((error: unknown) => error)).toMatchObject({ isDecided: false })
  expect(refused).toHaveLength(1)
})

test('A deletion after another change is a conflict; of a deleted task it succeeds', async () => {
  const ada = await world.register()
  const [kept, gone] = [await task(ada, 'kept'), await task(ada, 'gone')]
  const { state, fetch } = network()
  using client = await clientOf(ada, { fetch })
  using view = client.project(ada.inboxId).live()
  await view.ready
  state.isAway = true
  const [one, two] = [view.delete(kept.id), view.delete(gone.id)]
  await patch(ada, kept.id, { title: 'changed' })
  await world.call('DELETE', `/api/tasks/${gone.id}`, { token: ada.token })
  state.isAway = false
  expect(await one.settled.catch((error: unknown) => error)).toBeInstanceOf(ConflictError)
  expect(await two.settled).toBeNull()
  await eventually(() => expect(view.current.tasks).toMatchObject([{ title: 'changed' }]))
})

test('Losing the right to a project refuses its queued writes', async () => {
  const [ada, bob] = [await world.register(), await world.register()]
  const { body: project } = await world.call('POST', '/api/projects', {
    token: ada.token,
    body: { name: 'P' },
  })
  const path = `/api/projects/${project.id}/members`
  await world.call('POST', path, { token: ada.token, body: { email: bob.email, role: 'editor' } })
  const { state, fetch } = network()
  using client = await clientOf(bob, { fetch })
  using view = client.project(project.id).live()
  await eventually(() => expect(view.state).toBe('live'))
  state.isAway = true
  const write = view.create({ title: 'too late' })
  await world.call('DELETE', `${path}/${bob.id}`, { token: ada.token })
  expect(await write.settled.catch((error: unknown) => error)).toBeInstanceOf(StoppedError)
  expect(client.outbox.pending).toEqual([])
})

test('A task too large for a frame is read over HTTP, and a write of one settles', async () => {
  const ada = await world.register()
  using client = await clientOf(ada)
  using view = client.project(ada.inboxId).live()
  await view.ready
  const description = 'ж'.repeat(9_000)
  const made = view.create({ title: 'large', description })
  expect(await made.settled).toMatchObject({ description })
  const { id } = await task(ada, 'other')
  await patch(ada, id, { description })
  await eventually(() => expect(view.current.byId.get(id)).toMatchObject({ description, version: 2 }))
  expect(view.current.byId.get(made.taskId)).toMatchObject({ description, version: 1 })
})

test('The queue is bounded', async () => {
  const ada = await world.register()
  const { state, fetch } = network()
  using client = await clientOf(ada, { fetch })
  state.isAway = true
  using view = client.project(ada.inboxId).live()
  for (let n = 0; n < 1_000; n += 1) view.create({ title: `task ${n}` })
  const tooMany = view.create({ title: 'one more' })
  expect(await tooMany.settled.catch((error: Error) => error.message)).toContain('more than 1000 writes')
})

test('No write is sent before it is stored, nor before an earlier one', async () => {
  const ada = await world.register()
  const { state, fetch } = network()
  const [puts, kept] = [[] as (() => void)[], memoryStorage()]
  const storage: OutboxStorage = {
    ...kept,
    put: async (write) => {
      await new Promise<void>((resolve) => puts.push(resolve))
      await kept.put(write)
    },
  }
  using client = await clientOf(ada, { fetch, outbox: storage })
  using view = client.project(ada.inboxId).live()
  await view.ready
  const [first, second] = [view.create({ title: 'first' }), view.create({ title: 'second' })]
  await eventually(() => expect(puts).toHaveLength(2))
  puts[1]!()
  await eventually(async () => expect(await kept.load()).toHaveLength(1))
  await client.users.me() // a request that the stored write started would have been sent before
  expect(state.sent).toEqual([])
  puts[0]!()
  expect((await first.settled)!.title).toBe('first')
  expect((await second.settled)!.title).toBe('second')
  expect(await kept.load()).toEqual([])
})

test('A write that cannot be stored is refused and delays no other; the storage is read again', async () => {
  const ada = await world.register()
  const kept = memoryStorage()
  let isFull = true
  const storage: OutboxStorage = {
    ...kept,
    load: () => (isFull ? Promise.reject(new Error('locked')) : kept.load()),
  }
  using client = await clientOf(ada, { outbox: storage })
  using view = client.project(ada.inboxId).live()
  await view.ready
  const lost = view.create({ title: 'lost' })
  expect(await lost.settled.catch((error: Error) => error.name)).toBe('OutboxError')
  expect(view.current.tasks).toEqual([])
  isFull = false
  expect((await view.create({ title: 'kept' }).settled)!.title).toBe('kept')
})

test('A write that is purged while it is in flight is refused once', async () => {
  const [ada, bob] = [await world.register(), await world.register()]
  const { body: project } = await world.call('POST', '/api/projects', {
    token: ada.token,
    body: { name: 'P' },
  })
  const path = `/api/projects/${project.id}/members`
  await world.call('POST', path, { token: ada.token, body: { email: bob.email, role: 'editor' } })
  const refused: string[] = []
  const [sent, held, answered] = Array.from({ length: 3 }, () => Promise.withResolvers<void>())
  using client = await clientOf(bob, {
    onRefused: ({ op }) => void refused.push(op),
    fetch: async (url, init) => {
      if (init.method !== 'POST' || !url.endsWith('/api/tasks')) return fetch(url, init)
      sent!.resolve()
      await held!.promise
      const response = await fetch(url, init)
      const body = await response.arrayBuffer()
      answered!.resolve()
      return new Response(body, response)
    },
  })
  using view = client.project(project.id).live()
  await eventually(() => expect(view.state).toBe('live'))
  const write = view.create({ title: 'on the way' })
  await sent!.promise
  await world.call('DELETE', `${path}/${bob.id}`, { token: ada.token })
  await eventually(() => expect(view.state).toBe('stopped'))
  held!.resolve()
  await answered!.promise
  await client.users.me() // by then the response of the write is processed
  expect(refused).toEqual([write.op])
})

test('A move to another project settles with the task of the target, also if the echo arrives before the response', async () => {
  const ada = await world.register()
  const { body: target } = await world.call('POST', '/api/projects', {
    token: ada.token,
    body: { name: 'P' },
  })
  const { id } = await task(ada, 'wanders')
  const [echo, answered] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  using client = await clientOf(ada, {
    fetch: async (url, init) => {
      const response = await fetch(url, init)
      if (!url.endsWith('/move')) return response
      const body = await response.arrayBuffer()
      await echo.promise
      answered.resolve()
      return new Response(body, response)
    },
  })
  using view = client.project(ada.inboxId).live()
  view.onChange((event) => {
    if (event?.id === id) echo.resolve()
  })
  await view.ready
  await eventually(() => expect(view.state).toBe('live'))
  const write = view.move(id, { projectId: target.id })
  expect(view.current.tasks).toEqual([])
  await answered.promise
  await client.users.me() // by then the response is processed, long before the next position
  expect(client.outbox.pending).toEqual([])
  expect(await write.settled).toMatchObject({ id, projectId: target.id, version: 3 })
  expect(view.current.pending.size).toBe(0)
})

test('An error of onRefused is reported to the program; the next write is sent', async () => {
  const ada = await world.register()
  const thrown: unknown[] = []
  const hold = globalThis.reportError
  globalThis.reportError = (error) => void thrown.push(error)
  try {
    using client = await clientOf(ada, {
      onRefused: () => {
        throw new Error('the program is broken')
      },
    })
    using view = client.project(ada.inboxId).live()
    await view.ready
    const refused = view.create({ title: 'x'.repeat(300) })
    const next = view.create({ title: 'next' })
    expect(await refused.settled.catch(({ code }) => code)).toBe('validation_failed')
    expect((await next.settled)!.title).toBe('next')
    expect(thrown).toHaveLength(1)
  } finally {
    globalThis.reportError = hold
  }
})

test.each([200, 302, 403, 405])(
  'A write that a portal answers with its page and %d waits, and is sent once',
  async (status) => {
    const ada = await world.register()
    let portals = 3
    const sent: string[] = []
    const portal: Fetch = async (url, init) => {
      if (init.method === 'GET') return fetch(url, init)
      if (portals > 0) {
        portals -= 1
        return new Response('<html>Sign in to the network</html>', {
          status,
          headers: { 'Content-Type': 'text/html' },
        })
      }
      sent.push(init.method!)
      return fetch(url, init)
    }
    using client = await clientOf(ada, { fetch: portal })
    using view = client.project(ada.inboxId).live()
    await view.ready
    const made = view.create({ title: 'kept' })
    const renamed = view.update(made.taskId, { title: 'renamed' })
    expect(await renamed.settled).toMatchObject({ title: 'renamed', version: 2 })
    expect(sent).toEqual(['POST', 'PATCH'])
    expect(portals).toBe(0)
  },
)

test('A read that a page of the same address answers says so', async () => {
  using client = await clientOf(await world.register(), {
    fetch: async () => new Response('<html>', { headers: { 'Content-Type': 'text/html' } }),
  })
  const error: unknown = await client.users.me().catch((reason: unknown) => reason)
  expect(error).toMatchObject({
    name: 'NetworkError',
    message: expect.stringContaining('was not answered by Tasktide'),
    cause: expect.objectContaining({ message: 'the answer is text/html in place of JSON' }),
  })
})

test('A conflict that is found while another user signs in waits for the user who made the write', async () => {
  const [ada, bob] = [await world.register(), await world.register()]
  const { id } = await task(ada, 'first')
  const storage = memoryStorage()
  const { state, fetch: send } = network()
  const asked: string[] = []
  let isBobAsked = false
  const switching: Fetch = async (url, init) => {
    const token = new Headers(init.headers).get('authorization')!.slice(7)
    if (url.endsWith(`/api/tasks/${id}`)) asked.push(`${init.method} ${token === bob.token ? 'bob' : 'ada'}`)
    const response = await send(url, init)
    if (response.status === 412 && !isBobAsked) {
      isBobAsked = true
      await client.session.adopt(bob.session)
    }
    return response
  }
  const client = await clientOf(ada, { fetch: switching, outbox: storage, onConflict: () => 'mine' })
  using _ = client
  const view = client.project(ada.inboxId).live()
  await view.ready
  state.isAway = true
  const mine = view.update(id, { title: 'mine' })
  expect((await patch(ada, id, { title: 'theirs' })).status).toBe(200)
  state.isAway = false
  await eventually(() => expect(isBobAsked).toBe(true))
  await eventually(() => expect(client.session.userId).toBe(bob.id))
  client.reconnect() // sends what is Bob's
  expect(await storage.load()).toHaveLength(1)
  await client.session.adopt(ada.session)
  expect(await mine.settled).toMatchObject({ title: 'mine' })
  expect(asked.filter((one) => one.endsWith('bob'))).toEqual([])
})
