// What every live view does in the same way: it keeps a model in step with its scope, caches the immutable state built
// from it, and notifies listeners. Invariant: `current` is another object after each change, and listeners are called
// after the change is in it.
import { Listeners } from '../async/listeners.ts'
import type { Event } from '../connection/frames.ts'
import type { StoppedError } from '../errors.ts'
import type { Connection } from '../connection/connection.ts'
import type { HttpClient } from '../http/http-client.ts'
import type { Timing } from '../timing.ts'
import type { PersistedViews } from './persisted-views.ts'
import { Replica, type LiveState } from './replica.ts'
import { ResourceReader } from './resource-reader.ts'
import type { ScopeModel } from './scope-model.ts'

export interface LiveViewDeps {
  http: HttpClient
  connection: Connection
  persisted: PersistedViews
  timing: Timing
}

/** What a model receives from its view. */
export interface ModelContext {
  /** Reads resources whose events lack their content; ends with the view. */
  reader: ResourceReader
  /** The state changed without an event. */
  changed(): void
}

interface LiveViewOptions<Model, State> {
  /** Of the stored state, such as `project:<id>`. */
  key: string
  createModel(context: ModelContext): Model
  buildState(model: Model, staleSince: string | null): State
  /** Listeners receive replayed events together, after the last one, instead of each as it arrives. */
  isReplayBatched: boolean
}

/** Replayed events that listeners receive together. */
const maxPendingEvents = 1_000

export class LiveView<Model extends ScopeModel, State> {
  readonly model: Model
  #current: State | null = null
  /** Replayed events that listeners have not received yet. */
  #pendingEvents: Event[] = []
  readonly #listeners = new Listeners<Event | null>()
  readonly #replica: Replica

  constructor(
    deps: LiveViewDeps,
    private readonly options: LiveViewOptions<Model, State>,
  ) {
    this.#replica = new Replica({
      connection: deps.connection,
      timing: deps.timing,
      persisted: { views: deps.persisted, key: options.key },
      model: {
        load: (signal) => this.model.load(signal),
        apply: (event) => this.#apply(event),
        confirmed: (cursor) => this.model.confirmed(cursor),
        purge: (error) => this.model.purge(error),
        dump: () => this.model.dump(),
        restore: (state) => this.model.restore(state),
      },
      changed: () => this.changed(),
    })
    this.model = options.createModel({
      reader: new ResourceReader(deps, this.signal),
      changed: () => this.changed(),
    })
  }

  /** Called once, when the owner of the view can receive calls. */
  start(): void {
    this.#replica.start()
  }

  get ready(): Promise<void> {
    return this.#replica.lifetime.ready
  }

  get state(): LiveState {
    return this.#replica.state
  }

  get error(): StoppedError | null {
    return this.#replica.lifetime.error
  }

  /** Aborts when the view ends. */
  get signal(): AbortSignal {
    return this.#replica.lifetime.signal
  }

  get current(): State {
    return (this.#current ??= this.options.buildState(this.model, this.#replica.staleSince))
  }

  onChange(listener: (event: Event | null) => void): () => void {
    return this.#listeners.add(listener)
  }

  /** Adds a holder, who releases the view too. */
  retain(signal?: AbortSignal): void {
    this.#replica.lifetime.retain(signal)
  }

  /** The last release ends the view. */
  release(): void {
    this.#replica.lifetime.release()
  }

  /** Builds the state again, and notifies listeners of the events it has and of the one that made the change. */
  changed(event: Event | null = null): void {
    this.#current = null
    for (const pending of this.#pendingEvents.splice(0)) this.#listeners.emit(pending)
    this.#listeners.emit(event)
  }

  #apply(event: Event): void {
    this.model.apply(event)
    const isBatched = this.options.isReplayBatched && this.#replica.isReplaying
    if (isBatched && this.#pendingEvents.length < maxPendingEvents) this.#pendingEvents.push(event)
    else this.changed(event)
  }
}
