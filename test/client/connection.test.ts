// The client's reaction to each close code, and the detection of lost frames. The server is scripted: a real one sends
// most of these codes and frames only in rare failures.
import { expect, spyOn, test } from 'bun:test'
import { verdictOf } from '../../packages/client/src/connection/close-codes.ts'
import { createClient, type Client } from '../../packages/client/src/client.ts'
import type { ProjectView } from '../../packages/client/src/views/project-view.ts'
import { fullJitterMs } from '../../packages/client/src/async/back-off.ts'
import { closeCodes } from '../../src/model/frames.ts'
import { eventually } from '../support/eventually.ts'
import { recordTimers } from './pace.ts'
import { projectId, quick, scope, startScript, type Script } from './scripted.ts'

const live = async (client: Client): Promise<ProjectView> => {
  const view = client.project(projectId).live()
  await eventually(() => expect(view.state).toBe('live'))
  return view
}

const subs = ({ received }: Script): any[] => received.filter(({ t }) => t === 'sub')

for (const code of [1001, 1011, 1012, 1013, 4000, 4008, 4010, 4012, 4099]) {
  test(`After ${code} the client reconnects with its cursor and the credentials it has`, async () => {
    await using script = startScript()
    using client = await script.client()
    const view = await live(client)
    script.peers[0]!.close(code)
    await eventually(() => expect(subs(script)).toHaveLength(2))
    await eventually(() => expect(view.state).toBe('live'))
    expect(subs(script)[1].cursor).toBe('epoch.3.7')
    expect(script).toMatchObject({ refreshes: 0, snapshots: 1 })
  })
}

for (const code of [4401, 4403, 4450]) {
  test(`After ${code} the client renews its credentials before it reconnects`, async () => {
    await using script = startScript()
    using client = await script.client()
    const view = await live(client)
    script.peers[0]!.close(code)
    await eventually(() => expect(script.peers).toHaveLength(2))
    await eventually(() => expect(view.state).toBe('live'))
    expect(script.refreshes).toBe(1)
    expect(script.peers.map(({ data }) => data.protocol)).toEqual([
      'tasktide.v1, jwt.token-0',
      'tasktide.v1, jwt.token-1',
    ])
  })
}

for (const code of [1009, 4409, 4500, 4505, 4510, 4599]) {
  test(`After ${code} the client stops until reconnect is called`, async () => {
    await using script = startScript()
    using timers = recordTimers()
    using client = await script.client()
    const view = await live(client)
    expect(timers.pending.length).toBeGreaterThan(0) // pings
    script.peers[0]!.close(code)
    await eventually(() => expect(view.state).toBe('stopped'))
    expect(view.error).toMatchObject({ closeCode: code })
    expect(client.connection.state).toBe('stopped')
    expect(timers.pending).toEqual([]) // no retry is due
    await fetch(script.url) // a connection that was being opened would be there before
    expect(script.peers).toHaveLength(1)
    client.reconnect()
    await live(client)
    expect(script.peers).toHaveLength(2)
  })
}

test('After 4429 the client waits and reconnects with the same credentials', async () => {
  await using script = startScript()
  using client = await script.client({ timing: { tooFastMs: 300 } })
  const view = await live(client)
  const closedAt = performance.now()
  script.peers[0]!.close(4429)
  await eventually(() => expect(view.state).toBe('offline'))
  await eventually(() => expect(script.peers).toHaveLength(2))
  expect(performance.now() - closedAt).toBeGreaterThanOrEqual(295)
  expect(script.refreshes).toBe(0)
})

test('Every close code of the protocol maps to the action of its range', () => {
  const verdicts = Object.fromEntries(
    Object.entries(closeCodes).map(([name, code]) => [name, verdictOf(code).do]),
  )
  expect(verdicts).toEqual({
    restart: 'reconnect',
    overloaded: 'reconnect',
    server_error: 'reconnect',
    slow_consumer: 'reconnect',
    position_lost: 'reconnect',
    no_hello: 'reconnect',
    token_expired: 'renew',
    revoked: 'renew',
    too_many_connections: 'stop',
    too_fast: 'wait',
    protocol_violation: 'stop',
    version_unsupported: 'stop',
    subprotocol_missing: 'stop',
  })
})

