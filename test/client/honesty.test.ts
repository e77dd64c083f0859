// The client against failing servers and networks: it backs off, never shows an older state than before, reports only
// what the server confirmed, and leaves no timers, listeners or requests behind. The server is scripted.
import { expect, spyOn, test } from 'bun:test'
import type { Client } from '../../packages/client/src/client.ts'
import type { ProjectView } from '../../packages/client/src/views/project-view.ts'
import { eventually } from '../support/eventually.ts'
import { expectGaps, halfJitter, recordTimers } from './pace.ts'
import { projectId, scope, startScript, userId, type Script } from './scripted.ts'

const live = async (client: Client): Promise<ProjectView> => {
  const view = client.project(projectId).live()
  await eventually(() => expect(view.state).toBe('live'))
  return view
}

const titles = (view: ProjectView): string[] => view.current.tasks.map(({ title }) => title)

const resync = { t: 'resync', scope, reason: 'gap', snapshot: '' }

/** Answers when each request of the path arrived (`performance.now()`), from now on. */
const timesOf = (script: Script, path: string): number[] => {
  const times: number[] = []
  const { onRequest } = script
  script.onRequest = (url, request) => {
    if (url.pathname.endsWith(path)) times.push(performance.now())
    return onRequest?.(url, request)
  }
  return times
}

test('Back-off grows when the server answers each sub with resync', async () => {
  await using script = startScript()
  using _ = halfJitter()
  const times = timesOf(script, '/snapshot')
  using client = await script.client({ timing: { backOffBaseMs: 50, backOffMaxMs: 10_000 } })
  script.onSub = ({ rid }) => [{ ...resync, rid }]
  const view = client.project(projectId).live()
  await eventually(() => expect(times.length).toBeGreaterThan(4))
  expectGaps(times, [25, 50, 100, 200])
  expect(view.state).not.toBe('live')
  script.onSub = null
  await eventually(() => expect(view.state).toBe('live'), { timeoutMs: 8_000 })
}, 15_000)

test('Back-off grows when the server sends resync each time the view is live', async () => {
  await using script = startScript()
  using _ = halfJitter()
  const times = timesOf(script, '/snapshot')
  using client = await script.client({ timing: { backOffBaseMs: 50, backOffMaxMs: 10_000, stableMs: 5_000 } })
  script.onSub = ({ rid, cursor }) => [
    { t: 'sub', rid, scope, mode: 'resume', cursor, replay: 0 },
    { t: 'synced', scope, cursor },
    resync,
  ]
  client.project(projectId).live()
  await eventually(() => expect(times.length).toBeGreaterThan(4))
  expectGaps(times, [25, 50, 100, 200])
})

test('Back-off grows when the cursor is expired at every poll', async () => {
  await using script = startScript()
  const gone = { code: 'cursor_expired', status: 410, detail: '', reason: 'gap' }
  script.onRequest = ({ pathname }) =>
    pathname === '/api/sync' ? Response.json(gone, { status: 410 }) : undefined
  using _ = halfJitter()
  const times = timesOf(script, '/snapshot')
  using client = await script.client({
    transport: 'poll',
    timing: { backOffBaseMs: 50, backOffMaxMs: 10_000 },
  })
  const view = client.project(projectId).live()
  await eventually(() => expect(times.length).toBeGreaterThan(4))
  expectGaps(times, [25, 50, 100, 200])
  expect(view.state).not.toBe('live')
})

test('Polls that the server ends at once, as while it stops, are followed by a pause', async () => {
  await using script = startScript()
  const answer = { scopes: [{ scope, events: [], cursor: 'epoch.3.7', more: false }] }
  script.onRequest = ({ pathname }) => (pathname === '/api/sync' ? Response.json(answer) : undefined)
  const times = timesOf(script, '/api/sync')
  using client = await script.client({ transport: 'poll', timing: { pollPauseMs: 100 } })
  await live(client)
  await eventually(() => expect(times.length).toBeGreaterThan(5))
  expectGaps(times.slice(1), [100, 100, 100, 100]) // the first brought the subscription
})

