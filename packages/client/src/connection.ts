// The one connection of a client, shared by everything that is live. It decides which line is used and what the
// end of a line asks for; what is followed outlives every line.
//
//            join                      opened                  closed
//   idle ──────────▶ connecting ───────────────▶ open ────────────────────────┐
//    ▲                 │  ▲  │ never opened                                   │
//    │ nobody follows  │  │  └──▶ renew credentials once, then ──▶ waiting ◀──┤ 1xxx, 40xx (44xx renew first,
//    └─────────────────┘  └────────────────────────────────────────── │       │ 4429 for 30 s)
//                         │     wake, back-off over                           │
//                         └───────── reconnect() ────── stopped ◀─────────────┘ 45xx, 4409, 1009, signed out
import { verdictOf } from './close-codes.ts'
import { OriginRefusedError, SignedOutError, StoppedError, type StopReason } from './errors.ts'
import { retrySocket, windowOf, type Ending, type Ends, type Follower, type Line } from './line.ts'
import { Listeners } from './listeners.ts'
import type { Session } from './session.ts'
import type { Timing } from './timing.ts'
import { jitter, InterruptibleSleep } from './wait.ts'
import type { ClientFrame } from '../../../src/model/frames.ts'
import type { PresenceFrame, SignalFrame } from './wire.ts'

export type ConnectionState = 'idle' | 'connecting' | 'open' | 'waiting' | 'stopped'

interface ConnectionDeps {
  /** A new line, of this kind if there is one. After `pollForMs` polls make room for trying a socket. */
  line(kind: 'socket' | 'poll', ends: Ends, pollForMs: number): Line
  session: Session
  timing: Timing
}

/** Sockets that never open, one after another, before polling is tried. */
const socketPatience = 2

export class Connection implements Ends, Disposable {
  #state: ConnectionState = 'idle'
  #line: Line | null = null
  #run: AbortController | null = null
  #failures = 0
  #neverOpened = 0
  #isLost = false
  #openedAt = 0
  #kind: 'socket' | 'poll' = 'socket'
  #stop: StoppedError | null = null
  #isClosed = false
  /** The last line that was open ended with the restart of its server: one that does not open is no word on credentials. */
  #isRestarting = false
  /** The line is a socket that is tried in between, where polls work. */
  #isTrial = false
  /** Such trials since a socket was open: soon after an outage, rarely where sockets are blocked. */
  #trials = 0
  readonly #nap = new InterruptibleSleep()
  /** Everything that is live, followers or still to be. */
  readonly #residents = new Set<Follower>()
  readonly #followers = new Map<string, Follower>()
  readonly #watched = new Map<string, (frame: PresenceFrame | SignalFrame | null) => void>()
  readonly #listeners = new Listeners()

  constructor(private readonly deps: ConnectionDeps) {}

  get state(): ConnectionState {
    return this.#state
  }

  /** Whether a line failed, and no other is open yet. */
  get isAway(): boolean {
    return this.#state === 'waiting' || (this.#state === 'connecting' && this.#isLost)
  }

  /** Which line is used. */
  get kind(): 'socket' | 'poll' {
    return this.#line?.kind ?? this.#kind
  }

  /** Why it is stopped, or null. */
  get stopped(): StoppedError | null {
    return this.#stop
  }

  onChange(listener: () => void): () => void {
    return this.#listeners.add(listener)
  }

