// The last state of a view, stored across runs of the program: shown at once and marked stale while the server is away,
// resumed from its cursor when it is back, and only for its owner.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { createClient, type Client, type ClientOptions } from '../../packages/client/src/client.ts'
import type { Fetch } from '../../packages/client/src/http/request.ts'
import { maxStateLength, maxViews } from '../../packages/client/src/views/persisted-views.ts'
import { memoryStorage } from '../../packages/client/src/memory-storage.ts'
import type { Tokens, TokenStorage } from '../../packages/client/src/session.ts'
import type { Event } from '../../packages/client/src/connection/frames.ts'
import type { Task } from '../../src/model/task.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { projectId, quick, scope, startScript, userId } from './scripted.ts'

const soon = { ...quick, persistDelayMs: 5, restoreMs: 500 }

let world: World
const stack = new AsyncDisposableStack()

beforeAll(async () => {
  world = stack.use(await startWorld())
})
afterAll(() => stack.disposeAsync())

const tokens = (): TokenStorage & { held: Tokens | null } => ({
  held: null,
  load() {
    return this.held
  },
  save(held) {
    this.held = held
  },
})

/** A program's storages, and clients on them as the program is started again and again. */
const program = (person: Person | null = null) => {
  const [views, storage] = [memoryStorage(), tokens()]
  const asked: string[] = []
  const network = { isAway: false }
  const send: Fetch = (url, init) => {
    asked.push(`${init.method} ${new URL(url).pathname}`)
    return network.isAway ? Promise.reject(new TypeError('the server is away')) : fetch(url, init)
  }
  class NetworkSocket extends WebSocket {
    constructor(url: string, protocols: string[]) {
      super(network.isAway ? 'ws://127.0.0.1:9/' : url, protocols)
    }
  }
  const start = async (options: Partial<ClientOptions> = {}): Promise<Client> => {
    const client = createClient({
      url: world.url,
      timing: soon,
      storage,
      views,
      outbox: views,
      fetch: send,
      WebSocket: NetworkSocket,
      ...options,
    })
    if (person && storage.held === null && !options.useCookie) await client.session.adopt(person.session)
    return client
  }
  return { views, storage, network, asked, start }
}

const create = (person: Person, title: string, more: object = {}): Promise<any> =>
  world.call('POST', '/api/tasks', { token: person.token, body: { title, ...more } })

for (const transport of ['socket', 'poll'] as const)
  test(`a project is shown while the server is away, marked stale, and resumes from its cursor, each event once (${transport})`, async () => {
    const ada = await world.register()
    const { start, network, asked, views } = program(ada)
    const { body: first } = await create(ada, 'first')
    const { body: gone } = await create(ada, 'gone')
    {
      using client = await start({ transport })
      using view = client.project(ada.inboxId).live()
      await eventually(() => expect(view.state).toBe('live'))
      expect(view.current.staleSince).toBeNull()
      await create(ada, 'received live')
      await eventually(() => expect(view.current.tasks).toHaveLength(3))
    }
    await eventually(async () =>
      expect(await views.loadView(`project:${ada.inboxId}`)).toContain('received live'),
    )
    // Created while no program runs.
    await world.call('PATCH', `/api/tasks/${first.id}`, { token: ada.token, body: { title: 'changed' } })
    await world.call('DELETE', `/api/tasks/${gone.id}`, { token: ada.token })
    await create(ada, 'missed')

    network.isAway = true
    using client = await start({ transport })
    using view = client.project(ada.inboxId).live()
    await view.ready
    const shown = (): string[] => view.current.tasks.map(({ title }) => title)
    expect(shown()).toEqual(['first', 'gone', 'received live'])
    expect(view.state).toBe('stale')
    expect(Date.parse(view.current.staleSince!)).toBeLessThanOrEqual(Date.now())
    expect(view.current.project).toMatchObject({ id: ada.inboxId, role: 'owner' })
    const write = view.update(first.id, { status: 'done' }) // seen, and sent when the server is back
    expect(view.current.byId.get(first.id)).toMatchObject({ status: 'done', title: 'first' })
    const events: Event[] = []
    view.onChange((event) => event && events.push(event))
    asked.length = 0
    network.isAway = false
    await eventually(() => expect(view.state).toBe('live'), { timeoutMs: 10_000 })
    expect(await write.settled).toMatchObject({ status: 'done', title: 'changed' })
    await eventually(() => expect(shown()).toEqual(['changed', 'received live', 'missed']))
    expect(view.current.staleSince).toBeNull()
    expect(asked.filter((one) => one.endsWith('/snapshot'))).toEqual([])
    const received = events.map(({ cursor }) => cursor)
    expect(received.length).toBe(new Set(received).size)
    // Events received live may be sent again after the cursor; they take effect once.
    const missed = events.filter(({ data }) => (data as Task | undefined)?.title !== 'received live')
    expect(missed.map(({ type }) => type).slice(0, 3)).toEqual([
      'task.updated',
      'task.deleted',
      'task.created',
    ])
  })

