// Keeps a scope's state equal to the server's: a snapshot, then every event after it. Invariants: it resumes only from a
// confirmed cursor (event-sequence.ts), ignores duplicates by number or version, and installs no snapshot older than
// what it has shown. So no failure of a transport leaves a hole or shows an older state.
//
//   loading ──snapshot──▶ joining ──sub──▶ replaying ──synced──▶ live
//     ▲  ▲                   ▲                 │                  │
//     │  └── resync ─────────┼─────────────────┴──────────────────┤
//     │                      └── connection lost, or count differs ┘
//     └─ any, on 404, revocation, 45xx, dispose ──▶ stopped
import { deferred } from '../async/deferred.ts'
import type { Connection } from '../connection/connection.ts'
import {
  ApiError,
  InvalidArgumentError,
  OriginRefusedError,
  SignedOutError,
  StoppedError,
  type StopReason,
} from '../errors.ts'
import { isNotFound, isRetryable } from '../http/http-client.ts'
import { PersistedView, type PersistedState, type PersistedViews } from './persisted-views.ts'
import type { Subscribed, Subscriber } from '../connection/transport.ts'
import type { LoadedSnapshot, ScopeModel } from './scope-model.ts'
import { SnapshotReader } from './snapshot-reader.ts'
import type { Timing } from '../timing.ts'
import { EventSequence } from '../connection/event-sequence.ts'
import type { Event } from '../connection/frames.ts'

/** `stale`: the state was stored by an earlier run and the server has not answered yet. */
export type LiveState = 'connecting' | 'stale' | 'live' | 'catching-up' | 'offline' | 'stopped'

type Phase = 'loading' | 'joining' | 'replaying' | 'live' | 'stopped'

/** Events that may arrive unconfirmed. */
const maxUnconfirmed = 20_000

export class Replica implements Subscriber {
  scope = ''
  #phase: Phase = 'loading'
  #isLoaded = false
  #wasLive = false
  #isResubscribing = false
  #isSnapshotFailing = false
  #references = 0
  /** Closed by its holders, not with the whole client. */
  #isReleased = false
  readonly #sequence = new EventSequence()
  #liveAt = 0
  readonly #ended = new AbortController()
  readonly #snapshots: SnapshotReader
  readonly #ready = deferred<void>()
  readonly #persisted: PersistedView
  error: StoppedError | null = null
  /** When what is shown was kept, while nothing newer is known; RFC 3339. */
  staleSince: string | null = null