test('A connection that is accepted and closed at once backs off, however long the one before was open', async () => {
  await using script = startScript()
  using _ = halfJitter()
  // Any connection that opened counts as stable.
  using client = await script.client({ timing: { stableMs: 0, backOffBaseMs: 50, backOffMaxMs: 10_000 } })
  await live(client)
  const times: number[] = []
  script.onOpen = (peer) => {
    times.push(performance.now())
    peer.close(1013)
  }
  script.peers[0]!.close(1013)
  await eventually(() => expect(times.length).toBeGreaterThan(3))
  expectGaps(times, [50, 100, 200])
})

test('A client that receives bye with an empty window at each connection backs off', async () => {
  await using script = startScript()
  using _ = halfJitter()
  const times: number[] = []
  script.onOpen = (peer) => {
    times.push(performance.now())
    peer.send(JSON.stringify({ t: 'bye', code: 1013, reconnectAfter: [0, 0] }))
    peer.close(1013)
  }
  using client = await script.client({ timing: { backOffBaseMs: 50, backOffMaxMs: 10_000 } })
  client.project(projectId).live()
  await eventually(() => expect(times.length).toBeGreaterThan(4))
  expectGaps(times, [0, 50, 100, 200])
})

test('A proxy that accepts sockets and forwards nothing counts as blocking sockets', async () => {
  await using script = startScript()
  script.onOpen = () => {} // no welcome
  using client = await script.client({ transport: 'auto', timing: { openMs: 60 } })
  const view = client.project(projectId).live()
  await eventually(() => expect(view.state).toBe('live'))
  expect(client.connection.kind).toBe('poll')
})

test('Where only polls work, sockets are tried in between without a refresh and without going offline', async () => {
  await using script = startScript()
  script.refuses = true
  using client = await script.client({
    transport: 'auto',
    timing: { pollBaseMs: 80, pollMaxMs: 80, backOffBaseMs: 200 },
  })
  const view = await live(client)
  const { refusals, refreshes } = script
  const states = new Set<string>()
  view.onChange(() => states.add(view.state))
  await eventually(() => expect(script.refusals).toBeGreaterThan(refusals + 2))
  expect(script.refreshes).toBe(refreshes)
  expect([...states].sort()).toEqual(['catching-up', 'live'])
})

test('After an outage sockets are tried soon; where they stay blocked, with growing intervals', async () => {
  await using script = startScript()
  script.refuses = true
  const times = timesOf(script, '/api/ws')
  using client = await script.client({ transport: 'auto', timing: { pollBaseMs: 60, pollMaxMs: 5_000 } })
  await live(client)
  await eventually(() => expect(times.length).toBeGreaterThan(4))
  expectGaps(times.slice(1), [60, 120, 240]) // two sockets that did not open come before the polls
  script.refuses = false
  await eventually(() => expect(client.connection).toMatchObject({ kind: 'socket', state: 'open' }))
})

test('A client that may only poll stays live without trying sockets', async () => {
  await using script = startScript()
  using client = await script.client({ transport: 'poll', timing: { pollBaseMs: 50, pollMaxMs: 50 } })
  const view = await live(client)
  const states = new Set<string>()
  view.onChange(() => states.add(view.state))
  const { syncs } = script
  await eventually(() => expect(script.syncs).toBeGreaterThan(syncs + 6))
  expect([...states].filter((state) => state !== 'live')).toEqual([])
})

test('A failed poll makes the view offline at once, without retries', async () => {
  await using script = startScript()
  let isAway = false
  script.onRequest = ({ pathname }) =>
    isAway && pathname === '/api/sync' ? Response.json({}, { status: 503 }) : undefined
  using client = await script.client({
    transport: 'poll',
    timing: { retryBaseMs: 5_000, retryMaxMs: 5_000, backOffBaseMs: 20_000 },
  })
  const view = await live(client)
  isAway = true
  await eventually(() => expect(view.state).toBe('offline'), { timeoutMs: 1_500 })
})