test('the view of the user is stored too: projects, notifications and their number, each counted once', async () => {
  const [ada, bob] = [await world.register(), await world.register()]
  const { start, network, views } = program(ada)
  const notify = async (): Promise<void> => {
    const { body } = await world.call('POST', '/api/projects', { token: bob.token, body: { name: 'Theirs' } })
    await world.call('POST', `/api/projects/${body.id}/members`, {
      token: bob.token,
      body: { email: ada.email, role: 'editor' },
    })
  }
  await notify()
  {
    using client = await start()
    using own = client.live()
    await eventually(() => expect(own.state).toBe('live'))
    await eventually(async () => expect(await views.loadView('user:me')).toContain('Theirs'))
  }
  await notify()
  network.isAway = true
  using client = await start()
  using own = client.live()
  await own.ready
  expect(own.state).toBe('stale')
  expect(own.current.user).toMatchObject({ id: ada.id })
  expect(own.current.projects).toHaveLength(2)
  network.isAway = false
  await eventually(() => expect(own.state).toBe('live'), { timeoutMs: 10_000 })
  await eventually(() => expect(own.current.projects).toHaveLength(3))
  expect(own.current.staleSince).toBeNull()
})

test('after an expired cursor the snapshot is read; the stored state is shown until then', async () => {
  await using script = startScript()
  const views = memoryStorage()
  const storage = tokens()
  const kept = (cursor: string): string =>
    JSON.stringify({
      format: 1,
      owner: userId,
      scope,
      cursor,
      at: new Date().toISOString(),
      state: { project: { id: projectId, name: 'Kept', version: 1, role: 'owner' }, members: [], tasks: [] },
    })
  await views.saveView(`project:${projectId}`, kept('epoch.3.2'))
  script.onSub = (frame) =>
    frame.cursor === 'epoch.3.2'
      ? [{ t: 'resync', rid: frame.rid, scope, reason: 'too_old', snapshot: '' }]
      : [
          { t: 'sub', rid: frame.rid, scope, mode: 'resume', cursor: frame.cursor, replay: 0 },
          { t: 'synced', scope, cursor: frame.cursor },
        ]
  using client = await script.client({ views, storage, timing: soon })
  const names: (string | undefined)[] = []
  using view = client.project(projectId).live()
  view.onChange(() =>
    names.push(`${view.current.project?.name} ${view.current.staleSince === null ? 'fresh' : 'stale'}`),
  )
  await eventually(() => expect(view.state).toBe('live'))
  expect([...new Set(names)]).toEqual(['Kept stale', 'Apollo fresh'])
  expect(script.snapshots).toBe(1)
})

test('another user is not shown the stored state, signing out removes it, and without a session it is not shown', async () => {
  const [ada, bob] = [await world.register(), await world.register()]
  const { start, storage, views, network } = program()
  const key = `project:${ada.inboxId}`
  const keepForAda = async (): Promise<Client> => {
    const client = await start()
    await client.session.adopt(ada.session)
    const view = client.project(ada.inboxId).live()
    await eventually(() => expect(view.state).toBe('live'))
    await eventually(async () => expect(await views.loadView(key)).not.toBeNull())
    return client
  }
  await create(ada, 'secret')
  ;(await keepForAda()).close()

  // Bob signs in on the same device, the server is away.
  network.isAway = true
  storage.held = null
  using bobs = await start()
  await bobs.session.adopt(bob.session)
  using other = bobs.project(ada.inboxId).live()
  await eventually(() => expect(other.state).toBe('offline'))
  expect(other.current.tasks).toEqual([])

  // Without a session.
  storage.held = null
  using signedOut = await start()
  using unseen = signedOut.project(ada.inboxId).live()
  await eventually(() => expect(unseen.state).toBe('stopped'))
  expect([unseen.error!.reason, unseen.current.tasks]).toEqual(['signed_out', []])
  network.isAway = false

  using again = await keepForAda()
  await again.auth.signOut()
  await eventually(async () => expect(await views.viewKeys()).toEqual([]))
})

test('with the cookie alone the last user is assumed; when it is another, the state is removed', async () => {
  await using script = startScript()
  const views = memoryStorage()
  const key = `project:${projectId}`
  const task = { id: 'a', projectId, title: 'secret', rank: 'a', version: 1 }
  const state = {
    project: { id: projectId, name: 'Kept', version: 1, role: 'owner' },
    members: [],
    tasks: [['a', 1, task]],
  }
  const kept = {
    format: 1,
    owner: 'another-user',
    scope,
    cursor: 'epoch.3.2',
    at: new Date().toISOString(),
    state,
  }
  await views.saveView(key, JSON.stringify(kept))
  let isAway = true
  script.onRequest = () =>
    isAway ? Response.json({ code: 'unavailable', status: 503 }, { status: 503 }) : undefined
  using client = createClient({ url: script.url, useCookie: true, views, timing: soon })
  using view = client.project(projectId).live()
  await view.ready
  expect([view.state, view.current.tasks.length]).toEqual(['stale', 1])
  isAway = false // and the cookie is another person's
  await eventually(() => expect(view.state).toBe('stopped'))
  expect([view.error!.reason, view.current.tasks, view.current.project]).toEqual(['signed_out', [], null])
  await eventually(async () => expect(await views.viewKeys()).toEqual([]))
})

