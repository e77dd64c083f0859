// The frames a client sends on one connection. Invariants: frames are handled one after another; every frame is
// answered, refused by a limit or closes the socket; the queue of frames is bounded.
import type { Identity } from '../auth/authenticator.ts'
import { isTransient } from '../errors.ts'
import type { Rid } from '../model/frames.ts'
import type { ConnectionHandle, SocketDeps } from './connection-handle.ts'
import { FrameRateLimiter } from './frame-rate-limiter.ts'
import { closeReasonOf, identify } from './identify.ts'
import type { ConnectionPresence } from './presence/connection-presence.ts'
import { limits, parseFrame, type BadFrame, type ClientFrame } from './protocol.ts'
import type { Subscriptions } from './subscriptions.ts'

/** A connection whose identity comes from frames: `hello` names the user, `auth` renews the token. */
export interface IdentifiedConnection extends ConnectionHandle {
  readonly id: string
  /** Null until the user is known, and after the connection closed. */
  readonly identity: Identity | null
  /** The user is known: the connection is open. */
  welcome(identity: Identity): void
  /** A newer token of the same user. */
  renew(identity: Identity): void
}

export class ClientFrames {
  #queued = 0
  #queue: Promise<void> = Promise.resolve()
  readonly #rateLimiter = new FrameRateLimiter()

  constructor(
    private readonly connection: IdentifiedConnection,
    private readonly subscriptions: Subscriptions,
    private readonly presence: ConnectionPresence,
    private readonly deps: SocketDeps,
  ) {}

  /** Queues a frame of an unclosed connection. @param now of `performance.now()`. */
  receive(message: string, now: number): void {
    const { connection } = this
    const frame = parseFrame(message)
    const kind = frame.t === 'signal' ? 'signal' : 'frame'
    const verdict = this.#rateLimiter.take(kind, Buffer.byteLength(message), now)
    if (verdict === 'close') return connection.close('too_fast')
    if (verdict === 'refuse') return connection.error('rate', 'rid' in frame ? frame.rid : null, 1)
    this.#queued += 1
    if (this.#queued > limits.frameBurst + limits.subscriptions) return connection.close('too_fast')
    this.#queue = this.#queue
      .then(() => this.#handle(frame))
      .catch((error: unknown) => {
        this.deps.log.error(
          { err: error, connection: connection.id },
          'socket frame failed, closing the connection',
        )
        connection.close('server_error')
      })
      .finally(() => (this.#queued -= 1))
  }

  /** A WebSocket ping counts as a frame. */
  onPing(now: number): void {
    if (this.#rateLimiter.take('frame', 0, now) === 'close') this.connection.close('too_fast')
  }

  async #handle(frame: ClientFrame | BadFrame): Promise<void> {
    const { connection } = this
    if (connection.isClosed) return
    const { identity } = connection
    if (identity === null) return this.#greet(frame)
    if (frame.t === 'bad') return connection.error(frame.code, frame.rid)
    return this.#answer(frame, identity).catch((error: unknown) => {
      if (!isTransient(error)) throw error
      connection.error(
        error.kind === 'rate_limited' ? 'rate' : 'unavailable',
        'rid' in frame ? frame.rid : null,
        1,
      )
    })
  }

  /** Before the user is known there is no other frame than `hello`. */
  async #greet(frame: ClientFrame | BadFrame): Promise<void> {
    const { connection } = this
    if (frame.t !== 'hello') return connection.close('protocol_violation')
    try {
      await identify(this.deps, frame.token, (identity) => {
        // The connection may have closed during the lookup.
        if (!connection.isClosed) connection.welcome(identity)
      })
    } catch (error) {
      connection.close(closeReasonOf(error))
    }
  }

  async #answer(frame: ClientFrame, identity: Identity): Promise<void> {
    switch (frame.t) {
      case 'ping':
        return this.connection.send({ t: 'pong', ts: frame.ts, now: Date.now() })
      case 'hello':
        return this.connection.error('bad_frame', null)
      case 'sub':
        return this.subscriptions.join(frame.rid, frame.scope, frame.cursor, identity)
      case 'unsub':
        return this.subscriptions.leave(frame.rid, frame.scope, identity)
      case 'watch':
        return this.presence.watch(frame.rid, frame.key, identity)
      case 'unwatch':
        return this.presence.unwatch(frame.rid, frame.key)
      case 'signal':
        return this.presence.signal(frame, identity)
      case 'auth':
        return this.#renew(frame.rid, frame.token)
    }
  }

  async #renew(rid: Rid, token: string): Promise<void> {
    const { connection } = this
    try {
      await identify(this.deps, token, (identity) => {
        if (connection.isClosed) return
        if (identity.actor.userId !== connection.userId) return connection.error('token', rid)
        connection.renew(identity)
        connection.send({ t: 'ok', rid })
      })
    } catch (error) {
      const isUnavailable = closeReasonOf(error) === 'overloaded'
      connection.error(isUnavailable ? 'unavailable' : 'token', rid, isUnavailable ? 1 : undefined)
    }
  }
}
