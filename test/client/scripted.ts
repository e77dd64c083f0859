// A scripted server for rare behaviour: it closes with any code, loses frames, answers late. It has one empty project
// and counts requests.
import type { ServerWebSocket } from 'bun'
import type { SessionAnswer } from '../../src/model/user.ts'
import { createClient, type Client, type ClientOptions } from '../../packages/client/src/client.ts'

export const projectId = '01933b6e-7c4a-7d3e-8f21-5a9c0b7d1e42'
export const scope = `project:${projectId}`
export const userId = '01933b6e-7c4a-7d3e-8f21-000000000001'

/** Short timings for tests, in about the proportions of the defaults. */
export const quick = {
  backOffBaseMs: 5,
  backOffMaxMs: 40,
  retryBaseMs: 2,
  retryMaxMs: 10,
  tooFastMs: 120,
  openMs: 400,
  requestMs: 2_000,
  stableMs: 50,
  probeMs: 100,
  pollPauseMs: 10,
  maxSnapshotAgeMs: 300,
}

type Peer = ServerWebSocket<{ protocol: string }>

export interface Script extends AsyncDisposable {
  url: string
  /** Members in the snapshot. */
  members: object[]
  /** Sockets in the order of opening. */
  peers: Peer[]
  /** URLs of all requests, upgrades included. */
  urls: string[]
  /** Frames received on all sockets. */
  received: any[]
  /** Counts of requests. */
  snapshots: number
  refreshes: number
  refusals: number
  syncs: number
  /** Answers upgrades with 503. */
  refuses: boolean
  /** Status of refresh responses. */
  refreshStatus: number
  /** The last number of the log. */
  seq: number
  /** Leaves `sub` frames without an answer. */
  isDeaf: boolean
  send(frame: unknown): void
  event(title: string, more?: object): any
  client(options?: Partial<ClientOptions>): Promise<Client>
  session(): SessionAnswer
  /** Called instead of sending the welcome frame. */
  onOpen: ((peer: Peer, welcome: () => void) => void) | null
  /** Returns the frames that answer a `sub`. */
  onSub: ((frame: any) => object[]) | null
  /** Answers a request if it returns a Response. */
  onRequest: ((url: URL, request: Request) => Response | undefined | Promise<Response | undefined>) | null
}

const json = (value: unknown, status = 200): Response => Response.json(value, { status })

export const startScript = (): Script => {
  const project = { id: projectId, name: 'Apollo', version: 1, role: 'owner' }
  const sessionAnswer = (): SessionAnswer => ({
    user: { id: userId } as SessionAnswer['user'],
    accessToken: `token-${script.refreshes}`,
    expiresIn: 900,
    refreshToken: `refresh-${script.refreshes}`,
  })
  const server = Bun.serve<{ protocol: string }>({
    port: 0,
    hostname: '127.0.0.1',
    async fetch(request, server) {
      const { pathname, searchParams } = new URL(request.url)
      script.urls.push(request.url)
      const instead = await script.onRequest?.(new URL(request.url), request)
      if (instead) return instead
      if (pathname === '/api/ws') {
        if (script.refuses) {
          script.refusals += 1
          return json({ code: 'unavailable' }, 503)
        }
        const protocol = request.headers.get('sec-websocket-protocol') ?? ''
        const isUp = server.upgrade(request, {
          data: { protocol },
          headers: { 'Sec-WebSocket-Protocol': 'tasktide.v1' },
        })
        return isUp ? undefined : json({}, 400)
      }
      if (pathname.endsWith('/snapshot')) {
        script.snapshots += 1
        return json({
          project,
          members: script.members,
          tasks: [],
          cursor: `epoch.3.${script.seq}`,
          nextAfter: null,
        })
      }
      if (pathname === '/api/auth/refresh') {
        script.refreshes += 1
        const { refreshStatus: status } = script
        return status === 200 ? json(sessionAnswer()) : json({ code: 'refresh_reused', status }, status)
      }
      if (pathname === '/api/sync') {
        script.syncs += 1
        if (searchParams.has('wait')) await Bun.sleep(20)
        return json({ scopes: [{ scope, events: [], cursor: `epoch.3.${script.seq}`, more: false }] })
      }
      return json({ code: 'not_found', status: 404, detail: pathname }, 404)
    },
    websocket: {
      open(peer) {
        script.peers.push(peer)
        const heartbeat = { ping: 25_000, position: 15_000, dead: 40_000 }
        const welcome = (): void => void peer.send(JSON.stringify({ t: 'welcome', heartbeat, limits: {} }))
        if (script.onOpen) script.onOpen(peer, welcome)
        else welcome()
      },
      message(peer, text) {
        const frame = JSON.parse(String(text))
        script.received.push(frame)
        if (frame.t !== 'sub' || script.isDeaf) return
        if (script.onSub) return script.onSub(frame).forEach((one) => void peer.send(JSON.stringify(one)))
        peer.send(
          JSON.stringify({
            t: 'sub',
            rid: frame.rid,
            scope,
            mode: 'resume',
            cursor: frame.cursor,
            replay: 0,
          }),
        )
        peer.send(JSON.stringify({ t: 'synced', scope, cursor: frame.cursor }))
      },
    },
  })
  const script: Script = {
    url: server.url.origin,
    members: [],
    peers: [],
    urls: [],
    received: [],
    snapshots: 0,
    refreshes: 0,
    refusals: 0,
    syncs: 0,
    refuses: false,
    refreshStatus: 200,
    seq: 7,
    isDeaf: false,
    onOpen: null,
    onSub: null,
    onRequest: null,
    session: sessionAnswer,
    send: (frame) => void script.peers.at(-1)!.send(JSON.stringify(frame)),
    event(title, more = {}) {
      script.seq += 1
      const id = `01933b6e-7c4a-7d3e-8f21-${String(script.seq).padStart(12, '0')}`
      const data = {
        id,
        projectId,
        title,
        version: 1,
        rank: String(script.seq).padStart(9, '0'),
        parentId: null,
      }
      const cursor = `epoch.3.${script.seq}`
      const event = {
        t: 'event',
        scope,
        cursor,
        type: 'task.created',
        id,
        version: 1,
        data,
        actor: null,
        at: '',
      }
      return { ...event, ...more }
    },
    async client(options = {}) {
      const client = createClient({
        url: script.url,
        transport: 'socket',
        ...options,
        timing: { ...quick, ...options.timing },
      })
      await client.session.adopt(sessionAnswer())
      return client
    },
    [Symbol.asyncDispose]: () => server.stop(true),
  }
  return script
}