test('a write on a stored state that is shown before it is known who is signed in waits for its owner', async () => {
  const ada = await world.register()
  const ben = await world.register()
  const { id } = await world.project(ada, { editor: ben })
  const { views, storage, network, start } = program(ada)
  {
    using first = await start()
    using view = first.project(id).live()
    await view.ready
    await eventually(async () => expect(await views.viewKeys()).toEqual([`project:${id}`]))
  }
  storage.held = null // as with the cookie, of which the program knows nothing
  network.isAway = true
  using client = await start({ useCookie: true })
  using view = client.project(id).live()
  await view.ready
  expect([view.state, client.session.userId]).toEqual(['stale', null])
  const write = view.create({ title: 'made by Ada' })
  write.settled.catch(() => {})
  await eventually(async () => expect(await views.load()).toMatchObject([{ by: ada.id }]))
  network.isAway = false
  await client.session.adopt(ben.session)
  using own = client.project(id).live()
  await own.ready
  expect(own.current.tasks).toEqual([])
  await own.create({ title: 'made by Ben' }).settled
  const { items } = await world.ask(ben, 'GET', `/api/tasks?projectId=${id}`)
  expect(items.map(({ title }: Task) => title)).toEqual(['made by Ben'])
  expect(await views.load()).toMatchObject([{ by: ada.id }])
  expect(view.error?.reason).toBe('signed_out')
  expect(await view.create({ title: 'too late' }).settled.catch((error: Error) => error.name)).toBe(
    'StoppedError',
  )
  await client.session.adopt(ada.session)
  await eventually(async () => expect(await views.load()).toEqual([]))
  const after = await world.ask(ada, 'GET', `/api/tasks?projectId=${id}&sort=createdAt`)
  expect(after.items.map(({ title, creatorId }: Task) => [title, creatorId])).toContainEqual([
    'made by Ada',
    ada.id,
  ])
  expect(after.items).toHaveLength(2)
})

test('a stored state is ignored if its format or shape differs, it is truncated, or the storage does not answer', async () => {
  await using script = startScript()
  const good = {
    format: 1,
    owner: userId,
    scope,
    cursor: 'epoch.3.2',
    at: '2026-01-01T00:00:00.000Z',
    state: { project: { id: projectId }, members: [], tasks: [] },
  }
  const bad: unknown[] = [
    'no JSON {',
    JSON.stringify(null),
    JSON.stringify({ ...good, format: 2 }),
    JSON.stringify({ ...good, format: 0 }),
    JSON.stringify({ ...good, owner: 7 }),
    JSON.stringify({ ...good, cursor: 'nonsense' }),
    JSON.stringify({ ...good, state: null }),
    JSON.stringify({ ...good, state: { ...good.state, project: { id: 'another' } } }),
    JSON.stringify({ ...good, state: { ...good.state, tasks: [['a', 'b', {}]] } }),
    JSON.stringify({ ...good, state: { ...good.state, tasks: [['a', 1, { id: 'a' }]] } }),
    JSON.stringify({ ...good, state: { ...good.state, members: {} } }),
    new Error('the storage is broken'),
    new Promise<never>(() => {}), // it never answers
  ]
  for (const stored of bad) {
    const views = {
      ...memoryStorage(),
      loadView: async () => (stored instanceof Error ? Promise.reject(stored) : (stored as string)),
    }
    using client = await script.client({ views, timing: { ...soon, restoreMs: 50 } })
    const states: string[] = []
    using view = client.project(projectId).live()
    view.onChange(() => states.push(view.state))
    await eventually(() => expect(view.state).toBe('live'))
    expect(view.current.project!.name).toBe('Apollo')
    expect(states).not.toContain('stale')
  }
})

test('stored states are bounded: one too large is not stored, and of many views the latest are kept', async () => {
  await using script = startScript()
  const views = memoryStorage()
  using client = await script.client({ views, timing: soon })
  using view = client.project(projectId).live()
  await eventually(() => expect(view.state).toBe('live'))
  for (let n = 0; n < maxViews + 5; n += 1) await views.saveView(`project:${n}`, '{}')
  script.send(script.event('one more'))
  await eventually(async () => expect(await views.loadView(`project:${projectId}`)).toContain('one more'))
  await eventually(async () => expect(await views.viewKeys()).toHaveLength(maxViews))
  script.send(script.event('x'.repeat(maxStateLength)))
  await eventually(async () => expect(await views.loadView(`project:${projectId}`)).toBeNull())
  expect(view.current.tasks).toHaveLength(2)
})

test('the loss of the right to a project removes its stored state', async () => {
  await using script = startScript()
  const views = memoryStorage()
  using client = await script.client({ views, timing: soon })
  using view = client.project(projectId).live()
  await eventually(() => expect(view.state).toBe('live'))
  await eventually(async () => expect(await views.viewKeys()).toHaveLength(1))
  script.send({ t: 'access', scope, cursor: 'epoch.3.9', op: 'revoked' })
  await eventually(() => expect(view.state).toBe('stopped'))
  await eventually(async () => expect(await views.viewKeys()).toEqual([]))
})