test('A snapshot older than the shown state is not shown: another is read', async () => {
  await using script = startScript()
  using client = await script.client()
  const view = await live(client)
  script.send(script.event('one'))
  await eventually(() => expect(titles(view)).toEqual(['one']))
  const shown: string[][] = []
  view.onChange(() => shown.push(titles(view)))
  // Snapshots are shared between requests: the first two are from before the event.
  let stale = 2
  const { tasks } = { tasks: view.current.tasks }
  script.onRequest = ({ pathname }) => {
    if (!pathname.endsWith('/snapshot')) return undefined
    stale -= 1
    const project = { id: projectId, name: 'Apollo', version: 1, role: 'owner' }
    const at = stale >= 0 ? { tasks: [], cursor: 'epoch.3.7' } : { tasks, cursor: 'epoch.3.8' }
    return Response.json({ project, members: [], nextAfter: null, ...at })
  }
  script.send(resync)
  await eventually(() => expect(stale).toBeLessThan(0))
  await eventually(() => expect(view.state).toBe('live'))
  expect(shown.filter((one) => one.length === 0)).toEqual([])
  // A log whose numbers went back is accepted after maxSnapshotAgeMs.
  script.onRequest = null
  script.seq = 3
  script.send({ ...resync, reason: 'ahead' })
  await eventually(() => expect(titles(view)).toEqual([]))
  await eventually(() => expect(view.state).toBe('live'))
})

test('After a restore the lower numbers of the new epoch are accepted at once', async () => {
  await using script = startScript()
  using client = await script.client({ timing: { maxSnapshotAgeMs: 60_000 } })
  const view = await live(client)
  script.seq = 90
  script.send(script.event('of the old epoch'))
  await eventually(() => expect(titles(view)).toHaveLength(1))
  const project = { id: projectId, name: 'Apollo', version: 1, role: 'owner' }
  script.onRequest = ({ pathname }) =>
    pathname.endsWith('/snapshot')
      ? Response.json({ project, members: [], tasks: [], cursor: 'later.3.2', nextAfter: null })
      : undefined
  script.send(script.event('', { type: 'scope.refetch', id: null }))
  await eventually(() => expect(titles(view)).toEqual([]))
  await eventually(() => expect(view.state).toBe('live'))
})

test('A 404 of a proxy while the server is down ends no view and refuses no write', async () => {
  await using script = startScript()
  using client = await script.client({ transport: 'poll' })
  const view = await live(client)
  const write = view.create({ title: 'unsent' })
  let refused = 0
  write.settled.catch(() => (refused += 1))
  const page = (): Response => new Response('<h1>404 Not Found</h1>', { status: 404 })
  script.onRequest = () => page()
  const writes = timesOf(script, '/api/tasks')
  await eventually(() => expect(view.state).toBe('offline'))
  await eventually(() => expect(writes.length).toBeGreaterThan(6)) // four attempts, then the outbox tries again
  expect(client.outbox.pending).toHaveLength(1)
  expect(titles(view)).toEqual(['unsent'])
  expect(refused).toBe(0)
  script.onRequest = null
  await eventually(() => expect(view.state).toBe('live'))
})