test('Back-off is full jitter whose cap doubles from half a second to twenty (C-LIV-3)', () => {
  for (let failures = 1; failures <= 40; failures += 1) {
    const cap = Math.min(20_000, 500 * 2 ** (failures - 1))
    for (let n = 0; n < 50; n += 1) {
      const ms = fullJitterMs(failures, 500, 20_000)
      expect(ms >= 0 && ms <= cap).toBe(true)
    }
  }
})

test('The end of the session stops the client; signing in and reconnect start it again', async () => {
  await using script = startScript()
  using client = await script.client()
  const view = await live(client)
  script.refreshStatus = 401
  script.peers[0]!.close(4403)
  await eventually(() => expect(view.state).toBe('stopped'))
  expect(view.error!.reason).toBe('signed_out')
  script.refreshStatus = 200
  await client.session.adopt({ ...script.session(), accessToken: 'again' })
  client.reconnect()
  await live(client)
  expect(script.peers.at(-1)!.data.protocol).toBe('tasktide.v1, jwt.again')
})

test('A connection refused during a restart of the server does not renew the credentials', async () => {
  await using script = startScript()
  using client = await script.client()
  const view = await live(client)
  script.refuses = true
  script.send({ t: 'bye', code: 1012, reconnectAfter: [0, 10] })
  script.peers.at(-1)!.close(1012)
  await eventually(() => expect(script.refusals).toBeGreaterThan(0))
  script.refuses = false
  await eventually(() => expect(view.state).toBe('live'))
  expect(script.refreshes).toBe(0)
})

test('A connection that never opens refreshes its credentials once, then only backs off (C-CON-2)', async () => {
  await using script = startScript()
  using client = await script.client()
  script.refuses = true
  const view = client.project(projectId).live()
  await eventually(() => expect(script.refusals).toBeGreaterThan(5))
  expect(script.refreshes).toBe(1)
  expect(view.state).toBe('offline')
  script.refuses = false
  await eventually(() => expect(view.state).toBe('live'))
})

test('When the limit of waiting polls is reached, the client polls rarely without waiting and stays live (C-HTTP-1)', async () => {
  await using script = startScript()
  const asked = { waiting: 0, short: 0 }
  let events: object[] = []
  script.onRequest = ({ pathname, searchParams }) => {
    if (pathname !== '/api/sync') return undefined
    if (searchParams.has('wait')) {
      asked.waiting += 1
      const body = { code: 'rate_limited', status: 429, detail: 'Four polls of this person wait' }
      return Response.json(body, { status: 429, headers: { 'Retry-After': '0' } })
    }
    asked.short += 1
    const page = { scope, events, cursor: `epoch.3.${script.seq}`, more: false }
    events = []
    return Response.json({ scopes: [page] })
  }
  using client = await script.client({ transport: 'poll', timing: { pollWaitMs: 2_000, pollPauseMs: 10 } })
  const states: string[] = []
  client.connection.onChange(() => void states.push(client.connection.state))
  using view = client.project(projectId).live()
  await eventually(() => expect(asked.short).toBeGreaterThan(5))
  events = [script.event('received by a short poll')]
  await eventually(() => expect(view.current.tasks).toHaveLength(1))
  expect(view.state).toBe('live')
  expect(states).toEqual(['connecting', 'open'])
  expect(asked.waiting).toBeLessThanOrEqual(2) // again after twice the wait
})

test('A poll that the server ends early without events is followed by a pause (C-HTTP-1)', async () => {
  await using script = startScript()
  const { now } = Date
  let aheadMs = 0
  using _clock = spyOn(Date, 'now').mockImplementation(() => now() + aheadMs)
  const gaps: number[] = []
  let answeredAt = 0
  script.onRequest = async ({ pathname, searchParams }) => {
    if (pathname !== '/api/sync' || !searchParams.has('wait')) return undefined
    if (answeredAt > 0) gaps.push(performance.now() - answeredAt)
    aheadMs += 80 // the poll takes longer than the pause, and far less than the wait
    answeredAt = performance.now()
    return Response.json({ scopes: [{ scope, events: [], cursor: `epoch.3.${script.seq}`, more: false }] })
  }
  using client = await script.client({ transport: 'poll', timing: { pollWaitMs: 5_000, pollPauseMs: 40 } })
  using _ = client.project(projectId).live()
  await eventually(() => expect(gaps.length).toBeGreaterThan(3))
  for (const gap of gaps) expect(gap).toBeGreaterThan(38)
})

