// One WebSocket, from opening to close. It speaks when it is to speak (pings, fresh tokens, paced joins) and
// detects silence: a dead network closes no socket.
import { deferred } from '../async/deferred.ts'
import { FramePacer } from './frame-pacer.ts'
import type { Session } from '../session.ts'
import type { Timing } from '../timing.ts'
import {
  retryWindowOf,
  type Ending,
  type TransportOwner,
  type Subscriber,
  type Transport,
} from './transport.ts'
import { Timers } from '../async/timers.ts'
import type { ClientFrame, ServerFrame } from '../../../../src/model/frames.ts'
import { readFrame } from './frames.ts'

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

const isOpen = 1
const minRenewDelayMs = 1_000

export class SocketTransport implements Transport {
  readonly kind = 'socket'
  #socket: Socket | null = null
  #token = ''
  #isWelcomed = false
  #isEnded = false
  #lastReceivedAt = 0
  #reconnectAfter: readonly [number, number] | undefined
  #rid = 0
  readonly #subscriptions = new Map<unknown, Subscriber>()
  readonly #pendingWatches = new Map<unknown, string>()
  readonly #timers = new Timers()
  readonly #pacer = new FramePacer(this.#timers, (text) => this.#write(text))
  readonly #ended = deferred<Ending>()

  constructor(
    private readonly deps: SocketDeps,
    private readonly owner: TransportOwner,
  ) {}

