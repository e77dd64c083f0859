// One socket: its state from greeting to closed, its deadlines and its unsent bytes. Invariants: only an open connection
// has an identity; `closed` is final; a connection with more than `parkBytes` unsent sends nothing but answers.
import type { ServerWebSocket } from 'bun'
import type { Identity } from '../auth/authenticator.ts'
import type { Scope } from '../model/scope.ts'
import type { LogEntry } from '../model/event.ts'
import { closeCodes, type CloseReason, type Rid } from '../model/frames.ts'
import { newId } from '../model/scalar.ts'
import { ClientFrames, type IdentifiedConnection } from './client-frames.ts'
import type { SocketDeps } from './connection-handle.ts'
import { closeReasonForControl } from './identify.ts'
import { ConnectionPresence } from './presence/connection-presence.ts'
import {
  heartbeat,
  limits,
  parkBytes,
  type ErrorFrameCode,
  type SocketTimings,
  type ServerFrame,
} from './protocol.ts'
import { Subscriptions } from './subscriptions.ts'

export type Socket = ServerWebSocket<Connection>

/** The other sockets of the process, as one connection sees them. */
export interface ConnectionRegistry {
  /** Called once the user is known; may close this connection or the user's oldest. */
  onIdentified(connection: Connection): void
}

/** `greeting` until `hello` or the upgrade names the user. Only an open connection has an identity. */
type State = { is: 'greeting' } | { is: 'open'; identity: Identity } | { is: 'closed' }

export class Connection implements IdentifiedConnection {
  readonly id = newId()
  readonly acceptedAt = performance.now()
  // Times are of `performance.now()`: setting the system clock must not end or flood connections.
  #openedAt = performance.now()
  #state: State = { is: 'greeting' }
  #userId = ''
  #socket: Socket | null = null
  #lastReceivedAt = performance.now()
  #lastPositionAt = performance.now()
  #parkedAt: number | null = null
  readonly #subscriptions: Subscriptions
  /** Null until the first watch or signal, which most connections never send. */
  #presence: ConnectionPresence | null = null
  readonly #frames: ClientFrames

  /**
   * @param greeting the decision of the upgrade: an identity, a reason to close, or null to wait for `hello`.
   * @param requestId of the upgrade.
   */
  constructor(
    private readonly deps: SocketDeps,
    private readonly registry: ConnectionRegistry,
    private readonly greeting: Identity | CloseReason | null,
    private readonly timings: SocketTimings,
    readonly requestId = '',
  ) {
    this.#subscriptions = new Subscriptions(this, deps)
    this.#frames = new ClientFrames(this, this.#subscriptions, deps)
  }

  /** Empty until the user is known; kept after the connection closed. */
  get userId(): string {
    return this.#userId
  }

  /** Null until the user is known, and after the connection closed. */
  get identity(): Identity | null {
    return this.#state.is === 'open' ? this.#state.identity : null
  }