test('After 429 the client waits for Retry-After, with growing back-off', async () => {
  await using script = startScript()
  let polls = 0
  script.onRequest = ({ pathname }) => {
    if (pathname !== '/api/sync') return undefined
    polls += 1
    if (polls > 3) return undefined
    return Response.json(
      { code: 'rate_limited', status: 429, detail: '' },
      { status: 429, headers: { 'Retry-After': '0' } },
    )
  }
  using client = await script.client({ transport: 'poll' })
  using view = client.project(projectId).live()
  await eventually(() => expect(view.state).toBe('live'))
  expect(polls).toBeGreaterThan(3)
})

test('The socket has the scheme of the server, wss behind TLS, and its path', async () => {
  const opened: string[] = []
  class Refusing extends EventTarget {
    readyState = 3
    constructor(url: string) {
      super()
      opened.push(url)
      queueMicrotask(() => this.dispatchEvent(Object.assign(new Event('close'), { code: 1006, reason: '' })))
    }
    send(): void {}
    close(): void {}
  }
  await using script = startScript()
  const answer = (url: string, init: RequestInit): Promise<Response> =>
    fetch(`${script.url}${new URL(url).pathname.replace(/^\/tide/, '')}`, init)
  for (const url of [
    'https://tasks.example.com',
    'HTTPS://tasks.example.com/tide//',
    'http://tasks.example.com:8080/',
  ]) {
    using client = createClient({
      url,
      transport: 'socket',
      WebSocket: Refusing as never,
      fetch: answer,
      timing: quick,
    })
    await client.session.adopt(script.session())
    const before = opened.length
    using _ = client.project(projectId).live()
    await eventually(() => expect(opened.length).toBeGreaterThan(before))
  }
  expect([...new Set(opened)]).toEqual([
    'wss://tasks.example.com/api/ws',
    'wss://tasks.example.com/tide/api/ws',
    'ws://tasks.example.com:8080/api/ws',
  ])
  expect(() => createClient({ url: 'tasks.example.com' })).toThrow()
  expect(() => createClient({ url: 'ftp://tasks.example.com' })).toThrow('begins with http')
})

test('Where sockets are blocked the client polls, and returns to a socket when one opens', async () => {
  await using script = startScript()
  using client = await script.client({ transport: 'auto', timing: { pollBaseMs: 150 } })
  script.refuses = true
  const view = client.project(projectId).live()
  await eventually(() => expect(view.state).toBe('live'))
  expect(client.connection.kind).toBe('poll')
  expect(script.syncs).toBeGreaterThan(0)
  script.refuses = false
  await eventually(() => expect(client.connection).toMatchObject({ kind: 'socket', state: 'open' }))
  await eventually(() => expect(view.state).toBe('live'))
})

test('After bye the client reconnects within its window (C-CLO-2)', async () => {
  await using script = startScript()
  using client = await script.client()
  await live(client)
  script.send({ t: 'bye', code: 1012, reconnectAfter: [200, 220] })
  const closedAt = performance.now()
  script.peers[0]!.close(1012)
  await eventually(() => expect(script.peers).toHaveLength(2))
  expect(performance.now() - closedAt).toBeGreaterThanOrEqual(195)
})

test('A client that an overloaded server refuses reconnects within the window of each bye (P-CLO-4, C-CLO-2)', async () => {
  await using script = startScript()
  using client = await script.client({ timing: { backOffBaseMs: 20_000 } })
  const view = await live(client)
  for (let n = 1; n <= 5; n += 1) {
    script.send({ t: 'bye', code: 1013, reconnectAfter: [20, 40] })
    script.peers.at(-1)!.close(1013)
    await eventually(() => expect(script.peers).toHaveLength(n + 1), { timeoutMs: 1_000 })
    await eventually(() => expect(view.state).toBe('live'))
  }
  expect(script.refreshes).toBe(0)
})

