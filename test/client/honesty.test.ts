// The client where servers and networks are at their worst: it asks at a bearable pace, shows nothing older than it
// has shown, claims nothing it does not know, and leaves nothing behind. The server is scripted.
import { expect, spyOn, test } from 'bun:test'
import type { Client } from '../../packages/client/src/client.ts'
import type { ProjectView } from '../../packages/client/src/views/project-view.ts'
import { eventually } from '../support/eventually.ts'
import { projectId, scope, startScript, userId, type Script } from './scripted.ts'

const live = async (client: Client): Promise<ProjectView> => {
  const view = client.project(projectId).live()
  await eventually(() => expect(view.state).toBe('live'))
  return view
}

const titles = (view: ProjectView): string[] => view.current.tasks.map(({ title }) => title)

const resync = { t: 'resync', scope, reason: 'gap', snapshot: '' }

test('A server that answers each sub with resync is asked ever more rarely', async () => {
  await using script = startScript()
  using client = await script.client({ timing: { backOffBaseMs: 50, backOffMaxMs: 10_000 } })
  script.onSub = ({ rid }) => [{ ...resync, rid }]
  const view = client.project(projectId).live()
  await eventually(() => expect(script.snapshots).toBeGreaterThan(1))
  await Bun.sleep(600)
  expect(script.snapshots).toBeLessThan(20)
  expect(view.state).not.toBe('live')
  script.onSub = null
  await eventually(() => expect(view.state).toBe('live'), { timeoutMs: 8_000 })
}, 15_000)

test('One that says resync each time the view is live is asked no faster', async () => {
  await using script = startScript()
  using client = await script.client({ timing: { backOffBaseMs: 50, backOffMaxMs: 10_000, stableMs: 5_000 } })
  script.onSub = ({ rid, cursor }) => [
    { t: 'sub', rid, scope, mode: 'resume', cursor, replay: 0 },
    { t: 'synced', scope, cursor },
    resync,
  ]
  client.project(projectId).live()
  await Bun.sleep(700)
  expect(script.snapshots).toBeGreaterThan(1)
  expect(script.snapshots).toBeLessThan(20)
})

test('A cursor that is expired at every poll is given up ever more rarely', async () => {
  await using script = startScript()
  const gone = { code: 'cursor_expired', status: 410, detail: '', reason: 'gap' }
  script.onRequest = ({ pathname }) =>
    pathname === '/api/sync' ? Response.json(gone, { status: 410 }) : undefined
  using client = await script.client({
    transport: 'poll',
    timing: { backOffBaseMs: 50, backOffMaxMs: 10_000 },
  })
  const view = client.project(projectId).live()
  await Bun.sleep(700)
  expect(script.snapshots).toBeGreaterThan(1)
  expect(script.snapshots).toBeLessThan(20)
  expect(view.state).not.toBe('live')
})

test('A server that lets no poll wait, as one that is stopping, is not asked without a pause', async () => {
  await using script = startScript()
  const answer = { scopes: [{ scope, events: [], cursor: 'epoch.3.7', more: false }] }
  let polls = 0
  script.onRequest = ({ pathname }) => {
    if (pathname !== '/api/sync') return undefined
    polls += 1
    return Response.json(answer)
  }
  using client = await script.client({ transport: 'poll', timing: { pollPauseMs: 100 } })
  await live(client)
  await Bun.sleep(600)
  expect(polls).toBeLessThan(12)
})

test('A connection that is accepted and closed at once backs off, however long the one before stood', async () => {
  await using script = startScript()
  using client = await script.client({ timing: { stableMs: 50, backOffBaseMs: 50, backOffMaxMs: 10_000 } })
  await live(client)
  await Bun.sleep(80) // it stood
  let openings = 0
  script.onOpen = (peer) => {
    openings += 1
    peer.close(1013)
  }
  script.peers[0]!.close(1013)
  await Bun.sleep(900)
  expect(openings).toBeGreaterThan(1)
  expect(openings).toBeLessThan(15)
})

test('A server that says goodbye again and again, for no time at all, is left some', async () => {
  await using script = startScript()
  let openings = 0
  script.onOpen = (peer) => {
    openings += 1
    peer.send(JSON.stringify({ t: 'bye', code: 1013, reconnectAfter: [0, 0] }))
    peer.close(1013)
  }
  using client = await script.client({ timing: { backOffBaseMs: 50, backOffMaxMs: 10_000 } })
  client.project(projectId).live()
  await Bun.sleep(900)
  expect(openings).toBeGreaterThan(1)
  expect(openings).toBeLessThan(15)
})

test('A proxy that opens sockets and passes nothing on is one that blocks them', async () => {
  await using script = startScript()
  script.onOpen = () => {} // no welcome
  using client = await script.client({ transport: 'auto', timing: { openMs: 60 } })
  const view = client.project(projectId).live()
  await eventually(() => expect(view.state).toBe('live'))
  expect(client.connection.kind).toBe('poll')
})