test('Scopes beyond the limit end with a reason, also by polls', async () => {
  await using script = startScript()
  script.onRequest = ({ pathname, searchParams }) => {
    const id = /projects\/(.+)\/snapshot/.exec(pathname)?.[1]
    if (id) {
      const project = { id, name: '', version: 1, role: 'owner' }
      return Response.json({ project, members: [], tasks: [], cursor: 'epoch.3.7', nextAfter: null })
    }
    if (pathname !== '/api/sync') return undefined
    const scopes = searchParams.getAll('scope')
    return Response.json({
      scopes: scopes.map((one) => ({ scope: one, events: [], cursor: 'epoch.3.7', more: false })),
    })
  }
  using client = await script.client({ transport: 'poll' })
  const views = Array.from({ length: 66 }, (_, n) =>
    client.project(`01933b6e-7c4a-7d3e-8f21-${String(n).padStart(12, '0')}`).live(),
  )
  await eventually(() => {
    const states = views.map(({ state }) => state)
    expect(states.filter((state) => state === 'live')).toHaveLength(64)
    expect(states.filter((state) => state === 'stopped')).toHaveLength(2)
  })
  expect(views.flatMap(({ error }) => error?.reason ?? [])).toEqual(['limit', 'limit'])
})

test('An error of a listener is reported to the program; the view continues', async () => {
  await using script = startScript()
  using client = await script.client()
  const thrown: unknown[] = []
  const hold = globalThis.reportError
  globalThis.reportError = (error) => void thrown.push(error)
  try {
    const view = client.project(projectId).live()
    const stop = view.onChange(() => {
      throw new Error('a component is broken')
    })
    await view.ready
    await eventually(() => expect(view.state).toBe('live'))
    script.send(script.event('one'))
    await eventually(() => expect(titles(view)).toEqual(['one']))
    expect(thrown.length).toBeGreaterThan(0)
    stop()
  } finally {
    globalThis.reportError = hold
  }
})

test('A resource that is read because its frame omits content is never older than the frame', async () => {
  await using script = startScript()
  using client = await script.client()
  const view = await live(client)
  const made = script.event('one')
  script.send(made)
  await eventually(() => expect(titles(view)).toEqual(['one']))
  let reads = 0
  script.onRequest = async ({ pathname }) => {
    if (!pathname.startsWith('/api/tasks/')) return undefined
    reads += 1
    const version = reads + 1
    if (reads === 1) {
      // Read as version 2; before the response the client receives the event of version 3.
      script.send(
        script.event('', { type: 'task.updated', id: made.id, version: 3, omitted: ['description'] }),
      )
      script.send(script.event('after'))
      await eventually(() => expect(titles(view)).toEqual(['one', 'after']))
    }
    return Response.json({ ...made.data, title: `version ${version}`, version })
  }
  script.send(script.event('', { type: 'task.updated', id: made.id, version: 2, omitted: ['description'] }))
  await eventually(() => expect(titles(view)).toEqual(['version 3', 'after']))
})

test('The own role is read after an event of the own membership', async () => {
  await using script = startScript()
  using client = await script.client()
  const view = await live(client)
  script.onRequest = ({ pathname }) =>
    pathname === `/api/projects/${projectId}`
      ? Response.json({ id: projectId, name: 'Apollo', version: 1, role: 'viewer' })
      : undefined
  script.send(
    script.event('', { type: 'member.updated', id: userId, version: 8, data: { userId, role: 'viewer' } }),
  )
  await eventually(() => expect(view.current.project!.role).toBe('viewer'))
})

test('A user who loses the right to a project sees no presence there', async () => {
  await using script = startScript()
  using client = await script.client()
  await live(client)
  using here = client.project(projectId).presence()
  const key = `project:${projectId}`
  script.send({ t: 'presence', key, users: [userId], count: 1 })
  await eventually(() => expect(here).toMatchObject({ users: [userId], count: 1 }))
  script.send({ t: 'error', code: 'not_found', key })
  await eventually(() => expect(here).toMatchObject({ users: [], count: 0 }))
})

test('Closing a presence twice does not end a later one of the same key', async () => {
  await using script = startScript()
  using client = await script.client()
  await live(client)
  const first = client.project(projectId).presence()
  first.close()
  using second = client.project(projectId).presence()
  first.close()
  const key = `project:${projectId}`
  script.send({ t: 'presence', key, users: [userId], count: 1 })
  await eventually(() => expect(second.users).toEqual([userId]))
  const gone = new AbortController()
  gone.abort()
  expect(client.task(projectId).presence({ signal: gone.signal }).users).toEqual([])
  client.task(projectId).presence().close() // the key is free again
})

