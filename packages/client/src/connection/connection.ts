// The one connection of a client, shared by everything that is live. It decides which transport is used and what the
// end of a transport asks for; what is followed outlives every transport.
//
//            join                      opened                  closed
//   idle ──────────▶ connecting ───────────────▶ open ────────────────────────┐
//    ▲                 │  ▲  │ never opened                                   │
//    │ unused          │  │  └──▶ renew credentials once, then ──▶ waiting ◀──┤ 1xxx, 40xx (44xx renew first,
//    └─────────────────┘  └────────────────────────────────────────── │       │ 4429 for 30 s)
//                         │     wake, back-off over                           │
//                         └───────── reconnect() ────── stopped ◀─────────────┘ 45xx, 4409, 1009, signed out
import { verdictOf } from './close-codes.ts'
import { OriginRefusedError, SignedOutError, StoppedError, type StopReason } from '../errors.ts'
import {
  socketRetryCode,
  retryWindowOf,
  type Ending,
  type TransportOwner,
  type Subscriber,
  type Transport,
} from './transport.ts'
import { Listeners } from '../async/listeners.ts'
import type { Session } from '../session.ts'
import type { Timing } from '../timing.ts'
import { fullJitterMs, InterruptibleSleep } from '../async/wait.ts'
import type { ClientFrame } from '../../../../src/model/frames.ts'
import type { PresenceFrame, SignalFrame } from './frames.ts'

export type ConnectionState = 'idle' | 'connecting' | 'open' | 'waiting' | 'stopped'

export interface Retry {
  closeCode: number
  inMs: number
}

/** What programs see of a connection. */
export interface ConnectionStatus {
  /** `idle` while nothing is followed, `waiting` between two attempts, `stopped` until `client.reconnect()`. */
  readonly state: ConnectionState
  /** Which transport is used. */
  readonly kind: 'socket' | 'poll'
  /** Why it stopped, or null. */
  readonly stopped: StoppedError | null
  /** While `waiting`: why, and for how long. */
  readonly retry: Retry | null
  /** Calls the listener after each change of `state`; returns how to end that. */
  onChange(listener: () => void): () => void
}

interface ConnectionDeps {
  /** A new transport, of this kind if there is one. After `pollForMs` polls make room for trying a socket. */
  createTransport(kind: 'socket' | 'poll', owner: TransportOwner, pollForMs: number): Transport
  session: Session
  timing: Timing
}

/** Sockets that never open, one after another, before polling is tried. */
const maxUnopenedSockets = 2

export class Connection implements ConnectionStatus, TransportOwner, Disposable {
  #state: ConnectionState = 'idle'
  #transport: Transport | null = null
  #run: AbortController | null = null
  #failures = 0
  #unopenedSockets = 0
  #hasFailed = false
  #retry: Retry | null = null
  #openedAt = 0
  #kind: 'socket' | 'poll' = 'socket'
  #stopCause: StoppedError | null = null
  #isClosed = false
  /** The last transport that was open ended with the restart of its server: one that does not open is no word on credentials. */
  #isRestarting = false
  /** The transport is a socket that is tried in between, where polls work. */
  #isSocketTrial = false
  /** Such trials since a socket was open: soon after an outage, rarely where sockets are blocked. */
  #socketTrials = 0
  readonly #retryDelay = new InterruptibleSleep()
  /** Everything that is live, subscribers or still to be. */
  readonly #registered = new Set<Subscriber>()
  readonly #subscribers = new Map<string, Subscriber>()
  readonly #watches = new Map<string, (frame: PresenceFrame | SignalFrame | null) => void>()
  readonly #listeners = new Listeners()

  constructor(private readonly deps: ConnectionDeps) {}

  get state(): ConnectionState {
    return this.#state
  }

  /** While `waiting`: the close code that ended the last transport, and the milliseconds from then to the next one. */
  get retry(): Retry | null {
    return this.#state === 'waiting' ? this.#retry : null
  }

  /** Whether a transport failed, and no other is open yet. */
  get isOffline(): boolean {
    return this.#state === 'waiting' || (this.#state === 'connecting' && this.#hasFailed)
  }

  /** Which transport is used. */
  get kind(): 'socket' | 'poll' {
    return this.#transport?.kind ?? this.#kind
  }

  /** Why it is stopped, or null. */
  get stopped(): StoppedError | null {
    return this.#stopCause
  }

  onChange(listener: () => void): () => void {
    return this.#listeners.add(listener)
  }

