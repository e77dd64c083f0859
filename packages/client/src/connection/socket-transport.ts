// One WebSocket, from opening to close: the handshake, subscriptions and watches, and the frames the server sends.
// Invariant: after it has ended it delivers nothing, also if the runtime delivers late.
import { deferred } from '../async/deferred.ts'
import { Timers } from '../async/timers.ts'
import type { Session } from '../session.ts'
import type { Timing } from '../timing.ts'
import { FramePacer } from './frame-pacer.ts'
import { readFrame } from './frames.ts'
import { Liveness } from './liveness.ts'
import { SocketCredentials } from './socket-credentials.ts'
import { SocketRequests } from './socket-requests.ts'
import type { TransportOwner } from './transport-owner.ts'
import { retryWindowOf, type Ending, type Subscriber, type Transport } from './transport.ts'
import type { ClientFrame, ServerFrame } from '../../../../src/model/frames.ts'

/** The part of a WebSocket this client uses: the browser's, Bun's, Node's or the `ws` package's. */
export interface Socket {
  readonly readyState: number
  send(text: string): void
  close(code?: number, reason?: string): void
  addEventListener(type: 'open' | 'error', listener: () => void): void
  addEventListener(type: 'message', listener: (event: { data: unknown }) => void): void
  addEventListener(type: 'close', listener: (event: { code: number; reason: string }) => void): void
}

export type OpenSocket = (url: string, protocols: string[]) => Socket

interface SocketDeps {
  url: string
  open: OpenSocket
  session: Session
  timing: Timing
}

/** Of `readyState`. */
const isOpen = 1

export class SocketTransport implements Transport {
  readonly kind = 'socket'
  #socket: Socket | null = null
  #isWelcomed = false
  #isEnded = false
  #reconnectAfter: readonly [number, number] | undefined
  readonly #requests = new SocketRequests()
  readonly #timers = new Timers()
  readonly #pacer = new FramePacer(this.#timers, (text) => this.#write(text))
  readonly #ended = deferred<Ending>()
  readonly #liveness: Liveness
  readonly #credentials: SocketCredentials

