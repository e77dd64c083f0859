// The raw socket beside Elysia: the upgrade's checks, Bun's handlers, and the sockets of this process. Elysia's own
// wrapper parses frames, leaks its per-hook objects and costs three times the memory (docs/decisions.md).
import type { Server, WebSocketHandler } from 'bun'
import type { Identity } from '../deps.ts'
import { AppError } from '../errors.ts'
import type { LogEntry } from '../model/event.ts'
import { Connection, identify, type Registry } from './connection.ts'
import type { SocketDeps } from './outlet.ts'
import { closeCodes, limits, sendBufferBytes, subprotocol, type CloseReason } from './protocol.ts'
import { UpgradeMeter } from './upgrade-meter.ts'

const reconnectAfterMs: [number, number] = [0, 10_000]
/** Connections closed between two yields of a drain. */
const drainSlice = 200

export class Sockets implements Registry, AsyncDisposable {
  readonly #connections = new Set<Connection>()
  readonly #ofUser = new Map<string, Set<Connection>>()
  readonly #meter = new UpgradeMeter()
  readonly #timer: Timer
  readonly #leaveHub: () => void

  constructor(private readonly deps: SocketDeps) {
    this.#timer = setInterval(() => this.#tick(), 1_000)
    this.#leaveHub = deps.hub.onControl((entry) => this.#controlled(entry))
  }

  get size(): number {
    return this.#connections.size
  }

  /** Bun's handlers, for `listen`. */
  readonly handlers: WebSocketHandler<Connection> = {
    maxPayloadLength: limits.frameBytes,
    backpressureLimit: sendBufferBytes,
    // Our own sweep finds the dead: Bun's never reaps a peer that is being sent to.
    idleTimeout: 0,
    sendPings: false,
    perMessageDeflate: false,
    open: (socket) => {
      this.#connections.add(socket.data)
      socket.data.opened(socket)
    },
    message: (socket, message) => socket.data.received(message),
    drain: (socket) => socket.data.drained(),
    close: (socket) => {
      this.#connections.delete(socket.data)
      this.#forget(socket.data)
      socket.data.closed()
    },
  }

  /** Answers an upgrade request: with the switch (undefined) or a refusal; throws AppError for a problem answer. */
  async upgrade(request: Request, server: Server<Connection>, ip: string): Promise<Response | undefined> {
    const { config, isDraining } = this.deps
    if (request.headers.get('upgrade')?.toLowerCase() !== 'websocket') {
      throw new AppError('bad_request', 'This path speaks WebSocket only')
    }
    if (isDraining() || this.#connections.size >= config.maxConnections) {
      throw new AppError('unavailable', undefined, { retryAfter: 5 })
    }
    this.#checkOrigin(request)
    if (!this.#meter.mayTry(ip)) throw new AppError('rate_limited', undefined, { retryAfter: 60 })
    const offered = (request.headers.get('sec-websocket-protocol') ?? '')
      .split(',')
      .map((name) => name.trim())
      .filter(Boolean)
    const greeting = await this.#greet(request, offered)
    if (typeof greeting === 'string' || greeting === null) this.#meter.countAnonymous(ip)
    const chosen = offered.includes(subprotocol) ? subprotocol : offered[0]
    const connection = new Connection(this.deps, this, this.#metered(greeting))
    const upgraded = server.upgrade(request, {
      data: connection,
      ...(chosen && { headers: { 'Sec-WebSocket-Protocol': chosen } }),
    })
    if (!upgraded) throw new AppError('bad_request', 'The WebSocket handshake is incomplete')
    return undefined
  }

  identified(connection: Connection): void {
    const own = this.#ofUser.get(connection.userId) ?? new Set()
    this.#ofUser.set(connection.userId, own.add(connection))
    if (own.size <= this.deps.config.socketsPerUser) return
    const [oldest] = own
    own.delete(oldest!)
    oldest!.close('too_many_connections')
  }

  /** Every cursor is void: the tail met a new epoch. */
  epochChanged(): void {
    for (const connection of this.#connections) connection.epochChanged()
  }

  /** Says goodbye and closes everything, in slices so that nothing else waits. */
  async drain(): Promise<void> {
    let closed = 0
    for (const connection of [...this.#connections]) {
      connection.send({ t: 'bye', code: closeCodes.restart, reconnectAfter: reconnectAfterMs })
      connection.close('restart')
      closed += 1
      if (closed % drainSlice === 0) await Bun.sleep(1)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    this.#leaveHub()
    await this.drain()
  }

  /** Who the upgrade says it is; null when it says nothing and has to greet; a reason to close. */
  async #greet(request: Request, offered: string[]): Promise<Identity | CloseReason | null> {
    const header = request.headers.get('authorization')
    if (header !== null) {
      const token = /^Bearer ([\w.~+/=-]{1,4096})$/i.exec(header)?.[1]
      // A header is set by programs, which see the answer; browsers cannot set one.
      if (!token) throw new AppError('unauthenticated')
      const identity = await this.deps.authenticator.authenticate(token)
      return offered.includes(subprotocol) ? identity : missingProtocol(offered)
    }
    if (!offered.includes(subprotocol)) return missingProtocol(offered)
    const token = offered.find((name) => name.startsWith('jwt.'))?.slice('jwt.'.length)
    return token ? identify(this.deps, token) : null
  }

  #metered(greeting: Identity | CloseReason | null): Identity | CloseReason | null {
    if (greeting === null || typeof greeting === 'string') return greeting
    return this.#meter.mayConnect(greeting.actor.userId, this.deps.config.upgradesPerMinute)
      ? greeting
      : 'too_fast'
  }

  #checkOrigin(request: Request): void {
    const origin = request.headers.get('origin')
    if (origin === null || this.deps.config.allowedOrigins.includes(origin)) return
    if (URL.canParse(origin) && new URL(origin).host === request.headers.get('host')) return
    throw new AppError('origin_refused')
  }

  #controlled(entry: LogEntry): void {
    if (!entry.scope.startsWith('user:')) return
    const own = this.#ofUser.get(entry.scope.slice('user:'.length))
    if (own) for (const connection of [...own]) connection.controlled(entry)
  }

  #forget(connection: Connection): void {
    const own = this.#ofUser.get(connection.userId)
    own?.delete(connection)
    if (own?.size === 0) this.#ofUser.delete(connection.userId)
  }

  #tick(): void {
    const now = Date.now()
    this.#meter.tick(now)
    for (const connection of this.#connections) connection.tick(now)
  }
}

const missingProtocol = (offered: string[]): CloseReason =>
  offered.some((name) => name.startsWith('tasktide.')) ? 'version_unsupported' : 'subprotocol_missing'
