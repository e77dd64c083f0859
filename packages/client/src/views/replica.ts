// Keeps a scope's state equal to the server's: a snapshot, then every event after it. Invariants: it resumes only from a
// confirmed cursor (event-sequence.ts), ignores duplicates by number or version, and installs no snapshot older than
// the state it has shown. So no failure of a transport leaves a hole or shows an older state.
//
//   loading ──snapshot──▶ joining ──sub──▶ replaying ──synced──▶ live
//     ▲  ▲                   ▲                 │                  │
//     │  └── resync ─────────┼─────────────────┴──────────────────┤
//     │                      └── connection lost, or count differs ┘
//     └─ any, on 404, revocation, 45xx, dispose ──▶ stopped
import { StoppedError, type StopReason } from '../errors.ts'
import type { Connection } from '../connection/connection.ts'
import { EventSequence } from '../connection/event-sequence.ts'
import type { Event } from '../connection/frames.ts'
import type { Subscribed, Subscriber } from '../connection/transport.ts'
import { stopReasonOfSnapshot } from '../stop-reasons.ts'
import type { Timing } from '../timing.ts'
import { PersistedView } from './persisted-view.ts'
import type { PersistedState, PersistedViews } from './persisted-views.ts'
import type { LoadedSnapshot, ScopeModel } from './scope-model.ts'
import { SnapshotReader } from './snapshot-reader.ts'
import { ViewLifetime } from './view-lifetime.ts'

/** `stale`: the state was stored by an earlier run and the server has not answered yet. */
export type LiveState = 'connecting' | 'stale' | 'live' | 'catching-up' | 'offline' | 'stopped'

type Phase = 'loading' | 'joining' | 'replaying' | 'live' | 'stopped'

interface ReplicaDeps {
  model: ScopeModel
  /** The model, or the state of the connection, may have changed. */
  changed(): void
  connection: Connection
  timing: Timing
  persisted: { views: PersistedViews; key: string }
}

/** Events that may arrive unconfirmed. */
const maxUnconfirmed = 20_000

export class Replica implements Subscriber {
  scope = ''
  #phase: Phase = 'loading'
  #wasLive = false
  #isResubscribing = false
  #isSnapshotFailing = false
  #liveAt = 0
  readonly lifetime = new ViewLifetime(() => this.stopped('closed', null))
  readonly #sequence = new EventSequence()
  readonly #snapshots: SnapshotReader
  readonly #persisted: PersistedView
  /** When the shown state was stored, while the server has not answered since; RFC 3339. */
  staleSince: string | null = null