  constructor(
    private readonly deps: SocketDeps,
    private readonly owner: TransportOwner,
  ) {
    this.#liveness = new Liveness({
      timers: this.#timers,
      timing: deps.timing,
      sendPing: () => void this.#write(JSON.stringify({ t: 'ping', ts: Date.now() })),
      dead: (cause) => this.#end(1006, cause),
    })
    this.#credentials = new SocketCredentials({
      session: deps.session,
      timers: this.#timers,
      isOpen: () => this.#isWelcomed,
      sendToken: (token) => void this.send({ t: 'auth', rid: this.#requests.nextRid(), token }),
    })
  }

  async run(signal: AbortSignal): Promise<Ending> {
    const abort = (): void => this.#end(1000)
    signal.addEventListener('abort', abort, { once: true })
    const leave = this.#credentials.followSession()
    try {
      const token = await this.#credentials.load(signal)
      if (signal.aborted) return { code: 1000, opened: false }
      this.#open(token)
      return await this.#ended.promise
    } catch (cause) {
      return { code: 1006, opened: false, ...retryWindowOf(cause, this.deps.timing), cause }
    } finally {
      leave()
      signal.removeEventListener('abort', abort)
      this.#close()
    }
  }

  subscribe(subscriber: Subscriber): void {
    if (!this.#isWelcomed || !subscriber.isReady) return
    const rid = this.#requests.addSubscription(subscriber)
    this.send({ t: 'sub', rid, scope: subscriber.scope, cursor: subscriber.cursor })
  }

  unsubscribe(subscriber: Subscriber): void {
    this.#requests.removeSubscription(subscriber)
    this.send({ t: 'unsub', rid: this.#requests.nextRid(), scope: subscriber.scope })
  }

  watch(key: string): void {
    this.#requests.sendWatch(key, (rid) => this.send({ t: 'watch', rid, key }))
  }

  send(frame: ClientFrame): boolean {
    return this.#isWelcomed && this.#pacer.send(frame)
  }

  probe(): void {
    if (this.#isWelcomed) this.#liveness.probe()
  }

  #write(text: string): boolean {
    if (this.#socket?.readyState !== isOpen) return false
    this.#socket.send(text)
    return true
  }

  #open(token: string): void {
    const { url, open, timing } = this.deps
    // Proxies log headers, and a personal access token is long-lived: it is sent in the first frame.
    const isPersonal = token.startsWith('ttp_')
    const socket = open(url, isPersonal ? ['tasktide.v1'] : ['tasktide.v1', `jwt.${token}`])
    this.#socket = socket
    socket.addEventListener('open', () => {
      if (isPersonal) socket.send(JSON.stringify({ t: 'hello', token }))
    })
    socket.addEventListener('message', ({ data }) => this.#onMessage(data))
    socket.addEventListener('error', () => {}) // a close follows
    socket.addEventListener('close', ({ code }) => this.#end(code))
    this.#timers.after(timing.openMs, () => {
      if (!this.#isWelcomed) this.#end(1006, new Error(`no welcome within ${timing.openMs} ms`))
    })
  }

  #onMessage(data: unknown): void {
    if (this.#isEnded) return
    this.#liveness.received()
    const frame = readFrame(data)
    if (frame) this.#onFrame(frame)
  }

  #onFrame(frame: ServerFrame): void {
    const { followed } = this.owner
    switch (frame.t) {
      case 'welcome':
        return this.#onWelcome(frame.heartbeat)
      case 'sub': {
        const { rid, scope, cursor, replay, mode } = frame
        const subscriber = this.#requests.subscriber(rid)
        if (!subscriber || followed.subscriber(subscriber.scope) !== subscriber) return
        followed.scopeResolved(subscriber, scope)
        return subscriber.subscribed({ scope, cursor, replay, isFresh: mode === 'fresh' })
      }
      case 'event':
        return this.#activeSubscriber(frame.scope)?.event(frame)
      case 'synced':
        return this.#activeSubscriber(frame.scope)?.synced(frame.cursor)
      case 'position':
        return this.#activeSubscriber(frame.scope)?.position(frame.cursor, frame.count)
      case 'resync':
        return this.#resync(frame)
      case 'access': {
        const subscriber = this.#activeSubscriber(frame.scope)
        if (!subscriber) return
        this.#requests.removeSubscription(subscriber) // a `sub` in flight may be refused: that ends nothing more
        return this.owner.endSubscriber(subscriber, 'revoked')
      }
      case 'presence':
      case 'signal':
        return followed.presenceReceived(frame)
      case 'error':
        return this.#onError(frame)
      case 'bye':
        this.#reconnectAfter = frame.reconnectAfter
        return
      case 'ok':
        return this.#requests.watchAnswered(frame.rid)
      case 'pong':
        return
    }
  }

  #onWelcome(heartbeat: { ping: number; dead: number }): void {
    this.#isWelcomed = true
    this.owner.opened()
    for (const subscriber of this.owner.followed.subscribers()) this.subscribe(subscriber)
    for (const key of this.owner.followed.watchedKeys()) this.watch(key)
    this.#liveness.start(heartbeat)
    this.#credentials.scheduleRenewal()
  }

  /** A scope's subscriber, unless the frame belongs to a subscription it has ended. */
  #activeSubscriber(scope: string): Subscriber | undefined {
    const subscriber = this.owner.followed.subscriber(scope)
    return subscriber && this.#requests.isSubscribed(subscriber) ? subscriber : undefined
  }

  /** A `resync` that answers a `sub` is found by its `rid`: the scope may have been named `user:me`. */
  #resync({ rid, scope, reason }: Extract<ServerFrame, { t: 'resync' }>): void {
    const subscriber = this.#requests.subscriber(rid) ?? this.#activeSubscriber(scope)
    subscriber?.resync(reason)
  }

  #onError({ rid, key: ended, code, retryAfter = 1 }: Extract<ServerFrame, { t: 'error' }>): void {
    if (ended !== undefined) return this.owner.followed.watchEnded(ended)
    if (code === 'rate') return this.#timers.after(retryAfter * 1000, () => this.#repeat(rid))
    const subscriber = this.#requests.subscriber(rid)
    this.#requests.remove(rid) // a refused watch: `users` stays empty
    if (!subscriber) return
    // The server cannot read the cursor, which another program may have stored; a snapshot has a readable one.
    if (code === 'bad_frame') return subscriber.resync(code)
    const cause = new Error(`the server answered ${code}`)
    this.owner.endSubscriber(subscriber, code === 'limit' || code === 'not_found' ? code : 'refused', cause)
  }

  /** Sends the request again under a new `rid`, unless it was replaced or is no longer needed. */
  #repeat(rid: unknown): void {
    const subscriber = this.#requests.subscriber(rid)
    const key = this.#requests.watchedKey(rid)
    if (subscriber) this.subscribe(subscriber)
    if (key !== undefined && [...this.owner.followed.watchedKeys()].includes(key)) this.watch(key)
  }

  #end(code: number, cause?: unknown): void {
    // The runtime reports these codes for any failed connection: they prove no answer of the server.
    const isAnswer = ![1000, 1005, 1006].includes(code)
    this.#isEnded = true
    this.#ended.resolve({
      code,
      opened: this.#isWelcomed || isAnswer,
      ...(this.#reconnectAfter && { reconnectAfter: this.#reconnectAfter }),
      ...(cause !== undefined && { cause }),
    })
  }

  #close(): void {
    this.#isEnded = true
    this.#isWelcomed = false
    this.#requests.clear()
    this.#pacer.clear()
    this.#timers.clear()
    if (this.#socket && this.#socket.readyState <= isOpen) this.#socket.close(1000)
  }
}