test('A connection without frames is abandoned, and pings keep a quiet one open (C-LIV-1, C-LIV-2)', async () => {
  await using script = startScript()
  using client = await script.client({ timing: { pingMs: 40, deadMs: 200 } })
  await live(client)
  await eventually(() => expect(script.received.filter(({ t }) => t === 'ping').length).toBeGreaterThan(1))
  await eventually(() => expect(script.peers.length).toBeGreaterThan(1)) // the script answers no ping
})

test('The client resumes from the last position whose count agrees (C-SUB-1, C-SUB-3)', async () => {
  await using script = startScript()
  using client = await script.client()
  const view = await live(client)
  const scope = `project:${projectId}`
  const [first, second, lost] = [script.event('one'), script.event('two'), script.event('three')]
  for (const frame of [first, second, second, first]) script.send(frame) // repeated, out of order
  await eventually(() => expect(view.current.tasks.map(({ title }) => title)).toEqual(['one', 'two']))
  script.peers[0]!.close(4000)
  await eventually(() => expect(subs(script)).toHaveLength(2))
  expect(subs(script)[1].cursor).toBe('epoch.3.7') // no position confirmed the events
  await eventually(() => expect(view.state).toBe('live'))
  for (const frame of [first, second]) script.send(frame)
  script.send({ t: 'position', scope, cursor: second.cursor, count: 2 })
  script.peers[1]!.close(4000)
  await eventually(() => expect(subs(script)).toHaveLength(3))
  expect(subs(script)[2].cursor).toBe('epoch.3.9')
  await eventually(() => expect(view.state).toBe('live'))
  expect(script.snapshots).toBe(1)
  script.send({ t: 'position', scope, cursor: lost.cursor, count: 1 })
  await eventually(() => expect(subs(script)).toHaveLength(4))
  expect(subs(script)[3].cursor).toBe('epoch.3.9') // the lost event is requested again
  await eventually(() => expect(view.state).toBe('live'))
  script.isDeaf = true
  script.send({ t: 'position', scope, cursor: lost.cursor, count: 0 })
  script.send({ t: 'position', scope, cursor: lost.cursor, count: 1 })
  await eventually(() => expect(subs(script)).toHaveLength(5))
  script.isDeaf = false
  expect(script.snapshots).toBe(1)
})

test('A replay that lacks events twice is replaced by a snapshot', async () => {
  await using script = startScript()
  using client = await script.client()
  const view = await live(client)
  const scope = `project:${projectId}`
  script.isDeaf = true
  script.peers[0]!.close(4000)
  for (const n of [2, 3]) {
    await eventually(() => expect(subs(script)).toHaveLength(n))
    if (n === 3) script.isDeaf = false
    const { rid, cursor } = subs(script).at(-1)
    script.send({ t: 'sub', rid, scope, mode: 'resume', cursor, replay: 1 })
    script.send({ t: 'synced', scope, cursor: 'epoch.3.9' })
  }
  await eventually(() => expect(script.snapshots).toBe(2))
  await eventually(() => expect(view.state).toBe('live'))
})

test('A deletion is remembered: an older event that arrives later changes nothing (C-VER-2)', async () => {
  await using script = startScript()
  using client = await script.client()
  const view = await live(client)
  const made = script.event('one')
  const changed = script.event('two', { type: 'task.updated', id: made.id, version: 2 })
  const deleted = script.event('', { type: 'task.deleted', id: made.id, version: 3 })
  for (const frame of [made, deleted, changed]) script.send(frame)
  const last = script.event('last')
  script.send(last)
  await eventually(() => expect(view.current.tasks.map(({ title }) => title)).toEqual(['last']))
})

test('scope.refetch reads the snapshot again, and the view continues (C-SUB-2)', async () => {
  await using script = startScript()
  using client = await script.client()
  const view = await live(client)
  script.send(script.event('', { type: 'scope.refetch', id: null }))
  await eventually(() => expect(script.snapshots).toBe(2))
  await eventually(() => expect(view.state).toBe('live'))
  script.send(script.event('after'))
  await eventually(() => expect(view.current.tasks).toHaveLength(1))
})