test('A socket that opens after its deadline is not used', async () => {
  await using script = startScript()
  const sockets: EventTarget[] = []
  const sent: string[] = []
  /** Stays open: its peer does not answer the close frame. */
  class Silent extends EventTarget {
    readyState = 1
    constructor() {
      super()
      sockets.push(this)
    }
    send(text: string): void {
      sent.push(text)
    }
    close(): void {}
  }
  using _ = halfJitter()
  const timing = { openMs: 50, backOffBaseMs: 20_000, backOffMaxMs: 20_000 }
  using client = await script.client({ WebSocket: Silent as never, timing })
  const view = client.project(projectId).live()
  await view.ready // it would subscribe at once
  await eventually(() => expect(client.connection.state).toBe('waiting'))
  const heartbeat = { ping: 25_000, position: 15_000, dead: 40_000 }
  const data = JSON.stringify({ t: 'welcome', heartbeat, limits: {} })
  expect(sockets).toHaveLength(1)
  sockets[0]!.dispatchEvent(new MessageEvent('message', { data }))
  expect(client.connection.state).toBe('waiting')
  expect(view.state).not.toBe('live')
  expect(sent).toEqual([])
})

test('close ends loading views, writes, and views opened later', async () => {
  await using script = startScript()
  using timers = recordTimers()
  // Requests are counted where they leave: one that is on its way when the client closes reaches the script later.
  let asked = 0
  script.onRequest = ({ pathname }) => {
    if (pathname === '/api/ws') asked += 1
    return Response.json({}, { status: 503 })
  }
  const client = await script.client({
    fetch: (url, init) => {
      asked += 1
      return fetch(url, init)
    },
  })
  const view = client.project(projectId).live()
  await eventually(() => expect(view.state).toBe('offline'))
  client.close()
  expect(view.state).toBe('stopped')
  expect(await view.ready.catch(({ reason }) => reason)).toBe('closed')
  const after = asked
  const later = client.project(projectId).live()
  expect(later.error?.reason).toBe('closed')
  const write = later.create({ title: 'too late' })
  expect(await write.settled.catch(({ message }) => message)).toContain('closed')
  using presence = client.project(projectId).presence()
  expect(presence.users).toEqual([])
  await eventually(() => expect(timers.pending).toEqual([]))
  await fetch(script.url) // a request that was under way would have arrived before
  expect(asked).toBe(after)
})

test('The ready of a view that is closed before it has loaded resolves, and no rejection is unhandled', async () => {
  await using script = startScript()
  const unhandled: unknown[] = []
  const note = (reason: unknown): void => void unhandled.push(reason)
  process.on('unhandledRejection', note)
  try {
    let release = (): void => {}
    const held = new Promise<void>((resolve) => (release = resolve))
    script.onRequest = async () => {
      await held
      return undefined
    }
    const client = await script.client()
    const shown: string[] = []
    // As an effect of React in strict mode does: open, close at once, open again.
    const effect = (view: { ready: Promise<void>; state: string; close(): void }): (() => void) => {
      void view.ready.then(() => shown.push(view.state))
      return () => view.close()
    }
    effect(client.project(projectId).live())()
    effect(client.live())()
    const gone = new AbortController()
    effect(client.project(projectId).live({ signal: gone.signal }))
    gone.abort()
    await eventually(() => expect(shown).toEqual(['stopped', 'stopped', 'stopped']))
    const leave = effect(client.project(projectId).live())
    release()
    await eventually(() => expect(shown).toHaveLength(4))
    expect(shown[3]).not.toBe('stopped')
    leave()
    const last = client.project(projectId).live()
    effect(last)
    client.close()
    await eventually(() => expect(shown).toHaveLength(5))
    await new Promise((resolve) => setImmediate(resolve))
    expect(unhandled).toEqual([])
  } finally {
    process.off('unhandledRejection', note)
  }
})

