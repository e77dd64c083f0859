// One socket: who it is, what it follows, how much it may say and how much is unsent. Frames are handled one
// after another; whatever a client sends is answered, bounded or closed.
import type { ServerWebSocket } from 'bun'
import type { Identity } from '../auth/authenticator.ts'
import type { Scope } from '../model/scope.ts'
import { isTransient } from '../errors.ts'
import type { LogEntry } from '../model/event.ts'
import { closeCodes, type CloseReason, type Rid } from '../model/frames.ts'
import { newId } from '../model/scalar.ts'
import type { ConnectionHandle, SocketDeps } from './connection-handle.ts'
import { FrameRateLimiter } from './frame-rate-limiter.ts'
import { closeReasonOf, identify, closeReasonForControl } from './identify.ts'
import { ConnectionPresence } from './presence/connection-presence.ts'
import {
  heartbeat,
  limits,
  parkBytes,
  parseFrame,
  type BadFrame,
  type ClientFrame,
  type ErrorFrameCode,
  type SocketTimings,
  type ServerFrame,
} from './protocol.ts'
import { Subscriptions } from './subscriptions.ts'

export type Socket = ServerWebSocket<Connection>

/** What the sockets of a process know of each other. */
export interface ConnectionRegistry {
  /** Called once the person is known; may close this connection, or the person's oldest. */
  onIdentified(connection: Connection): void
}

type State = { is: 'greeting' } | { is: 'open'; identity: Identity } | { is: 'closed' }

export class Connection implements ConnectionHandle {
  readonly id = newId()
  // Times are of the process's own clock: one that is set must not end or flood anything.
  readonly #openedAt = performance.now()
  #state: State = { is: 'greeting' }
  #userId = ''
  #socket: Socket | null = null
  #lastReceivedAt = performance.now()
  #lastPositionAt = performance.now()
  #parkedAt: number | null = null
  #queuedFrames = 0
  #frameQueue: Promise<void> = Promise.resolve()
  readonly #rateLimiter = new FrameRateLimiter()
  readonly #subscriptions: Subscriptions
  readonly #presence: ConnectionPresence

  /** @param greeting what the upgrade already decided: who it is, or why it has to close. */
  constructor(
    private readonly deps: SocketDeps,
    private readonly registry: ConnectionRegistry,
    private readonly greeting: Identity | CloseReason | null,
    private readonly timings: SocketTimings,
  ) {
    this.#subscriptions = new Subscriptions(this, deps)
    this.#presence = new ConnectionPresence(this, deps)
  }

  /** Empty until it is known; kept after the end. */
  get userId(): string {
    return this.#userId
  }

  /** Null until it is known, and after the end. */
  get identity(): Identity | null {
    return this.#state.is === 'open' ? this.#state.identity : null
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
    else if (this.greeting) this.#welcome(this.greeting)
  }