  /** Will be told when everything stops. False if it was, because the client is closed. */
  enter(follower: Follower): boolean {
    this.#residents.add(follower)
    if (this.#isClosed) follower.stopped('closed', null)
    return !this.#isClosed
  }

  /** Follows a scope from its cursor; again after its cursor changed. */
  join(follower: Follower): void {
    this.#followers.set(follower.scope, follower)
    if (this.#stop) return follower.stopped(this.#stop.reason, this.#stop.closeCode, this.#stop.cause)
    this.#line?.join(follower)
    this.#start()
  }

  leave(follower: Follower): void {
    this.#residents.delete(follower)
    if (this.#followers.get(follower.scope) !== follower) return
    this.#followers.delete(follower.scope)
    this.#line?.leave(follower)
    this.#restWhenAlone()
  }

  /** Hears what is told at a key, and null when the line there ended. False if it is watched already. */
  watch(key: string, listener: (frame: PresenceFrame | SignalFrame | null) => void): boolean {
    if (this.#watched.has(key)) return false
    if (this.#isClosed) return true
    this.#watched.set(key, listener)
    this.#line?.watch(key)
    this.#start()
    return true
  }

  unwatch(key: string): void {
    if (!this.#watched.delete(key)) return
    this.#line?.send({ t: 'unwatch', key })
    this.#restWhenAlone()
  }

  send(frame: ClientFrame): boolean {
    return this.#line?.send(frame) ?? false
  }

  /** Tries now: the network is back, the person signed in, or wants it so after a stop. */
  wake(): void {
    this.#stop = null
    if (!this.#run) this.#set('idle')
    this.#failures = 0
    this.#nap.wake()
    this.#start()
  }

  /** The device says that its network came or went: what seems open may be dead. */
  probe(): void {
    this.#line?.probe()
  }

  /** The person is gone, or is another one: nothing goes on under the old one's rights. */
  signOut(): void {
    this.#stopAll('signed_out', null)
    this.#run?.abort()
  }

  [Symbol.dispose](): void {
    this.#isClosed = true
    this.#run?.abort()
    for (const resident of this.#residents) resident.stopped('closed', null)
    for (const key of this.#watched.keys()) this.unseen(key)
    this.#watched.clear()
  }

  followers(): Iterable<Follower> {
    return this.#followers.values()
  }

  follower(scope: string): Follower | undefined {
    return this.#followers.get(scope)
  }

  watched(): Iterable<string> {
    return this.#watched.keys()
  }

  opened(): void {
    this.#openedAt = Date.now()
    this.#neverOpened = 0
    this.#isTrial = false
    this.#isLost = false
    if (this.#line?.kind === 'socket') this.#trials = 0
    this.#set('open')
  }

  drop(follower: Follower, reason: StopReason, cause?: unknown): void {
    this.#followers.delete(follower.scope)
    follower.stopped(reason, null, cause)
    this.#restWhenAlone()
  }

  ephemeral(frame: PresenceFrame | SignalFrame): void {
    this.#watched.get(frame.key)?.(frame)
  }

  unseen(key: string): void {
    this.#watched.get(key)?.(null)
  }

  #start(): void {
    const isWanted = this.#followers.size + this.#watched.size > 0
    if (this.#run || this.#stop || !isWanted) return
    const run = new AbortController()
    this.#run = run
    this.#isLost = false
    void this.#keepOpen(run.signal)
      .catch((cause: unknown) => this.#stopAll('refused', null, cause))
      .finally(() => {
        this.#run = null
        this.#line = null
        this.#set(this.#stop ? 'stopped' : 'idle')
        this.#start() // somebody may have come while this one ended
      })
  }

  #restWhenAlone(): void {
    if (this.#followers.size + this.#watched.size === 0) this.#run?.abort()
  }

  async #keepOpen(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#set('connecting')
      const line = this.deps.line(this.#kind, this, this.#pollForMs)
      this.#line = line
      this.#openedAt = Number.POSITIVE_INFINITY
      const ending = await line.run(signal)
      this.#line = null
      for (const key of this.#watched.keys()) this.unseen(key)
      if (signal.aborted) return
      const waitMs = await this.#judge(line.kind, ending, signal)
      if (waitMs === null || signal.aborted) return
      if (waitMs === 0) continue
      this.#isLost = true
      this.#set('waiting')
      await this.#nap.sleep(waitMs, signal).catch(() => {})
    }
  }

  get #pollForMs(): number {
    const { pollFrom, pollTo } = this.deps.timing
    return Math.min(pollTo, pollFrom * 2 ** Math.min(this.#trials, 30))
  }

  /** Milliseconds to wait before the next line; null to stop. */
  async #judge(kind: Line['kind'], ending: Ending, signal: AbortSignal): Promise<number | null> {
    const { code, opened, reconnectAfter, cause } = ending
    if (code === retrySocket) {
      this.#kind = 'socket'
      this.#isTrial = true
      this.#trials += 1
      this.#failures = 0
      return 0
    }
    const over = reasonOf(cause)
    if (over) return this.#stopAll(over, null, cause)
    if (this.#isTrial && !opened) {
      // As before: polls go on at once.
      this.#isTrial = false
      this.#kind = 'poll'
      return 0
    }
    const isStable = opened && Date.now() - this.#openedAt >= this.deps.timing.stable
    this.#failures = isStable ? 1 : this.#failures + 1
    const verdict = verdictOf(code)
    if (verdict.do === 'stop') return this.#stopAll(verdict.reason, code, cause)
    if (verdict.do === 'wait' && !reconnectAfter) return this.deps.timing.tooFast
    const isFirstRefusal = verdict.do !== 'wait' && this.#isFirstRefusal(kind, opened) && !this.#isRestarting
    if (opened) this.#isRestarting = code === 1001 || code === 1012
    let window = reconnectAfter
    if (verdict.do === 'renew' || (isFirstRefusal && this.deps.session.isRenewable)) {
      const failure = await this.#renew(signal)
      const end = reasonOf(failure)
      if (end) return this.#stopAll(end, code, failure)
      window = windowOf(failure, this.deps.timing).reconnectAfter ?? window
    }
    const { backOffFrom, backOffTo } = this.deps.timing
    const backOff = jitter(this.#failures, backOffFrom, backOffTo)
    if (!window) return backOff
    const [from, to] = window
    const asked = from + Math.random() * (to - from)
    return this.#failures > 1 ? Math.max(asked, backOff) : asked
  }

  /** Counts connections that never opened; decides between sockets and polls. */
  #isFirstRefusal(kind: Line['kind'], opened: boolean): boolean {
    if (opened) return false
    this.#neverOpened += 1
    this.#kind = kind === 'socket' && this.#neverOpened >= socketPatience ? 'poll' : 'socket'
    return kind === 'socket' && this.#neverOpened === 1
  }

  /** Returns why it failed, or null. What does not end the session is tried again with the next line. */
  async #renew(signal: AbortSignal): Promise<unknown> {
    try {
      await this.deps.session.renewHeld(signal)
      return null
    } catch (error) {
      return error
    }
  }

  #stopAll(reason: StopReason, closeCode: number | null, cause?: unknown): null {
    this.#stop = new StoppedError(reason, closeCode, cause)
    this.#set('stopped')
    for (const resident of this.#residents) resident.stopped(reason, closeCode, cause)
    return null
  }

  #set(state: ConnectionState): void {
    if (state === this.#state) return
    this.#state = state
    for (const follower of this.#followers.values()) follower.connectionChanged()
    this.#listeners.tell()
  }
}

/** Why everything has to stop where the credentials failed so; null where trying again may help. */
const reasonOf = (failure: unknown): StopReason | null => {
  if (failure instanceof SignedOutError) return 'signed_out'
  return failure instanceof OriginRefusedError ? 'origin_refused' : null
}
