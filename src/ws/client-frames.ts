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
  /** Watches and signals, made when the first is asked for. */
  readonly presence: ConnectionPresence
  /** The user is known: the connection is open. */
  welcome(identity: Identity): void
  /** A newer token of the same user. */
  renew(identity: Identity): void
}

export class ClientFrames {
  /** The frames that wait for the one in progress, oldest first. */
  #waiting: (ClientFrame | BadFrame)[] | null = null
  #isBusy = false
  #hasHello = false
  readonly #rateLimiter = new FrameRateLimiter()

  constructor(
    private readonly connection: IdentifiedConnection,
    private readonly subscriptions: Subscriptions,
    private readonly deps: SocketDeps,
  ) {}

  /** A `hello` has come: its look-up, which has a deadline of its own, ends the greeting. */
  get hasHello(): boolean {
    return this.#hasHello
  }

  /** Handles or queues a frame of an unclosed connection. @param now of `performance.now()`. */
  receive(message: string, now: number): void {
    const { connection } = this
    const frame = parseFrame(message)
    const kind = frame.t === 'signal' ? 'signal' : 'frame'
    const verdict = this.#rateLimiter.take(kind, Buffer.byteLength(message), now)
    if (verdict === 'close') return connection.close('too_fast')
    if (verdict === 'refuse') return connection.error('rate', 'rid' in frame ? frame.rid : null, 1)
    if (!this.#isBusy) return this.#start(frame)
    this.#waiting ??= []
    if (this.#waiting.push(frame) >= limits.frameBurst + limits.subscriptions) connection.close('too_fast')
  }

  /** A WebSocket ping counts as a frame. */
  onPing(now: number): void {
    if (this.#rateLimiter.take('frame', 0, now) === 'close') this.connection.close('too_fast')
  }

  /** Handles the frame, and the waiting ones up to the next that has to wait for something. */
  #start(first: ClientFrame | BadFrame): void {
    for (let frame: typeof first | undefined = first; frame; frame = this.#waiting?.shift()) {
      const pending = this.#handle(frame)
      if (!pending) continue
      this.#isBusy = true
      void pending.then(() => this.#continue())
      return
    }
  }

  #continue(): void {
    this.#isBusy = false
    const next = this.#waiting?.shift()
    if (this.#waiting?.length === 0) this.#waiting = null
    if (next) this.#start(next)
  }

  /** Never throws or rejects. Frames that need no look-up are handled in this tick, without a promise. */
  #handle(frame: ClientFrame | BadFrame): Promise<void> | void {
    const { connection } = this
    if (connection.isClosed) return
    try {
      const { identity } = connection
      const pending = identity === null ? this.#greet(frame) : this.#answer(frame, identity)
      if (pending instanceof Promise) return pending.catch((error: unknown) => this.#refuse(frame, error))
    } catch (error) {
      this.#fail(error)
    }
  }

  #refuse(frame: ClientFrame | BadFrame, error: unknown): void {
    if (!isTransient(error)) return this.#fail(error)
    this.connection.error('rate', 'rid' in frame ? frame.rid : null, 1)
  }

  #fail(error: unknown): void {
    const { connection } = this
    const fields = { err: error, connection: connection.id }
    this.deps.log.error(fields, 'socket frame failed, closing the connection')
    connection.close('server_error')
  }

  /** Before the user is known there is no other frame than `hello`. */
  #greet(frame: ClientFrame | BadFrame): Promise<void> | void {
    if (frame.t === 'hello') {
      this.#hasHello = true
      return this.#identify(frame.token)
    }
    return this.connection.close('protocol_violation')
  }

  async #identify(token: string): Promise<void> {
    const { connection } = this
    try {
      await identify(this.deps, token, (identity) => {
        // The connection may have closed during the lookup.
        if (!connection.isClosed) connection.welcome(identity)
      })
    } catch (error) {
      connection.close(closeReasonOf(error))
    }
  }

  #answer(frame: ClientFrame | BadFrame, identity: Identity): Promise<void> | void {
    const { connection } = this
    switch (frame.t) {
      case 'ping':
        return connection.send({ t: 'pong', ts: frame.ts, now: Date.now() })
      case 'hello':
        return connection.error('bad_frame', null)
      case 'sub':
        return this.subscriptions.join(frame.rid, frame.scope, frame.cursor, identity)
      case 'unsub':
        return this.subscriptions.leave(frame.rid, frame.scope, identity)
      case 'watch':
        return connection.presence.watch(frame.rid, frame.key, identity)
      case 'unwatch':
        return connection.presence.unwatch(frame.rid, frame.key)
      case 'signal':
        return connection.presence.signal(frame, identity)
      case 'bad':
        return connection.error(frame.code, frame.rid)
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
      if (closeReasonOf(error) === 'overloaded') connection.error('rate', rid, 1)
      else connection.error('token', rid)
    }
  }
}