  /** Takes a message. Handling overlaps in Bun, so frames queue here, a bounded number of them. */
  onMessage(message: string | Buffer): void {
    this.#lastReceivedAt = performance.now()
    if (this.#state.is === 'closed') return
    if (typeof message !== 'string') return this.close('protocol_violation')
    const frame = parseFrame(message)
    const kind = frame.t === 'signal' ? 'signal' : 'frame'
    const verdict = this.#rateLimiter.take(kind, Buffer.byteLength(message), this.#lastReceivedAt)
    if (verdict === 'close') return this.close('too_fast')
    if (verdict === 'refuse') return this.error('rate', 'rid' in frame ? frame.rid : null, 1)
    this.#queuedFrames += 1
    if (this.#queuedFrames > limits.frameBurst + limits.subscriptions) return this.close('too_fast')
    this.#frameQueue = this.#frameQueue
      .then(() => this.#handle(frame))
      .catch((error: unknown) => {
        this.deps.log.error({ err: error, connection: this.id }, 'a socket frame failed')
        this.close('server_error')
      })
      .finally(() => (this.#queuedFrames -= 1))
  }

  /** A ping of the WebSocket itself: Bun has answered it. */
  onPing(): void {
    this.#lastReceivedAt = performance.now()
    if (this.#rateLimiter.take('frame', 0, this.#lastReceivedAt) === 'close') this.close('too_fast')
  }

  /** The kernel took some of what was unsent: go on where each subscription stands. */
  onDrain(): void {
    if (this.#parkedAt === null || (this.#socket?.getBufferedAmount() ?? 0) > parkBytes) return
    this.#parkedAt = null
    this.#presence.onDrain()
    this.catchUp()
  }

  catchUp(): void {
    this.#subscriptions.catchUp()
  }

  onClose(): void {
    this.#state = { is: 'closed' }
    this.#subscriptions.end()
    this.#presence.end()
  }

  /** Called every second: deadlines and positions. `now` is of `performance.now()`. */
  tick(now: number): void {
    const state = this.#state
    const { helloTimeoutMs, silenceTimeoutMs, parkedTimeoutMs, tokenGraceMs, positionIntervalMs } =
      this.timings
    if (state.is === 'closed') return
    if (state.is === 'greeting' && now - this.#openedAt > helloTimeoutMs) return this.close('no_hello')
    if (now - this.#lastReceivedAt > silenceTimeoutMs) return this.#terminate()
    this.onDrain() // whatever became of its event
    if (this.#parkedAt !== null && now - this.#parkedAt > parkedTimeoutMs) return this.close('slow_consumer')
    if (state.is === 'open' && Date.now() > state.identity.expiresAt + tokenGraceMs)
      return this.close('token_expired')
    if (now - this.#lastPositionAt < positionIntervalMs || this.isParked) return
    this.#lastPositionAt = now
    this.#subscriptions.sendPositions()
  }

  /** A control entry of this person's own scope. */
  onControl({ control }: LogEntry): void {
    if (this.#state.is !== 'open') return
    const verdict = closeReasonForControl(control, this.#state.identity.actor.sessionId)
    if (verdict) this.close(verdict)
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
    // The frame is lost and Bun would go on behind it. The client resumes from its cursor instead.
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
        reconnectAfter: this.deps.doorway.nextRetryWindow(),
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

  #welcome(identity: Identity): void {
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

  async #handle(frame: ClientFrame | BadFrame): Promise<void> {
    if (this.#state.is === 'closed') return
    if (this.#state.is === 'open') {
      if (frame.t === 'bad') return this.error(frame.code, frame.rid)
      return this.#answer(frame, this.#state.identity).catch((error: unknown) => {
        if (!isTransient(error)) throw error
        this.error(
          error.kind === 'rate_limited' ? 'rate' : 'unavailable',
          'rid' in frame ? frame.rid : null,
          1,
        )
      })
    }
    if (frame.t !== 'hello') return this.close('protocol_violation')
    try {
      await identify(this.deps, frame.token, (identity) => {
        // The wait may have outlived the connection.
        if (!this.isClosed) this.#welcome(identity)
      })
    } catch (error) {
      this.close(closeReasonOf(error))
    }
  }

  async #answer(frame: ClientFrame, identity: Identity): Promise<void> {
    switch (frame.t) {
      case 'ping':
        return this.send({ t: 'pong', ts: frame.ts, now: Date.now() })
      case 'hello':
        return this.error('bad_frame', null)
      case 'sub':
        return this.#subscriptions.join(frame.rid, frame.scope, frame.cursor, identity)
      case 'unsub':
        return this.#subscriptions.leave(frame.rid, frame.scope, identity)
      case 'watch':
        return this.#presence.watch(frame.rid, frame.key, identity)
      case 'unwatch':
        return this.#presence.unwatch(frame.rid, frame.key)
      case 'signal':
        return this.#presence.signal(frame, identity)
      case 'auth':
        return this.#renew(frame.rid, frame.token)
    }
  }

  async #renew(rid: Rid, token: string): Promise<void> {
    try {
      await identify(this.deps, token, (identity) => {
        if (this.isClosed) return
        if (identity.actor.userId !== this.#userId) return this.error('token', rid)
        this.#state = { is: 'open', identity }
        this.send({ t: 'ok', rid })
      })
    } catch (error) {
      const isAway = closeReasonOf(error) === 'overloaded'
      this.error(isAway ? 'unavailable' : 'token', rid, isAway ? 1 : undefined)
    }
  }
}
