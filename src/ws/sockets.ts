// The raw socket beside Elysia: the upgrade's checks, Bun's handlers, and the sockets of this process. Elysia's own
// wrapper parses frames, leaks its per-hook objects and costs three times the memory (docs/decisions.md).
import type { Server, WebSocketHandler } from 'bun'
import type { Identity } from '../auth/authenticator.ts'
import { bearerTokenOf } from '../auth/bearer.ts'
import { isAllowedOrigin } from '../auth/origin.ts'
import { selectLiveSessions } from '../db/users/sessions.ts'
import { AppError, messageOf } from '../errors.ts'
import { ConnectRateLimiter } from '../limits/connect-rate-limiter.ts'
import { HandshakeLimiter } from '../limits/handshake-limiter.ts'
import { idOf, isUserScope } from '../model/scope.ts'
import type { RatePolicy } from '../limits/policies.ts'
import type { LogEntry } from '../model/event.ts'
import { closeCodes, subprotocol, type CloseReason } from '../model/frames.ts'
import type { SocketDeps, SocketsDeps } from './connection-handle.ts'
import { Connection, type ConnectionRegistry } from './connection.ts'
import { closeReasonOf, identify } from './identify.ts'
import { Presence } from './presence/presence.ts'
import { limits, socketTimings, sendBufferBytes, type SocketTimings } from './protocol.ts'

/**
 * Where there are other servers the slices are the spread: closing at most 500 sockets a second brings at most 500
 * a second, so a client need not stay away for longer than it takes to smooth a slice. Where there is none, all
 * wait for this process to be started again, and come back spread over the window.
 */
const reconnectAfterMs = { elsewhere: [0, 1_000], here: [0, 10_000] } satisfies Record<
  string,
  [number, number]
>
/** Upgrades of an address without good credentials, over all processes. Who has good ones is not held up by others. */
const refusedUpgrades: RatePolicy = { name: 'refused-upgrades', limit: 60, windowSeconds: 60 }
/** A drain closes this many connections a second, more where it would not be done in time: they come back elsewhere. */
const drainPerSecond = 500
const drainSliceMs = 50
const maxDrainMs = 20_000
/** How often a drain looks whether there still are other servers, in slices. */
const lookEverySlices = 1_000 / drainSliceMs

export class Sockets implements ConnectionRegistry, AsyncDisposable {
  readonly #connections = new Set<Connection>()
  readonly #ofUser = new Map<string, Set<Connection>>()
  readonly #connectLimiter = new ConnectRateLimiter()
  readonly #timer: Timer
  readonly #stopListening: (() => void)[]

  readonly #timings: SocketTimings
  readonly #deps: SocketDeps

