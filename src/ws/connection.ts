// One socket: who it is, what it follows, how much it may say and how much is unsent. Frames are handled one
// after another; whatever a client sends is answered, bounded or closed.
import type { ServerWebSocket } from 'bun'
import type { Identity } from '../deps.ts'
import { AppError } from '../errors.ts'
import { joinScope, maxReplayEntries, parseScope, snapshotPath } from '../domain/sync.ts'
import { formatCursor, parseCursor, shardOf, type LogEntry, type Scope } from '../model/event.ts'
import { closeCodes, type CloseReason, type Rid } from '../model/frames.ts'
import { newId } from '../model/scalar.ts'
import { Allowance } from './allowance.ts'
import { closeReasonOf, identify, verdictOn } from './identify.ts'
import type { Outlet, SocketDeps } from './outlet.ts'
import {
  heartbeat,
  limits,
  parkBytes,
  parseFrame,
  ridOf,
  type ClientFrame,
  type ErrorFrameCode,
  type Patience,
  type ServerFrame,
} from './protocol.ts'
import { Subscription } from './subscription.ts'

export type Socket = ServerWebSocket<Connection>

/** What the sockets of a process know of each other. */
export interface Registry {
  /** Called once the person is known; may close this connection, or the person's oldest. */
  identified(connection: Connection): void
}

type State = { is: 'greeting' } | { is: 'open'; identity: Identity } | { is: 'closed' }

export class Connection implements Outlet {
  readonly id = newId()
  readonly #openedAt = Date.now()
  #state: State = { is: 'greeting' }
  #userId = ''
  #socket: Socket | null = null
  #heardAt = Date.now()
  #toldAt = Date.now()
  #parkedAt: number | null = null
  #waiting = 0
  #turn: Promise<void> = Promise.resolve()
  #isCatchingUp = false
  readonly #allowance = new Allowance()
  readonly #subscriptions = new Map<Scope, Subscription>()

  /** @param greeting what the upgrade already decided: who it is, or why it has to close. */
  constructor(
    private readonly deps: SocketDeps,
    private readonly registry: Registry,
    private readonly greeting: Identity | CloseReason | null,
    private readonly patience: Patience,
  ) {}

  /** Empty until it is known; kept after the end. */
  get userId(): string {
    return this.#userId
  }

  get parked(): boolean {
    return this.#parkedAt !== null
  }

  opened(socket: Socket): void {
    this.#socket = socket
    if (typeof this.greeting === 'string') this.close(this.greeting)
    else if (this.greeting) this.#welcome(this.greeting)
  }