test('After a change of the network the client probes its connection and replaces a dead one within seconds', async () => {
  await using script = startScript()
  const target = new EventTarget()
  Object.assign(globalThis, { window: target })
  try {
    using client = await script.client()
    const view = await live(client)
    target.dispatchEvent(new Event('offline')) // the script answers no ping
    await eventually(() => expect(script.peers).toHaveLength(2), { timeoutMs: 2_000 })
    await eventually(() => expect(view.state).toBe('live'))
  } finally {
    Reflect.deleteProperty(globalThis, 'window')
  }
})

test('Signing out ends live views, also if the server is unreachable; the cookie is not used again', async () => {
  await using script = startScript()
  using client = await script.client({ useCookie: true })
  const view = await live(client)
  script.onRequest = ({ pathname }) =>
    pathname === '/api/auth/logout' ? Response.json({}, { status: 503 }) : undefined
  await client.auth.signOut().catch(() => {})
  expect(view.state).toBe('stopped')
  expect(view.error!.reason).toBe('signed_out')
  const { refreshes } = script
  expect(await client.users.me().catch(({ name }) => name)).toBe('SignedOutError')
  expect(script.refreshes).toBe(refreshes)
  await client.session.adopt(script.session())
  await live(client)
})

test('After the end of a session the next one starts like the first', async () => {
  await using script = startScript()
  using client = await script.client()
  const view = await live(client)
  script.refreshStatus = 401
  script.peers[0]!.close(4403)
  await eventually(() => expect(view.state).toBe('stopped'))
  await eventually(() => expect(client.connection.state).toBe('stopped'))
  script.refreshStatus = 200
  await client.session.adopt(script.session())
  expect(client.connection.state).toBe('idle')
  const next = client.project(projectId).live()
  const states = [next.state]
  next.onChange(() => states.push(next.state))
  await eventually(() => expect(next.state).toBe('live'))
  expect([...new Set(states)]).toEqual(['connecting', 'catching-up', 'live'])
})

test('Missed events are shown in one change, and listeners receive each of them', async () => {
  await using script = startScript()
  using client = await script.client()
  const view = await live(client)
  const missed = Array.from({ length: 30 }, (_, n) => script.event(`missed ${n}`))
  script.onSub = ({ rid, cursor }) => [
    { t: 'sub', rid, scope, mode: 'resume', cursor, replay: missed.length },
    ...missed,
    { t: 'synced', scope, cursor: missed.at(-1)!.cursor },
  ]
  const counts = new Set<number>()
  const received: unknown[] = []
  view.onChange((event) => {
    counts.add(view.current.tasks.length)
    if (event) received.push(event.cursor)
  })
  script.peers[0]!.close(1012)
  await eventually(() => expect(view.current.tasks).toHaveLength(30))
  expect([...counts]).toEqual([0, 30])
  expect(received).toEqual(missed.map(({ cursor }) => cursor))
})

test('Unsent writes of one user are not sent by the next user and wait for the first', async () => {
  await using script = startScript()
  const sent: string[] = []
  let isAway = true
  script.onRequest = async ({ pathname }, request) => {
    if (pathname !== '/api/tasks') return undefined
    if (isAway) return Response.json({}, { status: 503 })
    const task = (await request.json()) as { title: string }
    sent.push(`${request.headers.get('authorization')}: ${task.title}`)
    return Response.json({ ...task, version: 1 }, { status: 201 })
  }
  using client = await script.client()
  const view = await live(client)
  view.create({ title: 'of the first' })
  await eventually(() => expect(client.outbox.pending).toHaveLength(1))
  await client.auth.signOut().catch(() => {})
  isAway = false
  const other = { ...script.session(), accessToken: 'other' }
  await client.session.adopt({ ...other, user: { ...other.user, id: 'another-user' } })
  const theirs = await live(client)
  expect(titles(theirs)).toEqual([])
  theirs.create({ title: 'of the second' })
  const [byFirst, byOther] = ['Bearer token-0: of the first', 'Bearer other: of the second']
  await eventually(() => expect(sent).toContain(byOther))
  await client.session.adopt(script.session())
  await eventually(() => expect(sent).toContain(byFirst))
  // The first write may have been in flight at the sign-out: then it is sent again under its key.
  expect(new Set(sent)).toEqual(new Set([byFirst, byOther]))
})

