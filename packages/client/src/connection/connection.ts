// The one connection of a client, shared by everything that is live: opens a transport while anything is followed, and
// asks its retry policy what follows the end of one. Invariants: at most one transport runs at a time, and what is
// followed outlives every transport. The states are in connection-state.ts.
import { StoppedError, type StopReason } from '../errors.ts'
import { Listeners } from '../async/listeners.ts'
import { InterruptiblePause } from '../async/pause.ts'
import type { Session } from '../session.ts'
import type { Timing } from '../timing.ts'
import { transitions, type ConnectionEvent } from './connection-state.ts'
import { Followed, type WatchListener } from './followed.ts'
import { RetryPolicy } from './retry-policy.ts'
import { TransportChoice } from './transport-choice.ts'
import type { TransportOwner } from './transport-owner.ts'
import type { Subscriber, Transport } from './transport.ts'
import type { ClientFrame } from '../../../../src/model/frames.ts'

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
  /** Calls the listener after each change of `state`; returns a function that removes it. */
  onChange(listener: () => void): () => void
}

interface ConnectionDeps {
  /** A new transport, of this kind if there is one. After `pollForMs` polls make room for trying a socket. */
  createTransport(kind: 'socket' | 'poll', owner: TransportOwner, pollForMs: number): Transport
  session: Session
  timing: Timing
}

export class Connection implements ConnectionStatus, TransportOwner, Disposable {
  readonly followed = new Followed()
  #state: ConnectionState = 'idle'
  #transport: Transport | null = null
  /** Aborts the loop that keeps a transport open; null while none runs. */
  #run: AbortController | null = null
  /** A transport of this run failed, and none has opened since. */
  #hasFailed = false
  #retry: Retry | null = null
  #stopCause: StoppedError | null = null
  #isClosed = false
  readonly #choice: TransportChoice
  readonly #retryPolicy: RetryPolicy
  readonly #retryPause = new InterruptiblePause()
  readonly #listeners = new Listeners()

  constructor(private readonly deps: ConnectionDeps) {
    this.#choice = new TransportChoice(deps.timing)
    this.#retryPolicy = new RetryPolicy(this.#choice, deps.session, deps.timing)
  }

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
    return this.#transport?.kind ?? this.#choice.kind
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
    this.followed.register(subscriber)
    if (this.#isClosed) subscriber.stopped('closed', null)
    return !this.#isClosed
  }

  /** Follows a scope from its cursor; again after its cursor changed. */
  subscribe(subscriber: Subscriber): void {
    this.followed.subscribe(subscriber)
    if (this.#stopCause)
      return subscriber.stopped(this.#stopCause.reason, this.#stopCause.closeCode, this.#stopCause.cause)
    this.#transport?.subscribe(subscriber)
    this.#start()
  }

  unsubscribe(subscriber: Subscriber): void {
    if (!this.followed.unsubscribe(subscriber)) return
    this.#transport?.unsubscribe(subscriber)
    this.#closeWhenUnused()
  }

  /** Passes presence and signal frames of a key to the listener, null when the watch ended. False if the key is watched. */
  watch(key: string, listener: WatchListener): boolean {
    if (this.followed.isWatched(key)) return false
    if (this.#isClosed) return true
    this.followed.watch(key, listener)
    this.#transport?.watch(key)
    this.#start()
    return true
  }

  unwatch(key: string): void {
    if (!this.followed.unwatch(key)) return
    this.#transport?.send({ t: 'unwatch', key })
    this.#closeWhenUnused()
  }

  send(frame: ClientFrame): boolean {
    return this.#transport?.send(frame) ?? false
  }

  /** Tries now: the network is back, the user signed in, or the program asks for it after a stop. */
  wake(): void {
    this.#stopCause = null
    if (!this.#run) this.#dispatch('ended')
    this.#retryPolicy.reset()
    this.#retryPause.wake()
    this.#start()
  }

  /** The network of the device changed: an open socket may be dead. */
  probe(): void {
    this.#transport?.probe()
  }

  /** The user signed out, or another one signed in: nothing continues with the rights of the former user. */
  signOut(): void {
    this.#stopAll('signed_out', null)
    this.#run?.abort()
  }

  [Symbol.dispose](): void {
    this.#isClosed = true
    this.#run?.abort()
    this.followed.stopAll('closed', null)
    this.followed.allWatchesEnded()
    this.followed.clearWatches()
  }

  opened(): void {
    this.#hasFailed = false
    this.#retryPolicy.opened()
    this.#choice.opened(this.#transport?.kind)
    this.#dispatch('opened')
  }

  endSubscriber(subscriber: Subscriber, reason: StopReason, cause?: unknown): void {
    this.followed.drop(subscriber)
    subscriber.stopped(reason, null, cause)
    this.#closeWhenUnused()
  }

  #start(): void {
    if (this.#run || this.#stopCause || this.followed.isEmpty) return
    const run = new AbortController()
    this.#run = run
    this.#hasFailed = false
    void this.#keepOpen(run.signal)
      .catch((cause: unknown) => this.#stopAll('refused', null, cause))
      .finally(() => {
        this.#run = null
        this.#transport = null
        this.#dispatch(this.#stopCause ? 'refused' : 'ended')
        this.#start() // a subscriber may have arrived while this run ended
      })
  }

  #closeWhenUnused(): void {
    if (this.followed.isEmpty) this.#run?.abort()
  }

  async #keepOpen(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#dispatch('attempt')
      const transport = this.deps.createTransport(this.#choice.kind, this, this.#choice.pollForMs)
      this.#transport = transport
      this.#retryPolicy.attemptStarted()
      const ending = await transport.run(signal)
      this.#transport = null
      this.followed.allWatchesEnded()
      if (signal.aborted) return
      const next = await this.#retryPolicy.stepAfter(transport.kind, ending, signal)
      if (next.do === 'stop') return this.#stopAll(next.reason, next.closeCode, next.cause)
      if (signal.aborted) return
      if (next.inMs === 0) continue
      this.#hasFailed = true
      this.#retry = { closeCode: ending.code, inMs: next.inMs }
      this.#dispatch('failed')
      await this.#retryPause.wait(next.inMs, signal)
    }
  }

  #stopAll(reason: StopReason, closeCode: number | null, cause?: unknown): void {
    this.#stopCause = new StoppedError(reason, closeCode, cause)
    this.#dispatch('refused')
    this.followed.stopAll(reason, closeCode, cause)
  }

  #dispatch(event: ConnectionEvent): void {
    const next = transitions[this.#state][event]
    if (next === this.#state) return
    this.#state = next
    this.followed.connectionChanged()
    this.#listeners.emit()
  }
}