  /** Takes a message. Handling overlaps in Bun, so frames queue here, a bounded number of them. */
  received(message: string | Buffer): void {
    this.#heardAt = Date.now()
    if (this.#state.is === 'closed') return
    if (typeof message !== 'string') return this.close('protocol_violation')
    const verdict = this.#allowance.take(Buffer.byteLength(message), this.#heardAt)
    if (verdict === 'close') return this.close('too_fast')
    if (verdict === 'refuse') return this.#error('rate', ridOf(message), 1)
    this.#waiting += 1
    if (this.#waiting > limits.frameBurst + limits.subscriptions) return this.close('too_fast')
    this.#turn = this.#turn
      .then(() => this.#handle(message))
      .catch((error: unknown) => {
        this.deps.log.error({ err: error, connection: this.id }, 'a socket frame failed')
        this.close('server_error')
      })
      .finally(() => (this.#waiting -= 1))
  }

  /** A ping of the WebSocket itself: Bun has answered it. */
  pinged(): void {
    this.#heardAt = Date.now()
    if (this.#allowance.take(0, this.#heardAt) === 'close') this.close('too_fast')
  }

  /** The kernel took some of what was unsent: go on where each subscription stands. */
  drained(): void {
    if (this.#parkedAt === null || (this.#socket?.getBufferedAmount() ?? 0) > parkBytes) return
    this.#parkedAt = null
    this.catchUp()
  }

  /** Brings on what waits, one subscription after another: a connection holds one page of the log at a time. */
  catchUp(): void {
    if (this.#isCatchingUp) return
    this.#isCatchingUp = true
    void this.#catchUpAll().finally(() => (this.#isCatchingUp = false))
  }

  closed(): void {
    this.#state = { is: 'closed' }
    for (const subscription of this.#subscriptions.values()) subscription.end()
    this.#subscriptions.clear()
  }

  /** Called every second: deadlines and positions. */
  tick(now: number): void {
    const state = this.#state
    const { hello, silent, parked, expired, position } = this.patience
    if (state.is === 'closed') return
    if (state.is === 'greeting' && now - this.#openedAt > hello) return this.close('no_hello')
    if (now - this.#heardAt > silent) return this.#terminate()
    this.drained() // whatever became of its event
    if (this.#parkedAt !== null && now - this.#parkedAt > parked) return this.close('slow_consumer')
    if (state.is === 'open' && now > state.identity.expiresAt + expired) return this.close('token_expired')
    if (now - this.#toldAt < position || this.parked) return
    this.#toldAt = now
    for (const subscription of this.#subscriptions.values()) subscription.tellPosition()
  }

  /** A control entry of this person's own scope. */
  controlled({ control }: LogEntry): void {
    if (this.#state.is !== 'open') return
    const verdict = verdictOn(control, this.#state.identity.actor.sessionId)
    if (verdict) this.close(verdict)
  }

  /** The log's numbers start anew: every cursor is void. */
  epochChanged(): void {
    for (const subscription of this.#subscriptions.values()) subscription.resync('epoch')
  }

  send(frame: ServerFrame): void {
    this.sendText(JSON.stringify(frame))
  }

  sendText(frame: string): void {
    if (this.#state.is === 'closed' || !this.#socket) return
    const sent = this.#socket.send(frame)
    // 0: the frame is lost and Bun would go on behind it. The client resumes from its cursor instead.
    if (sent === 0) this.close('slow_consumer')
    else if (sent === -1 && this.#parkedAt === null && this.#socket.getBufferedAmount() > parkBytes)
      this.#parkedAt = Date.now()
  }

  cork(work: () => void): void {
    if (this.#socket && this.#state.is !== 'closed') this.#socket.cork(work)
  }

  close(reason: CloseReason): void {
    if (this.#state.is === 'closed') return
    this.closed()
    this.#socket?.close(closeCodes[reason], reason)
  }

  gone(scope: Scope): void {
    this.#subscriptions.delete(scope)
  }

  #terminate(): void {
    this.closed()
    this.#socket?.terminate()
  }

  #welcome(identity: Identity): void {
    this.#state = { is: 'open', identity }
    this.#userId = identity.actor.userId
    this.registry.identified(this)
    this.send({
      t: 'welcome',
      connection: this.id,
      user: identity.actor.userId,
      expiresAt: new Date(identity.expiresAt).toISOString(),
      heartbeat,
      limits,
    })
  }

  async #handle(message: string): Promise<void> {
    if (this.#state.is === 'closed') return
    const frame = parseFrame(message)
    if (this.#state.is === 'open') {
      if (frame.t === 'bad') return this.#error(frame.code, frame.rid)
      return this.#answer(frame, this.#state.identity)
    }
    if (frame.t !== 'hello') return this.close('protocol_violation')
    try {
      await identify(this.deps, frame.token, (identity) => {
        // The wait may have outlived the connection.
        if (!this.#is('closed')) this.#welcome(identity)
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
        return this.#error('bad_frame', null)
      case 'sub':
        return this.#subscribe(frame.rid, frame.scope, frame.cursor, identity)
      case 'unsub': {
        const scope = parseScope(frame.scope, identity.actor)
        if (!scope) return this.#error('bad_frame', frame.rid)
        this.#subscriptions.get(scope)?.end()
        this.#subscriptions.delete(scope)
        return this.send({ t: 'ok', rid: frame.rid })
      }
      case 'auth':
        return this.#renew(frame.rid, frame.token)
    }
  }

  async #renew(rid: Rid, token: string): Promise<void> {
    try {
      await identify(this.deps, token, (identity) => {
        if (this.#is('closed')) return
        if (identity.actor.userId !== this.#userId) return this.#error('token', rid)
        this.#state = { is: 'open', identity }
        this.send({ t: 'ok', rid })
      })
    } catch (error) {
      const isAway = closeReasonOf(error) === 'overloaded'
      this.#error(isAway ? 'unavailable' : 'token', rid, isAway ? 1 : undefined)
    }
  }

  async #subscribe(rid: Rid, text: string, cursorText: string | null, { actor }: Identity): Promise<void> {
    const scope = parseScope(text, actor)
    const cursor = cursorText === null ? null : parseCursor(cursorText)
    if (!scope || (cursorText !== null && cursor?.shard !== shardOf(scope)))
      return this.#error('bad_frame', rid)
    const held = this.#subscriptions.get(scope)
    if (!held && this.#subscriptions.size >= limits.subscriptions) return this.#error('limit', rid)
    // What is committed after this read, a revocation too, has a number above its head and is met on the way there.
    const joined = await joinScope(this.deps, actor, scope, cursor, maxReplayEntries).catch(refused)
    if (this.#is('closed')) return
    if (joined === 'unavailable') return this.#error('unavailable', rid, 1)
    held?.end()
    this.#subscriptions.delete(scope)
    if (joined.kind === 'denied') {
      return held
        ? this.send({ t: 'access', scope, cursor: this.#cursorNow(shardOf(scope)), op: 'revoked' })
        : this.#error('not_found', rid)
    }
    if (joined.kind === 'resync') {
      return this.send({ t: 'resync', scope, rid, reason: joined.reason, snapshot: snapshotPath(scope) })
    }
    const { epoch, shard, from, head, events } = joined
    // The tail has not yet seen the epoch that the read saw: its numbers cannot be compared.
    if (epoch !== this.deps.tail.epoch) {
      return this.send({ t: 'resync', scope, rid, reason: 'epoch', snapshot: snapshotPath(scope) })
    }
    this.send({
      t: 'sub',
      rid,
      scope,
      mode: joined.kind,
      cursor: formatCursor({ epoch, shard, seq: from }),
      replay: events,
    })
    this.#subscriptions.set(scope, new Subscription({ scope, shard, epoch, from, head }, this, this.deps))
    this.catchUp()
  }

  async #catchUpAll(): Promise<void> {
    while (!this.parked) {
      const next = [...this.#subscriptions.values()].find((subscription) => subscription.isWaiting)
      if (!next) return
      await next.catchUp()
    }
  }

  #cursorNow(shard: number): string {
    const { epoch, positions } = this.deps.tail
    return formatCursor({ epoch, shard, seq: positions[shard]! })
  }

  #error(code: ErrorFrameCode, rid: Rid | null, retryAfter?: number): void {
    this.send({ t: 'error', ...(rid !== null && { rid }), code, ...(retryAfter && { retryAfter }) })
  }

  // The state may have changed over an await, which the compiler cannot know.
  #is(state: State['is']): boolean {
    return this.#state.is === state
  }
}

const refused = (error: unknown): 'unavailable' => {
  if (error instanceof AppError && error.kind === 'unavailable') return 'unavailable'
  throw error
}