  async run(signal: AbortSignal): Promise<Ending> {
    const abort = (): void => this.#end(1000)
    signal.addEventListener('abort', abort, { once: true })
    const leave = this.deps.session.onChange(() => void this.#sendRenewedToken())
    try {
      this.#token = await this.deps.session.token(signal)
      if (signal.aborted) return { code: 1000, opened: false }
      this.#open()
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
    const rid = (this.#rid += 1)
    for (const [old, asked] of this.#subscriptions) if (asked === subscriber) this.#subscriptions.delete(old)
    this.#subscriptions.set(rid, subscriber)
    this.send({ t: 'sub', rid, scope: subscriber.scope, cursor: subscriber.cursor })
  }

  unsubscribe(subscriber: Subscriber): void {
    for (const [rid, asked] of this.#subscriptions) if (asked === subscriber) this.#subscriptions.delete(rid)
    this.send({ t: 'unsub', rid: (this.#rid += 1), scope: subscriber.scope })
  }

  watch(key: string): void {
    const rid = (this.#rid += 1)
    for (const [old, asked] of this.#pendingWatches) if (asked === key) this.#pendingWatches.delete(old)
    if (this.send({ t: 'watch', rid, key })) this.#pendingWatches.set(rid, key)
  }

  send(frame: ClientFrame): boolean {
    return this.#isWelcomed && this.#pacer.send(frame)
  }

  probe(): void {
    if (!this.#isWelcomed) return
    const askedAt = (this.#lastReceivedAt = Date.now())
    this.#ping()
    const { probeMs } = this.deps.timing
    this.#timers.after(probeMs, () => {
      if (this.#lastReceivedAt === askedAt) this.#end(1006, new Error(`nothing received for ${probeMs} ms`))
    })
  }

  #ping(): void {
    this.#write(JSON.stringify({ t: 'ping', ts: Date.now() }))
  }

  #write(text: string): boolean {
    if (this.#socket?.readyState !== isOpen) return false
    this.#socket.send(text)
    return true
  }

  #open(): void {
    const { url, open, timing } = this.deps
    // A personal access token is too much for a header every proxy logs: it goes in the first frame.
    const isPersonal = this.#token.startsWith('ttp_')
    const socket = open(url, isPersonal ? ['tasktide.v1'] : ['tasktide.v1', `jwt.${this.#token}`])
    this.#socket = socket
    socket.addEventListener('open', () => {
      if (isPersonal) socket.send(JSON.stringify({ t: 'hello', token: this.#token }))
    })
    socket.addEventListener('message', ({ data }) => this.#onMessage(data))
    socket.addEventListener('error', () => {}) // a close follows
    socket.addEventListener('close', ({ code }) => this.#end(code))
    this.#timers.after(timing.openMs, () => {
      if (!this.#isWelcomed) this.#end(1006, new Error(`no welcome within ${timing.openMs} ms`))
    })
  }

  #onMessage(data: unknown): void {
    if (this.#isEnded) return // a dying socket may deliver late
    this.#lastReceivedAt = Date.now()
    const frame = readFrame(data)
    if (frame) this.#onFrame(frame)
  }

  #onFrame(frame: ServerFrame): void {
    switch (frame.t) {
      case 'welcome':
        return this.#onWelcome(frame.heartbeat)
      case 'sub': {
        const { rid, scope, cursor, replay, mode } = frame
        const subscriber = this.#subscriptions.get(rid)
        if (!subscriber || this.owner.subscriber(subscriber.scope) !== subscriber) return
        this.owner.scopeResolved(subscriber, scope)
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
        if (subscriber) this.owner.endSubscriber(subscriber, 'revoked')
        return
      }
      case 'presence':
      case 'signal':
        return this.owner.presenceReceived(frame)
      case 'error':
        return this.#onError(frame)
      case 'bye':
        this.#reconnectAfter = frame.reconnectAfter
        return
      case 'ok':
        this.#pendingWatches.delete(frame.rid)
        return
      case 'pong':
        return
    }
  }

  #onWelcome(heartbeat: { ping: number; dead: number }): void {
    this.#isWelcomed = true
    this.owner.opened()
    for (const subscriber of this.owner.subscribers()) this.subscribe(subscriber)
    for (const key of this.owner.watchedKeys()) this.watch(key)
    const { timing } = this.deps
    this.#timers.every(Math.min(heartbeat.ping, timing.pingMs), () => this.#ping())
    const dead = Math.min(heartbeat.dead, timing.deadMs)
    this.#timers.every(Math.max(dead / 8, 10), () => {
      // The clock of the device may have been set back.
      if (Math.abs(Date.now() - this.#lastReceivedAt) > dead)
        this.#end(1006, new Error(`nothing received for ${dead} ms`))
    })
    this.#scheduleRenewal()
  }

  /** A scope's subscriber, unless what comes is of a subscription it has given up. */
  #activeSubscriber(scope: string): Subscriber | undefined {
    const subscriber = this.owner.subscriber(scope)
    return subscriber && [...this.#subscriptions.values()].includes(subscriber) ? subscriber : undefined
  }

  /** A `resync` that answers a `sub` is found by its `rid`: the scope may have been named `user:me`. */
  #resync({ rid, scope, reason }: Extract<ServerFrame, { t: 'resync' }>): void {
    const subscriber = this.#subscriptions.get(rid) ?? this.#activeSubscriber(scope)
    subscriber?.resync(reason)
  }

  #onError({ rid, key: ended, code, retryAfter = 1 }: Extract<ServerFrame, { t: 'error' }>): void {
    if (ended !== undefined) return this.owner.watchEnded(ended)
    const subscriber = this.#subscriptions.get(rid)
    const key = this.#pendingWatches.get(rid)
    if (code === 'rate' || code === 'unavailable')
      return this.#timers.after(retryAfter * 1000, () => {
        if (subscriber && this.#subscriptions.get(rid) === subscriber) this.subscribe(subscriber)
        if (key && this.#pendingWatches.get(rid) === key && [...this.owner.watchedKeys()].includes(key))
          this.watch(key)
      })
    this.#pendingWatches.delete(rid) // not to be seen there: `users` stays empty
    if (!subscriber) return
    this.#subscriptions.delete(rid)
    // The server cannot read the cursor: it comes from elsewhere, and a snapshot has a readable one.
    if (code === 'bad_frame') return subscriber.resync(code)
    const cause = new Error(`the server answered ${code}`)
    this.owner.endSubscriber(subscriber, code === 'limit' || code === 'not_found' ? code : 'refused', cause)
  }

  #scheduleRenewal(): void {
    const ms = this.deps.session.renewInMs
    if (ms === null) return
    this.#timers.after(Math.min(Math.max(ms, minRenewDelayMs), 2 ** 31 - 1), () => {
      // Should it fail, the server closes with 4401 and the connection renews before it comes back.
      this.deps.session.token().catch(() => {})
    })
  }

  async #sendRenewedToken(): Promise<void> {
    if (!this.#isWelcomed || this.deps.session.renewInMs === null) return
    const token = await this.deps.session.token().catch(() => null)
    if (token === null || token === this.#token) return
    this.#token = token
    this.send({ t: 'auth', rid: (this.#rid += 1), token })
    this.#scheduleRenewal()
  }

  #end(code: number, cause?: unknown): void {
    // The runtime reports these codes for any failed connection: they prove no answer of the server.
    const isSpoken = ![1000, 1005, 1006].includes(code)
    this.#isEnded = true
    this.#ended.resolve({
      code,
      opened: this.#isWelcomed || isSpoken,
      ...(this.#reconnectAfter && { reconnectAfter: this.#reconnectAfter }),
      ...(cause !== undefined && { cause }),
    })
  }

  #close(): void {
    this.#isEnded = true
    this.#isWelcomed = false
    this.#subscriptions.clear()
    this.#pacer.clear()
    this.#timers.clear()
    if (this.#socket && this.#socket.readyState <= isOpen) this.#socket.close(1000)
  }
}