  constructor(deps: SocketsDeps, over: Partial<SocketTimings> = {}) {
    this.#timings = { ...socketTimings, ...over }
    this.#deps = {
      ...deps,
      doorway: new HandshakeLimiter(this.#timings.maxHandshakes),
      presence: new Presence(deps, this.#timings),
    }
    this.#timer = setInterval(() => this.#tick(), this.#timings.sweepIntervalMs)
    this.#stopListening = [
      deps.follower.onControl((entry) => this.#onControl(entry)),
      deps.follower.onEpochChange(() => void this.#onEpochChange()),
      deps.follower.onDeliveryFailure(() => this.#closeAllAfterFailure()),
    ]
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
      this.#deps.stats.sockets = this.#connections.size
      socket.data.onOpen(socket)
    },
    message: (socket, message) => socket.data.onMessage(message),
    ping: (socket) => socket.data.onPing(),
    drain: (socket) => socket.data.onDrain(),
    close: (socket) => {
      this.#connections.delete(socket.data)
      this.#deps.stats.sockets = this.#connections.size
      this.#forget(socket.data)
      socket.data.onClose()
    },
  }

  /**
   * Answers an upgrade request with the switch; throws AppError for a problem answer.
   * @param address who asks, as limits count it.
   */
  async upgrade(request: Request, server: Server<Connection>, address: string): Promise<undefined> {
    if (request.headers.get('upgrade')?.toLowerCase() !== 'websocket')
      throw new AppError('bad_request', 'This path speaks WebSocket only')
    this.#requireCapacity()
    try {
      await this.#authenticateUpgrade(request, server, address)
    } catch (error) {
      if (error instanceof AppError && error.kind !== 'unavailable' && error.kind !== 'rate_limited')
        await this.#limitRefusedUpgrades(address)
      throw error
    }
    return undefined
  }

  onIdentified(connection: Connection): void {
    const { rateLimit, upgradesPerMinute, socketsPerUser } = this.#deps.config
    if (rateLimit && !this.#connectLimiter.tryConnect(connection.userId, upgradesPerMinute))
      return connection.close('too_fast')
    const own = this.#ofUser.get(connection.userId) ?? new Set()
    this.#ofUser.set(connection.userId, own.add(connection))
    if (own.size <= socketsPerUser) return
    const [oldest] = own
    own.delete(oldest!)
    oldest!.close('too_many_connections')
  }

  /** The tail met a new epoch; what ended a session just before may have been passed over. Never throws. */
  async #onEpochChange(): Promise<void> {
    const seen = new Map([...this.#connections].map((connection) => [connection, connection.identity]))
    const ids = [...seen.values()].flatMap((identity) => identity?.actor.sessionId ?? [])
    const live = await this.#deps.systemDb
      .read((sql) => selectLiveSessions(sql, [...new Set(ids)]))
      .catch((error: unknown) => {
        this.#deps.log.warn(
          { cause: messageOf(error) },
          'sessions could not be looked at: their sockets are closed',
        )
        return null
      })
    for (const [connection, identity] of seen) {
      // Who greeted or renewed meanwhile was looked at then.
      if (!identity || connection.identity !== identity) continue
      const role = live?.get(identity.actor.sessionId)
      if (live && role === undefined) connection.close('revoked')
      else if (role !== identity.actor.role) connection.close('position_lost')
    }
  }

  /** Something was perhaps not told to everybody: who follows anything comes back with its cursor. */
  #closeAllAfterFailure(): void {
    for (const connection of this.#connections) connection.close('server_error')
  }

  /** Says goodbye and closes everything, in slices. */
  async drain(withinMs = maxDrainMs): Promise<void> {
    const startedAt = performance.now()
    let others = this.#connections.size > 0 ? await this.#deps.servers.leave() : 0
    const leaving = [...this.#connections]
    const leftMs = Math.min(withinMs, maxDrainMs) - (performance.now() - startedAt)
    const slices = Math.max(1, Math.floor(leftMs / drainSliceMs))
    const perSlice = Math.max((drainPerSecond * drainSliceMs) / 1_000, Math.ceil(leaving.length / slices))
    for (const [index, connection] of leaving.entries()) {
      const slice = index / perSlice
      if (slice > 0 && Number.isInteger(slice)) {
        await Bun.sleep(drainSliceMs)
        // The others may be told to stop meanwhile, too. Nothing waits for the answer: the last one counts.
        if (slice % lookEverySlices === 0) void this.#deps.servers.leave().then((count) => (others = count))
      }
      const reconnectAfter = others > 0 ? reconnectAfterMs.elsewhere : reconnectAfterMs.here
      connection.send({ t: 'bye', code: closeCodes.restart, reconnectAfter })
      connection.close('restart')
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.drain()
    clearInterval(this.#timer)
    for (const stop of this.#stopListening) stop()
    this.#deps.presence[Symbol.dispose]()
  }

  #requireCapacity(): void {
    if (this.#deps.draining.aborted || this.#connections.size >= this.#deps.config.maxConnections)
      throw new AppError('unavailable', undefined, { retryAfter: 5 })
  }

  /** 429 where the address has been refused too often in this minute. */
  async #limitRefusedUpgrades(address: string): Promise<void> {
    const { config, limiter } = this.#deps
    if (!config.rateLimit) return
    const { allowed, resetSeconds } = await limiter.take(refusedUpgrades, address)
    if (!allowed) throw new AppError('rate_limited', undefined, { retryAfter: resetSeconds })
  }

  /** Switches, knowing who it is, or to wait for a greeting or a close. */
  async #authenticateUpgrade(request: Request, server: Server<Connection>, address: string): Promise<void> {
    const origin = request.headers.get('origin')
    if (origin !== null && !isAllowedOrigin(origin, request, this.#deps.config))
      throw new AppError('origin_refused')
    const offered = (request.headers.get('sec-websocket-protocol') ?? '')
      .split(',')
      .map((name) => name.trim())
      .filter(Boolean)
    const accept = (greeting: Identity | CloseReason | null): void => {
      this.#requireCapacity()
      const connection = new Connection(this.#deps, this, greeting, this.#timings)
      const headers = offered.length > 0 ? { 'Sec-WebSocket-Protocol': selectedOf(offered) } : {}
      if (!server.upgrade(request, { data: connection, headers }))
        throw new AppError('bad_request', 'The WebSocket handshake is incomplete')
    }
    const acceptStranger = async (greeting: CloseReason | null): Promise<void> => {
      await this.#limitRefusedUpgrades(address)
      accept(greeting)
    }
    using place = this.#deps.doorway.tryEnter()
    if (!place) return accept('overloaded')
    const isSpoken = offered.includes(subprotocol)
    const header = request.headers.get('authorization')
    if (header !== null) {
      const token = bearerTokenOf(header)
      // A header is set by programs, which see the answer; browsers cannot set one.
      if (!token) throw new AppError('unauthenticated')
      await identify(this.#deps, token, (identity) => isSpoken && accept(identity))
      if (isSpoken) return
    }
    if (!isSpoken) return acceptStranger(missingProtocol(offered))
    const token = offered.find((name) => !isNoToken(name))?.slice(tokenPrefix.length)
    if (!token) return acceptStranger(null)
    let wasAccepted = false
    try {
      await identify(this.#deps, token, (identity) => {
        wasAccepted = true
        accept(identity)
      })
    } catch (error) {
      // Browsers hide a refused handshake: accept, then say why.
      if (wasAccepted) throw error
      const reason = closeReasonOf(error)
      return reason === 'overloaded' ? accept(reason) : acceptStranger(reason)
    }
  }

  #onControl(entry: LogEntry): void {
    if (!isUserScope(entry.scope)) return
    const own = this.#ofUser.get(idOf(entry.scope))
    for (const connection of own ?? []) connection.onControl(entry)
  }

  #forget(connection: Connection): void {
    const own = this.#ofUser.get(connection.userId)
    own?.delete(connection)
    if (own?.size === 0) this.#ofUser.delete(connection.userId)
  }

  #tick(): void {
    const now = performance.now()
    this.#connectLimiter.tick(now)
    for (const connection of this.#connections) connection.tick(now)
  }
}

const tokenPrefix = 'jwt.'
const isNoToken = (name: string): boolean => !name.startsWith(tokenPrefix)

/**
 * The subprotocol to answer with: ours, or the first that is plainly a name, so that browsers open the socket and see
 * why it is closed. Empty selects none: without a value Bun answers the first one offered, which may be a token.
 */
const selectedOf = (offered: string[]): string =>
  offered.find((name) => name === subprotocol) ??
  offered.find((name) => /^[a-z][\w.-]{0,31}$/i.test(name) && !/^jwt\b/i.test(name)) ??
  ''

const missingProtocol = (offered: string[]): CloseReason =>
  offered.some((name) => name.startsWith('tasktide.')) ? 'version_unsupported' : 'subprotocol_missing'