  constructor(
    private readonly model: ScopeModel,
    private readonly connection: Connection,
    private readonly timing: Timing,
    kept: { views: PersistedViews; key: string },
  ) {
    this.#snapshots = new SnapshotReader(
      {
        load: (signal) => model.load(signal),
        isOld: (cursor) => this.#sequence.isBeforeLatest(cursor),
        isFinal: (error) => this.#stopIfFinal(error),
        failed: () => this.#setSnapshotFailing(true),
      },
      timing,
      this.#ended.signal,
    )
    this.#persisted = new PersistedView(kept.views, kept.key, () => this.#dump())
    this.#ready.promise.catch(() => {}) // a caller that awaits `ready` receives the rejection
  }

  /** Called once, when the model can receive calls. */
  start(): void {
    if (!this.connection.register(this)) return
    if (this.#persisted.isEnabled) void this.#restoreOrReload()
    else void this.#reload()
  }

  /** One more holder, until it releases or its signal ends. */
  retain(signal: AbortSignal | undefined): void {
    this.#references += 1
    if (signal?.aborted) this.release()
    else signal?.addEventListener('abort', () => this.release(), { once: true, signal: this.#ended.signal })
  }

  /** The last one out ends it. */
  release(): void {
    this.#references -= 1
    if (this.#references > 0) return
    this.#isReleased = true
    this.stopped('closed', null)
  }

  /**
   * Resolves with the first snapshot, and when the program closes the view before it is there: closing is no failure,
   * and an effect that awaits it has no handler for it. Rejects with StoppedError for any other end, and where it is asked
   * for after the whole client was closed.
   */
  get ready(): Promise<void> {
    const isTooLate = this.error?.reason === 'closed' && !this.#isReleased && !this.#isLoaded
    if (!isTooLate) return this.#ready.promise
    const late = Promise.reject<void>(this.error)
    late.catch(() => {})
    return late
  }

  get signal(): AbortSignal {
    return this.#ended.signal
  }

  get state(): LiveState {
    if (this.#phase === 'stopped') return 'stopped'
    if (this.staleSince !== null) return 'stale'
    if (this.#isSnapshotFailing || this.connection.isOffline) return 'offline'
    if (this.#phase === 'live') return 'live'
    const isKnown = this.#wasLive || this.connection.state === 'open'
    return this.#isLoaded && isKnown ? 'catching-up' : 'connecting'
  }

  /** Whether missed events are arriving. */
  get isReplaying(): boolean {
    return this.#phase === 'replaying'
  }

  get isReady(): boolean {
    return this.cursor !== null
  }

  get cursor(): string | null {
    return this.#phase === 'loading' || this.#phase === 'stopped' ? null : this.#sequence.cursor
  }

  subscribed({ replay }: Subscribed): void {
    if (this.#phase === 'stopped') return
    this.#sequence.subscribed(replay)
    this.#setPhase('replaying')
  }

  event(event: Event): void {
    if (this.#phase !== 'replaying' && this.#phase !== 'live') return
    if (!this.#sequence.receive(event.cursor)) return
    if (this.#sequence.unconfirmedCount > maxUnconfirmed) return this.resync()
    this.#persisted.changed()
    if (event.type !== 'scope.refetch') return this.model.apply(event)
    // Changes that had no events of their own. What comes until the snapshot is here comes again after it.
    void this.#reload()
  }

  synced(cursor: string, more = false): void {
    if (this.#phase !== 'replaying' && this.#phase !== 'live') return
    if (!this.#sequence.isReplayComplete) return this.#resubscribe()
    this.#confirm(cursor)
    if (!more) this.#setPhase('live')
  }

  position(cursor: string, count: number): void {
    if (this.#phase !== 'live') return
    if (this.#sequence.count === count) this.#confirm(cursor)
    else this.#resubscribe()
  }

  resync(): void {
    if (this.#phase !== 'stopped') void this.#reload()
  }

  stopped(reason: StopReason, closeCode: number | null, cause?: unknown): void {
    if (this.#phase === 'stopped') return
    const isTaken = reason === 'not_found' && this.#isLoaded // HTTP calls it the same
    this.error = new StoppedError(isTaken ? 'revoked' : reason, closeCode, cause)
    const isGone = reason === 'revoked' || reason === 'not_found'
    if (isGone) this.#persisted.remove()
    else if (reason === 'closed') this.#persisted.close()
    else this.#persisted.stop()
    this.#phase = 'stopped'
    this.connection.unsubscribe(this)
    this.#ended.abort(this.error)
    if (reason === 'closed') this.#ready.resolve()
    else this.#ready.reject(this.error)
    // A stored state is shown only to its owner, who is unknown without a session.
    if (isGone || (reason === 'signed_out' && this.staleSince !== null)) {
      this.staleSince = null
      this.model.purge()
    }
    this.model.changed()
  }

  connectionChanged(): void {
    const { state } = this.connection
    if (state === 'open') {
      if (this.#isSnapshotFailing) this.#snapshots.wake()
    } else if (this.#phase === 'replaying' || this.#phase === 'live') this.#phase = 'joining'
    this.model.changed()
  }

  /** Events were lost: subscribes again from the confirmed cursor; if they are lost again, reads the snapshot. */
  #resubscribe(): void {
    if (this.#isResubscribing) return this.resync()
    this.#isResubscribing = true
    this.#setPhase('joining')
    this.connection.subscribe(this)
  }

  #confirm(cursor: string): void {
    this.#isResubscribing = false
    this.#sequence.confirm(cursor)
    this.model.confirmed(cursor)
    this.#persisted.changed()
  }

  #setPhase(phase: Phase): void {
    if (phase === this.#phase) return
    this.#phase = phase
    if (phase === 'live') {
      this.staleSince = null
      this.#wasLive = true
      this.#liveAt = Date.now()
    }
    this.model.changed()
  }

  async #reload(): Promise<void> {
    if (this.#phase === 'live' && Date.now() - this.#liveAt >= this.timing.stableMs) this.#snapshots.reset()
    this.#setPhase('loading')
    const loaded = await this.#snapshots.read()
    if (loaded) this.#install(loaded)
  }

  #stopIfFinal(error: unknown): boolean {
    if (this.#ended.signal.aborted) return true
    if (error instanceof SignedOutError) this.stopped('signed_out', null, error)
    else if (error instanceof OriginRefusedError) this.stopped('origin_refused', null, error)
    else if (isNotFound(error)) this.stopped('not_found', null, error)
    else if (error instanceof InvalidArgumentError) this.stopped('refused', null, error)
    else if (error instanceof ApiError && !isRetryable(error) && error.status < 500)
      this.stopped('refused', null, error)
    return this.error !== null
  }

  /** Shows what an earlier run kept and goes on from its cursor; without it, reads the snapshot. */
  async #restoreOrReload(): Promise<void> {
    const kept = await this.#persisted.load()
    if (this.#phase === 'stopped') return
    if (!kept || !this.model.restore(kept.state)) return this.#reload()
    this.staleSince = kept.at
    this.#resumeFrom(kept)
  }

  #dump(): PersistedState | null {
    const { scope, cursor } = this
    if (!this.#isLoaded || cursor === null) return null
    const state = this.model.dump()
    return state === null ? null : { scope, cursor, at: new Date().toISOString(), state }
  }

  #install(loaded: LoadedSnapshot): void {
    if (this.#phase === 'stopped') return
    loaded.install()
    this.staleSince = null
    this.model.confirmed(loaded.cursor)
    this.#persisted.changed()
    this.#resumeFrom(loaded)
  }

  #resumeFrom({ scope, cursor }: { scope: string; cursor: string }): void {
    this.scope = scope
    this.#sequence.restart(cursor)
    this.#phase = 'joining'
    this.#isSnapshotFailing = false
    this.#isLoaded = true
    this.#isResubscribing = false
    this.model.changed()
    this.#ready.resolve()
    this.connection.subscribe(this)
  }

  #setSnapshotFailing(isAway: boolean): void {
    if (isAway === this.#isSnapshotFailing) return
    this.#isSnapshotFailing = isAway
    this.model.changed()
  }
}