test('A view ends with its signal, the connection with the last view', async () => {
  await using script = startScript()
  using client = await script.client()
  const ending = new AbortController()
  const view = client.project(projectId).live({ signal: ending.signal })
  const again = client.project(projectId).live()
  expect(again).toBe(view)
  await eventually(() => expect(view.state).toBe('live'))
  ending.abort()
  expect(view.state).toBe('live') // another caller has it open
  again.close()
  expect(view.state).toBe('stopped')
  await eventually(() => expect(client.connection.state).toBe('idle'))
})

test('A token goes with the handshake or in a frame, never into a URL (C-CON-1)', async () => {
  await using script = startScript()
  using client = await script.client()
  await live(client)
  script.peers[0]!.close(4401)
  await eventually(() => expect(script.peers).toHaveLength(2))
  expect(script.urls.length).toBeGreaterThan(2)
  expect(script.urls.filter((url) => /token-|refresh-/.test(url))).toEqual([])
})

test('Unknown frames and events are ignored, and the cursor of an unknown event is kept (C-FRM-1)', async () => {
  await using script = startScript()
  using client = await script.client()
  const view = await live(client)
  const scope = `project:${projectId}`
  script.send({ t: 'weather', scope, cursor: 'epoch.3.99' })
  script.send({ ...script.event('one'), colour: 'green' })
  const unknown = script.event('two', { type: 'task.admired' })
  script.send(unknown)
  await eventually(() => expect(view.current.tasks.map(({ title }) => title)).toEqual(['one']))
  script.send({ t: 'position', scope, cursor: unknown.cursor, count: 2 })
  script.peers[0]!.close(4000)
  await eventually(() => expect(subs(script)).toHaveLength(2))
  expect(subs(script)[1].cursor).toBe(unknown.cursor)
})

test('After a resync the client reads the snapshot and subscribes with its cursor (C-RES-1)', async () => {
  await using script = startScript()
  using client = await script.client()
  const view = await live(client)
  script.seq = 40
  const scope = `project:${projectId}`
  script.send({ t: 'resync', scope, reason: 'epoch', snapshot: `/api/projects/${projectId}/snapshot` })
  await eventually(() => expect(subs(script)).toHaveLength(2))
  expect(subs(script)[1].cursor).toBe('epoch.3.40')
  expect(script.snapshots).toBe(2)
  await eventually(() => expect(view.state).toBe('live'))
})

test('A renewed token is sent on the open socket before the old one expires (C-TOK-1)', async () => {
  await using script = startScript()
  using client = await script.client()
  await live(client)
  await client.session.renewCurrent()
  await eventually(() => expect(script.received.filter(({ t }) => t === 'auth')).toHaveLength(1))
  expect(script.received.find(({ t }) => t === 'auth').token).toBe('token-1')
  expect(script.peers).toHaveLength(1)
})

test('Watches are repeated after every reconnect (C-PRE-1)', async () => {
  await using script = startScript()
  using client = await script.client()
  await live(client)
  using presence = client.project(projectId).presence()
  const watches = (): any[] => script.received.filter(({ t }) => t === 'watch')
  await eventually(() => expect(watches()).toHaveLength(1))
  script.peers[0]!.close(1012)
  await eventually(() => expect(watches()).toHaveLength(2))
  expect(watches().map(({ key }) => key)).toEqual(Array.from({ length: 2 }, () => `project:${projectId}`))
  expect(presence.count).toBe(0)
})

test('A member in a snapshot has the number of its cursor as version (C-VER-3)', async () => {
  const userId = '01933b6e-7c4a-7d3e-8f21-0000000000aa'
  const member = (name: string): object => ({ userId, name, role: 'editor' })
  await using script = startScript()
  script.members = [member('as in the snapshot')]
  using client = await script.client()
  const view = await live(client)
  const updated = (name: string, version: number): object =>
    script.event('', { type: 'member.updated', id: userId, version, data: member(name) })
  const names = (): string[] => view.current.members.map(({ name }) => name)
  script.send(updated('from before it', 7))
  script.send(script.event('mark'))
  await eventually(() => expect(view.current.tasks).toHaveLength(1))
  expect(names()).toEqual(['as in the snapshot'])
  script.send(updated('from after it', 10))
  await eventually(() => expect(names()).toEqual(['from after it']))
})