  constructor(private readonly deps: ReplicaDeps) {
    const { model, timing, persisted } = deps
    this.#snapshots = new SnapshotReader(
      {
        load: (signal) => model.load(signal),
        isOld: (cursor) => this.#sequence.isBeforeLatest(cursor),
        isFinal: (error) => this.#stopIfFinal(error),
        failed: () => this.#setSnapshotFailing(true),
      },
      timing,
      this.lifetime.signal,
    )
    this.#persisted = new PersistedView(persisted.views, persisted.key, () => this.#dump())
  }

  /** Called once, when the model can receive calls. */
  start(): void {
    if (!this.deps.connection.register(this)) return
    if (this.#persisted.isEnabled) void this.#restoreOrReload()
    else void this.#reload()
  }

  get state(): LiveState {
    if (this.#phase === 'stopped') return 'stopped'
    if (this.staleSince !== null) return 'stale'
    if (this.#isSnapshotFailing || this.deps.connection.isOffline) return 'offline'
    if (this.#phase === 'live') return 'live'
    const isKnown = this.#wasLive || this.deps.connection.state === 'open'
    return this.lifetime.isLoaded && isKnown ? 'catching-up' : 'connecting'
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
    if (event.type !== 'scope.refetch') return this.deps.model.apply(event)
    // Changes without events of their own. Events that arrive before the snapshot are replayed after it.
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
    const { connection, model } = this.deps
    // HTTP answers 404 too when the right to read ended.
    const isRevoked = reason === 'not_found' && this.lifetime.isLoaded
    const isGone = reason === 'revoked' || reason === 'not_found'
    if (isGone) this.#persisted.remove()
    else if (reason === 'closed') this.#persisted.close()
    else this.#persisted.stop()
    this.#phase = 'stopped'
    connection.unsubscribe(this)
    const error = new StoppedError(isRevoked ? 'revoked' : reason, closeCode, cause)
    this.lifetime.end(error)
    // A stored state is shown only to its owner, who is unknown without a session.
    if (isGone || (reason === 'signed_out' && this.staleSince !== null)) {
      this.staleSince = null
      model.purge(error)
    }
    this.deps.changed()
  }

  connectionChanged(): void {
    const { state } = this.deps.connection
    if (state === 'open') {
      if (this.#isSnapshotFailing) this.#snapshots.wake()
    } else if (this.#phase === 'replaying' || this.#phase === 'live') this.#phase = 'joining'
    this.deps.changed()
  }

  /** Events were lost: subscribes again from the confirmed cursor; if they are lost again, reads the snapshot. */
  #resubscribe(): void {
    if (this.#isResubscribing) return this.resync()
    this.#isResubscribing = true
    this.#setPhase('joining')
    this.#subscribe()
  }

  #confirm(cursor: string): void {
    this.#isResubscribing = false
    this.#sequence.confirm(cursor)
    this.deps.model.confirmed(cursor)
    this.#persisted.changed()
  }

  #setPhase(phase: Phase): void {
    if (phase === this.#phase || this.#phase === 'stopped') return
    this.#phase = phase
    if (phase === 'live') {
      this.staleSince = null
      this.#wasLive = true
      this.#liveAt = Date.now()
    }
    this.deps.changed()
  }

  async #reload(): Promise<void> {
    if (this.#phase === 'live' && Date.now() - this.#liveAt >= this.deps.timing.stableMs)
      this.#snapshots.reset()
    this.#setPhase('loading')
    const loaded = await this.#snapshots.read()
    if (loaded) this.#install(loaded)
  }

  #stopIfFinal(error: unknown): boolean {
    const { signal } = this.lifetime
    const reason = signal.aborted ? null : stopReasonOfSnapshot(error)
    if (reason) this.stopped(reason, null, error)
    return signal.aborted
  }

  /** Shows the state that an earlier run stored and resumes from its cursor; without one, reads the snapshot. */
  async #restoreOrReload(): Promise<void> {
    const stored = await this.#persisted.load()
    if (this.#phase === 'stopped') return
    if (!stored || !this.deps.model.restore(stored.state)) return this.#reload()
    this.staleSince = stored.at
    this.#resumeFrom(stored)
  }

  #dump(): PersistedState | null {
    const { scope, cursor } = this
    if (!this.lifetime.isLoaded || cursor === null) return null
    const state = this.deps.model.dump()
    return state === null ? null : { scope, cursor, at: new Date().toISOString(), state }
  }

  #install(loaded: LoadedSnapshot): void {
    if (this.#phase === 'stopped') return
    loaded.install()
    this.staleSince = null
    this.deps.model.confirmed(loaded.cursor)
    this.#persisted.changed()
    this.#resumeFrom(loaded)
  }

  #resumeFrom({ scope, cursor }: { scope: string; cursor: string }): void {
    if (this.lifetime.signal.aborted) return
    this.scope = scope
    this.#sequence.restart(cursor)
    this.#phase = 'joining'
    this.#isSnapshotFailing = false
    this.#isResubscribing = false
    this.lifetime.loaded()
    this.deps.changed()
    this.#subscribe()
  }

  /** Not where a listener has closed the view meanwhile: nothing would end the subscription. */
  #subscribe(): void {
    if (!this.lifetime.signal.aborted) this.deps.connection.subscribe(this)
  }

  #setSnapshotFailing(isFailing: boolean): void {
    if (isFailing === this.#isSnapshotFailing) return
    this.#isSnapshotFailing = isFailing
    this.deps.changed()
  }
}