test('The response of a refresh after signing out does not sign in again', async () => {
  await using script = startScript()
  using client = await script.client({ useCookie: true })
  let answer = (): void => {}
  script.onRequest = async ({ pathname }) => {
    if (pathname !== '/api/auth/refresh') return undefined
    await new Promise<void>((resolve) => (answer = resolve))
    return Response.json(script.session())
  }
  const renewal = client.session.renewCurrent().catch(({ name }) => name)
  await eventually(() => expect(script.urls.some((url) => url.endsWith('/refresh'))).toBe(true))
  await client.session.forget()
  answer()
  expect(await renewal).toBe('SignedOutError')
  expect(await client.session.tokens()).toBeNull()
})

test('A token whose lifetime is below renewAheadMs is not renewed endlessly', async () => {
  await using script = startScript()
  using client = await script.client()
  script.onRequest = ({ pathname }) => {
    if (pathname !== '/api/auth/refresh') return undefined
    script.refreshes += 1
    return Response.json({ ...script.session(), expiresIn: 10 })
  }
  await client.session.adopt({ ...script.session(), expiresIn: 10 })
  await live(client)
  await client.session.renewCurrent()
  for (let requests = 0; requests < 5; requests += 1) await client.users.me().catch(() => {})
  expect(script.refreshes).toBeLessThan(3)
})

test('A storage that failed once is read again', async () => {
  await using script = startScript()
  let failures = 0
  const fail = (): Promise<never> => {
    failures += 1
    return Promise.reject(new Error('locked'))
  }
  const tokens = { userId, accessToken: 'kept', expiresAt: Date.now() + 900_000, refreshToken: 'r' }
  const storage = { load: () => (failures < 1 ? fail() : tokens), save: () => {} }
  const { createClient } = await import('../../packages/client/src/client.ts')
  using client = createClient({ url: script.url, storage, transport: 'socket' })
  expect(await client.session.tokens().catch(({ message }) => message)).toBe('locked')
  expect((await client.session.tokens())?.accessToken).toBe('kept')
})

test('The client removes its listeners from signals of the program', async () => {
  await using script = startScript()
  // AbortSignal.any leaves a reference in every signal for as long as that lives.
  const any = spyOn(AbortSignal, 'any')
  const { signal } = new AbortController()
  const [added, removed] = [spyOn(signal, 'addEventListener'), spyOn(signal, 'removeEventListener')]
  using client = await script.client({ transport: 'poll' })
  await live(client)
  for (let n = 0; n < 20; n += 1) await client.users.me({ signal }).catch(() => {})
  expect(added.mock.calls.length).toBeGreaterThanOrEqual(20)
  expect(removed.mock.calls.length).toBe(added.mock.calls.length)
  expect(any).not.toHaveBeenCalled()
  any.mockRestore()
})

const subscriptions = ({ received }: Script): number => received.filter(({ t }) => t === 'sub').length

test('A long outage costs few connection attempts', async () => {
  await using script = startScript()
  using _ = halfJitter()
  using client = await script.client({ timing: { backOffBaseMs: 40, backOffMaxMs: 5_000 } })
  await live(client)
  script.refuses = true
  const times = timesOf(script, '/api/ws')
  script.peers[0]!.close(1012)
  await eventually(() => expect(times.length).toBeGreaterThan(4))
  expectGaps(times, [40, 80, 160, 320])
  expect(subscriptions(script)).toBe(1)
})
