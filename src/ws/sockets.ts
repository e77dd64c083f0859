// The sockets of this process, mounted beside Elysia: Bun's handlers, the connections of each user, and the drain.
// Invariant: every open connection is known here until Bun reports its close. Elysia's own wrapper parses frames, leaks
// its per-hook objects and costs three times the memory (docs/decisions.md).
import { StallMeter } from '../async/stall-meter.ts'
import type { Server, WebSocketHandler } from 'bun'
import { selectLiveTokens } from '../db/users/personal-tokens.ts'
import { selectLiveSessions } from '../db/users/sessions.ts'
import { AppError, messageOf } from '../errors.ts'
import { createConnectionLog } from '../log.ts'
import { ConnectRateLimiter } from '../limits/connect-rate-limiter.ts'
import { HandshakeLimiter } from '../limits/handshake-limiter.ts'
import { idOf, isUserScope } from '../model/scope.ts'
import { credentialIdOf } from '../model/actor.ts'
import type { LogEntry } from '../model/event.ts'
import { closeCodes } from '../model/frames.ts'
import type { SocketDeps, SocketsDeps } from './connection-handle.ts'
import { Connection, type ConnectionRegistry } from './connection.ts'
import { openJoins } from './joins.ts'
import { Presence } from './presence/presence.ts'
import { limits, socketTimings, sendBufferBytes, type SocketTimings } from './protocol.ts'
import { Upgrades, type UpgradeCaller } from './upgrades.ts'

/**
 * When clients of a drained process may reconnect. With other servers the drain itself spreads them: closing at most
 * 500 sockets a second brings at most 500 reconnects a second, so the window only smooths a slice. Without another
 * server all wait for this process to start again, and the window spreads them.
 */
const reconnectAfterMs = { elsewhere: [0, 500], here: [0, 10_000] } satisfies Record<string, [number, number]>
/** Connections a drain closes a second; more where it would miss its deadline. */
const drainPerSecond = 500
const drainSliceMs = 50
const maxDrainMs = 20_000
/** Slices between two counts of the other servers during a drain. */
const countEverySlices = 1_000 / drainSliceMs

export class Sockets implements ConnectionRegistry, AsyncDisposable {
  readonly #connections = new Set<Connection>()
  readonly #ofUser = new Map<string, Set<Connection>>()
  readonly #connectLimiter = new ConnectRateLimiter()
  readonly #timer: Timer
  readonly #stopListening: (() => void)[]

  readonly #stalls: StallMeter
  readonly #timings: SocketTimings
  readonly #deps: SocketDeps
  readonly #upgrades: Upgrades
  readonly #logConnection: ReturnType<typeof createConnectionLog>

  constructor(deps: SocketsDeps, over: Partial<SocketTimings> = {}) {
    this.#timings = { ...socketTimings, ...over }
    this.#deps = {
      ...deps,
      handshakes: new HandshakeLimiter(this.#timings.maxHandshakes),
      joins: openJoins(deps.systemDb),
      presence: new Presence(deps, this.#timings),
    }
    this.#upgrades = new Upgrades(this.#deps, {
      requireCapacity: () => this.#requireCapacity(),
      connect: (greeting, requestId) => new Connection(this.#deps, this, greeting, this.#timings, requestId),
    })
    this.#logConnection = createConnectionLog(deps.log)
    this.#stalls = new StallMeter(this.#timings.sweepIntervalMs)
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
    // `tick` closes dead peers: Bun's timeout never closes one that is being sent to.
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
    close: (socket, code) => {
      this.#connections.delete(socket.data)
      this.#deps.stats.sockets = this.#connections.size
      this.#forget(socket.data)
      socket.data.onClose()
      const { id: connection, requestId, userId, acceptedAt } = socket.data
      const durationMs = Math.round(performance.now() - acceptedAt)
      this.#logConnection({ connection, requestId, userId, code, durationMs })
    },
  }

  /**
   * Switches the protocol of an upgrade request.
   * @throws AppError for a problem response.
   */
  upgrade(request: Request, server: Server<Connection>, caller: UpgradeCaller): Promise<undefined> {
    return this.#upgrades.upgrade(request, server, caller)
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
    const idsOf = (kind: 'session' | 'token'): string[] => {
      const ids = [...seen.values()].flatMap((identity) =>
        identity?.actor.credential.kind === kind ? (credentialIdOf(identity.actor) ?? []) : [],
      )
      return [...new Set(ids)]
    }
    const live = await this.#deps.systemDb
      .read(
        async (sql) =>
          new Map([
            ...(await selectLiveSessions(sql, idsOf('session'))),
            ...(await selectLiveTokens(sql, idsOf('token'))),
          ]),
      )
      .catch((error: unknown) => {
        this.#deps.log.warn(
          { cause: messageOf(error) },
          'session lookup failed after an epoch change, closing all sockets',
        )
        return null
      })
    for (const [connection, identity] of seen) {
      // An identity accepted during the read was checked then.
      if (!identity || connection.identity !== identity) continue
      const role = live?.get(credentialIdOf(identity.actor) ?? '')
      if (live && role === undefined) connection.close('revoked')
      else if (role !== identity.actor.role) connection.close('position_lost')
    }
  }

  /** Entries may not have been delivered to every subscription: clients reconnect and resume from their cursors. */
  #closeAllAfterFailure(): void {
    for (const connection of this.#connections) connection.close('server_error')
  }

  /** Sends `bye` to every connection and closes it, in slices. @param withinMs the time for all of them. */
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
        // The other servers may be stopping too. The count is not awaited: the latest one is used.
        if (slice % countEverySlices === 0) void this.#deps.servers.leave().then((count) => (others = count))
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
    const stalledMs = this.#stalls.tick(now)
    this.#connectLimiter.tick(now)
    for (const connection of this.#connections) connection.tick(now, stalledMs)
  }
}