test('Where only polls work a socket is tried in between, without a refresh and without going offline', async () => {
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

test('After an outage sockets are tried soon, where they stay blocked ever more rarely', async () => {
  await using script = startScript()
  script.refuses = true
  using client = await script.client({ transport: 'auto', timing: { pollBaseMs: 60, pollMaxMs: 5_000 } })
  await live(client)
  await Bun.sleep(700)
  const { refusals } = script
  expect(refusals).toBeGreaterThan(3)
  expect(refusals).toBeLessThan(9) // 60, 120, 240, 480 ms
  script.refuses = false
  await eventually(() => expect(client.connection).toMatchObject({ kind: 'socket', state: 'open' }))
})

test('Who only polls is not disturbed by looking for sockets', async () => {
  await using script = startScript()
  using client = await script.client({ transport: 'poll', timing: { pollBaseMs: 50, pollMaxMs: 50 } })
  const view = await live(client)
  const states = new Set<string>()
  view.onChange(() => states.add(view.state))
  const { syncs } = script
  await eventually(() => expect(script.syncs).toBeGreaterThan(syncs + 6))
  expect([...states].filter((state) => state !== 'live')).toEqual([])
})

test('A poll that fails is seen as such at once, not after it was repeated', async () => {
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

test('A snapshot from before what is shown is not shown: another is read', async () => {
  await using script = startScript()
  using client = await script.client()
  const view = await live(client)
  script.send(script.event('one'))
  await eventually(() => expect(titles(view)).toEqual(['one']))
  const shown: string[][] = []
  view.onChange(() => shown.push(titles(view)))
  // Shared with an earlier request: the first two are from before the event.
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
  // A log that has gone back is believed in the end.
  script.onRequest = null
  script.seq = 3
  script.send({ ...resync, reason: 'ahead' })
  await eventually(() => expect(titles(view)).toEqual([]))
  await eventually(() => expect(view.state).toBe('live'))
})

test('After a restore under a new epoch the lower numbers of the new one are taken at once', async () => {
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

test('A proxy’s 404 while the server is away takes nothing from anybody', async () => {
  await using script = startScript()
  using client = await script.client({ transport: 'poll' })
  const view = await live(client)
  const write = view.create({ title: 'unsent' })
  let refused = 0
  write.settled.catch(() => (refused += 1))
  const page = (): Response => new Response('<h1>404 Not Found</h1>', { status: 404 })
  script.onRequest = () => page()
  await eventually(() => expect(view.state).toBe('offline'))
  await Bun.sleep(150)
  expect(client.outbox.pending).toHaveLength(1)
  expect(titles(view)).toEqual(['unsent'])
  expect(refused).toBe(0)
  script.onRequest = null
  await eventually(() => expect(view.state).toBe('live'))
})

test('More scopes than are served end with a reason, also by polls', async () => {
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

test('A listener that throws is its program’s error; the view goes on', async () => {
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

test('What is read again because a frame left it out is never older than the frame', async () => {
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
      // Read as version 2; before it is answered the log says 3.
      script.send(
        script.event('', { type: 'task.updated', id: made.id, version: 3, omitted: ['description'] }),
      )
      await Bun.sleep(50)
    }
    return Response.json({ ...made.data, title: `version ${version}`, version })
  }
  script.send(script.event('', { type: 'task.updated', id: made.id, version: 2, omitted: ['description'] }))
  await eventually(() => expect(titles(view)).toEqual(['version 3']))
})

test('The own role is read when the log says that the own membership changed', async () => {
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

test('A user who loses the right to a place sees no one there', async () => {
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

test('Closing a presence twice does not end the next one', async () => {
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

test('A socket that opens too late is not used: its frames are outdated', async () => {
  await using script = startScript()
  script.onOpen = (peer, welcome) => setTimeout(welcome, 150)
  using client = await script.client({ timing: { openMs: 50, backOffBaseMs: 2_000, backOffMaxMs: 2_000 } })
  const view = client.project(projectId).live()
  await eventually(() => expect(script.peers.length).toBeGreaterThan(0))
  await Bun.sleep(200)
  expect(client.connection.state).not.toBe('open')
  expect(view.state).not.toBe('live')
})

test('close ends everything: views that still load, writes, what is opened later', async () => {
  await using script = startScript()
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
  await Bun.sleep(120)
  expect(asked).toBe(after)
})

test('A view that is closed before it has loaded is quiet: its ready resolves, and no rejection is left unhandled', async () => {
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
    // As an effect of React in strict mode: opened, closed at once, opened again.
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

test('A network that came or went is asked after: a dead line is found in seconds', async () => {
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

test('Signing out ends what is live, also if the server cannot be reached; the cookie is not used again', async () => {
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

test('After a session that is over the next begins as the first did', async () => {
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

test('What was missed is shown at once, and listeners receive each event of it', async () => {
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

test('What one person wrote is never sent by the next, and waits for the first', async () => {
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
  await client.session.adopt({ ...other, user: { ...other.user, id: 'somebody-else' } })
  const theirs = await live(client)
  expect(titles(theirs)).toEqual([])
  theirs.create({ title: 'of the second' })
  const [byFirst, byOther] = ['Bearer token-0: of the first', 'Bearer other: of the second']
  await eventually(() => expect(sent).toContain(byOther))
  await client.session.adopt(script.session())
  await eventually(() => expect(sent).toContain(byFirst))
  // The first's may have been under way when they signed out, and then comes again, under its key.
  expect(new Set(sent)).toEqual(new Set([byFirst, byOther]))
})

test('A refresh that is answered after signing out does not sign in again', async () => {
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

test('A token that lives shorter than it is renewed ahead is not renewed without end', async () => {
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
  await Bun.sleep(400)
  expect(script.refreshes).toBeLessThan(3)
})

test('Storages that fail once are asked again', async () => {
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

test('Signals the client was lent keep no trace of it', async () => {
  await using script = startScript()
  // Each call would leave one in every signal it is given, for as long as that lives.
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

test('A network that swallows everything for long costs a few requests', async () => {
  await using script = startScript()
  using client = await script.client({ timing: { backOffBaseMs: 40, backOffMaxMs: 5_000 } })
  await live(client)
  script.refuses = true
  script.peers[0]!.close(1012)
  await Bun.sleep(800)
  expect(script.refusals).toBeLessThan(20)
  expect(subscriptions(script)).toBe(1)
})