  get presence(): ConnectionPresence {
    return (this.#presence ??= new ConnectionPresence(this, this.deps))
  }

  get isParked(): boolean {
    return this.#parkedAt !== null
  }

  get rawSocket(): Socket | null {
    return this.isClosed || this.isParked ? null : this.#socket
  }

  get isClosed(): boolean {
    return this.#state.is === 'closed'
  }

  onOpen(socket: Socket): void {
    this.#socket = socket
    if (typeof this.greeting === 'string') this.close(this.greeting)
    else if (this.greeting) this.welcome(this.greeting)
  }

  /** Bun starts a handler before the last one has ended: `ClientFrames` queues. */
  onMessage(message: string | Buffer): void {
    this.#lastReceivedAt = performance.now()
    if (this.#state.is === 'closed') return
    if (typeof message !== 'string') return this.close('protocol_violation')
    this.#frames.receive(message, this.#lastReceivedAt)
  }

  /** A WebSocket ping, which Bun has answered. */
  onPing(): void {
    this.#lastReceivedAt = performance.now()
    this.#frames.onPing(this.#lastReceivedAt)
  }

  /** The kernel took unsent bytes: once few are left, every subscription continues from its position. */
  onDrain(): void {
    if (this.#parkedAt === null || (this.#socket?.getBufferedAmount() ?? 0) > parkBytes) return
    this.#parkedAt = null
    this.#presence?.onDrain()
    this.catchUp()
  }

  catchUp(): void {
    this.#subscriptions.catchUp()
  }

  /** A token of `hello` or of the upgrade named the user. */
  welcome(identity: Identity): void {
    this.#state = { is: 'open', identity }
    this.#userId = identity.actor.userId
    this.registry.onIdentified(this)
    this.send({
      t: 'welcome',
      connection: this.id,
      user: identity.actor.userId,
      expiresAt: new Date(identity.expiresAt).toISOString(),
      heartbeat,
      limits,
    })
  }

  /** A later token of the same user replaces the first. */
  renew(identity: Identity): void {
    this.#state = { is: 'open', identity }
  }

  onClose(): void {
    this.#state = { is: 'closed' }
    this.#subscriptions.end()
    this.#presence?.end()
  }

  /**
   * Called every second: deadlines and positions.
   * @param now of `performance.now()`.
   * @param stalledMs in which this process could not read its sockets, since the last call: no deadline counts them.
   */
  tick(now: number, stalledMs: number): void {
    const state = this.#state
    this.#openedAt += stalledMs
    this.#lastReceivedAt += stalledMs
    if (this.#parkedAt !== null) this.#parkedAt += stalledMs
    const { helloTimeoutMs, silenceTimeoutMs, parkedTimeoutMs, tokenGraceMs, positionIntervalMs } =
      this.timings
    if (state.is === 'closed') return
    if (state.is === 'greeting' && !this.#frames.hasHello && now - this.#openedAt > helloTimeoutMs)
      return this.close('no_hello')
    if (now - this.#lastReceivedAt > silenceTimeoutMs) return this.#terminate()
    this.onDrain() // should Bun's drain event be missing
    if (this.#parkedAt !== null && now - this.#parkedAt > parkedTimeoutMs) return this.close('slow_consumer')
    if (state.is === 'open' && Date.now() > state.identity.expiresAt + tokenGraceMs)
      return this.close('token_expired')
    if (now - this.#lastPositionAt < positionIntervalMs || this.isParked) return
    this.#lastPositionAt = now
    this.#subscriptions.sendPositions()
  }

  /** A control entry of the user's own scope. */
  onControl({ control }: LogEntry): void {
    if (this.#state.is !== 'open') return
    const reason = closeReasonForControl(control, this.#state.identity.actor.credential)
    if (reason) this.close(reason)
  }

  send(frame: ServerFrame): void {
    this.sendText(JSON.stringify(frame))
  }

  sendText(frame: string): void {
    if (this.isClosed || !this.#socket) return
    const sent = this.#socket.send(frame)
    if (sent <= 0) this.onUnsent(sent)
  }

  onUnsent(sent: number): void {
    // Bun dropped the frame and would send the next one: close, and the client resumes from its cursor.
    if (sent === 0) return this.close('slow_consumer')
    if (this.#parkedAt !== null || (this.#socket?.getBufferedAmount() ?? 0) <= parkBytes) return
    this.#parkedAt = performance.now()
    this.deps.stats.parked += 1
    this.#subscriptions.suspend()
  }

  error(code: ErrorFrameCode, rid: Rid | null, retryAfter?: number): void {
    this.send({ t: 'error', ...(rid !== null && { rid }), code, ...(retryAfter && { retryAfter }) })
  }

  cork(work: () => void): void {
    if (this.#socket && this.#state.is !== 'closed') this.#socket.cork(work)
  }

  close(reason: CloseReason): void {
    if (this.#state.is === 'closed') return
    if (reason === 'overloaded')
      this.send({
        t: 'bye',
        code: closeCodes.overloaded,
        reconnectAfter: this.deps.handshakes.nextRetryWindow(),
      })
    this.onClose()
    if (reason === 'slow_consumer') this.deps.stats.dropped += 1
    if (reason === 'overloaded') this.deps.stats.overloaded += 1
    this.#socket?.close(closeCodes[reason], reason)
  }

  onSubscriptionEnd(scope: Scope): void {
    this.#subscriptions.remove(scope)
  }

  #terminate(): void {
    this.onClose()
    this.#socket?.terminate()
  }
}