  /** Registers a subscriber for `stopped`, before it subscribes. False, after calling `stopped`, if the client is closed. */
  register(subscriber: Subscriber): boolean {
    this.#registered.add(subscriber)
    if (this.#isClosed) subscriber.stopped('closed', null)
    return !this.#isClosed
  }

  /** Follows a scope from its cursor; again after its cursor changed. */
  subscribe(subscriber: Subscriber): void {
    this.#subscribers.set(subscriber.scope, subscriber)
    if (this.#stopCause)
      return subscriber.stopped(this.#stopCause.reason, this.#stopCause.closeCode, this.#stopCause.cause)
    this.#transport?.subscribe(subscriber)
    this.#start()
  }

  unsubscribe(subscriber: Subscriber): void {
    this.#registered.delete(subscriber)
    if (this.#subscribers.get(subscriber.scope) !== subscriber) return
    this.#subscribers.delete(subscriber.scope)
    this.#transport?.unsubscribe(subscriber)
    this.#closeWhenUnused()
  }

  /** Passes presence and signal frames of a key to the listener, null when the watch ended. False if the key is watched. */
  watch(key: string, listener: (frame: PresenceFrame | SignalFrame | null) => void): boolean {
    if (this.#watches.has(key)) return false
    if (this.#isClosed) return true
    this.#watches.set(key, listener)
    this.#transport?.watch(key)
    this.#start()
    return true
  }

  unwatch(key: string): void {
    if (!this.#watches.delete(key)) return
    this.#transport?.send({ t: 'unwatch', key })
    this.#closeWhenUnused()
  }

  send(frame: ClientFrame): boolean {
    return this.#transport?.send(frame) ?? false
  }

  /** Tries now: the network is back, the person signed in, or wants it so after a stop. */
  wake(): void {
    this.#stopCause = null
    if (!this.#run) this.#setState('idle')
    this.#failures = 0
    this.#retryDelay.wake()
    this.#start()
  }

  /** The network of the device changed: an open socket may be dead. */
  probe(): void {
    this.#transport?.probe()
  }

  /** The person is gone, or is another one: nothing goes on under the old one's rights. */
  signOut(): void {
    this.#stopAll('signed_out', null)
    this.#run?.abort()
  }

  [Symbol.dispose](): void {
    this.#isClosed = true
    this.#run?.abort()
    for (const resident of this.#registered) resident.stopped('closed', null)
    for (const key of this.#watches.keys()) this.watchEnded(key)
    this.#watches.clear()
  }

  subscribers(): Iterable<Subscriber> {
    return this.#subscribers.values()
  }

  subscriber(scope: string): Subscriber | undefined {
    return this.#subscribers.get(scope)
  }

  watchedKeys(): Iterable<string> {
    return this.#watches.keys()
  }

  scopeResolved(subscriber: Subscriber, scope: string): void {
    if (subscriber.scope === scope) return
    this.#subscribers.delete(subscriber.scope)
    this.#subscribers.get(scope)?.stopped('closed', null)
    this.#subscribers.set(scope, subscriber)
  }

  opened(): void {
    this.#openedAt = Date.now()
    this.#unopenedSockets = 0
    this.#isSocketTrial = false
    this.#hasFailed = false
    if (this.#transport?.kind === 'socket') this.#socketTrials = 0
    this.#setState('open')
  }

  endSubscriber(subscriber: Subscriber, reason: StopReason, cause?: unknown): void {
    this.#subscribers.delete(subscriber.scope)
    subscriber.stopped(reason, null, cause)
    this.#closeWhenUnused()
  }

  presenceReceived(frame: PresenceFrame | SignalFrame): void {
    this.#watches.get(frame.key)?.(frame)
  }

  watchEnded(key: string): void {
    this.#watches.get(key)?.(null)
  }

  #start(): void {
    const isWanted = this.#subscribers.size + this.#watches.size > 0
    if (this.#run || this.#stopCause || !isWanted) return
    const run = new AbortController()
    this.#run = run
    this.#hasFailed = false
    void this.#keepOpen(run.signal)
      .catch((cause: unknown) => this.#stopAll('refused', null, cause))
      .finally(() => {
        this.#run = null
        this.#transport = null
        this.#setState(this.#stopCause ? 'stopped' : 'idle')
        this.#start() // a subscriber may have arrived while this run ended
      })
  }

  #closeWhenUnused(): void {
    if (this.#subscribers.size + this.#watches.size === 0) this.#run?.abort()
  }

  async #keepOpen(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#setState('connecting')
      const transport = this.deps.createTransport(this.#kind, this, this.#pollForMs)
      this.#transport = transport
      this.#openedAt = Number.POSITIVE_INFINITY
      const ending = await transport.run(signal)
      this.#transport = null
      for (const key of this.#watches.keys()) this.watchEnded(key)
      if (signal.aborted) return
      const waitMs = await this.#retryDelayMs(transport.kind, ending, signal)
      if (waitMs === null || signal.aborted) return
      if (waitMs === 0) continue
      this.#hasFailed = true
      this.#retry = { closeCode: ending.code, inMs: waitMs }
      this.#setState('waiting')
      await this.#retryDelay.sleep(waitMs, signal).catch(() => {})
    }
  }

  get #pollForMs(): number {
    const { pollBaseMs, pollMaxMs } = this.deps.timing
    return Math.min(pollMaxMs, pollBaseMs * 2 ** Math.min(this.#socketTrials, 30))
  }

  /** Milliseconds to wait before the next transport; null to stop. */
  async #retryDelayMs(kind: Transport['kind'], ending: Ending, signal: AbortSignal): Promise<number | null> {
    const { code, opened, reconnectAfter, cause } = ending
    if (code === socketRetryCode) {
      this.#kind = 'socket'
      this.#isSocketTrial = true
      this.#socketTrials += 1
      this.#failures = 0
      return 0
    }
    const over = stopReasonOf(cause)
    if (over) return this.#stopAll(over, null, cause)
    if (this.#isSocketTrial && !opened) {
      // As before: polls go on at once.
      this.#isSocketTrial = false
      this.#kind = 'poll'
      return 0
    }
    const isStable = opened && Date.now() - this.#openedAt >= this.deps.timing.stableMs
    this.#failures = isStable ? 1 : this.#failures + 1
    const verdict = verdictOf(code)
    if (verdict.do === 'stop') return this.#stopAll(verdict.reason, code, cause)
    if (verdict.do === 'wait' && !reconnectAfter) return this.deps.timing.tooFastMs
    const isFirstRefusal = verdict.do !== 'wait' && this.#countUnopened(kind, opened) && !this.#isRestarting
    if (opened) this.#isRestarting = code === 1001 || code === 1012
    let window = reconnectAfter
    if (verdict.do === 'renew' || (isFirstRefusal && this.deps.session.isRenewable)) {
      const failure = await this.#renew(signal)
      const end = stopReasonOf(failure)
      if (end) return this.#stopAll(end, code, failure)
      window = retryWindowOf(failure, this.deps.timing).reconnectAfter ?? window
    }
    const { backOffBaseMs, backOffMaxMs } = this.deps.timing
    const backOff = fullJitterMs(this.#failures, backOffBaseMs, backOffMaxMs)
    if (!window) return backOff
    const [from, to] = window
    const asked = from + Math.random() * (to - from)
    return this.#failures > 1 ? Math.max(asked, backOff) : asked
  }

  /** Counts connections that never opened; decides between sockets and polls. */
  #countUnopened(kind: Transport['kind'], opened: boolean): boolean {
    if (opened) return false
    this.#unopenedSockets += 1
    this.#kind = kind === 'socket' && this.#unopenedSockets >= maxUnopenedSockets ? 'poll' : 'socket'
    return kind === 'socket' && this.#unopenedSockets === 1
  }

  /** Returns why it failed, or null. What does not end the session is tried again with the next transport. */
  async #renew(signal: AbortSignal): Promise<unknown> {
    try {
      await this.deps.session.renewCurrent(signal)
      return null
    } catch (error) {
      return error
    }
  }

  #stopAll(reason: StopReason, closeCode: number | null, cause?: unknown): null {
    this.#stopCause = new StoppedError(reason, closeCode, cause)
    this.#setState('stopped')
    for (const resident of this.#registered) resident.stopped(reason, closeCode, cause)
    return null
  }

  #setState(state: ConnectionState): void {
    if (state === this.#state) return
    this.#state = state
    for (const subscriber of this.#subscribers.values()) subscriber.connectionChanged()
    this.#listeners.emit()
  }
}

/** Why everything has to stop where the credentials failed so; null where trying again may help. */
const stopReasonOf = (failure: unknown): StopReason | null => {
  if (failure instanceof SignedOutError) return 'signed_out'
  return failure instanceof OriginRefusedError ? 'origin_refused' : null
}
