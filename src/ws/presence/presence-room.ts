// The connections of this process that watch one place. Invariant: an active watch was confirmed by a lookup that began
// while the room was subscribed to the place's project, and no entry received since then may have ended its right to
// read. An entry that may have suspends the watch: it receives nothing until a new lookup confirms it.
import type { Log } from '../../log.ts'
import type { LogFollower } from '../../changelog/follower/log-follower.ts'
import { findPlace, type PlaceDeps } from '../../domain/presence.ts'
import { isTransient, unavailable } from '../../errors.ts'
import { projectScope, taskKey, type PresenceKey } from '../../model/scope.ts'
import type { Subscriber } from '../../changelog/follower/hub.ts'
import type { Actor } from '../../model/actor.ts'
import type { LogEntry } from '../../model/event.ts'
import type { ErrorFrameCode } from '../protocol.ts'

/** A connection, as far as it watches. */
export interface Watcher {
  readonly userId: string
  /** A frame of a watched place; `isPresence` where a later full frame replaces it. */
  sendPresence(key: PresenceKey, frame: string, isPresence: boolean): void
  /** The watch is active again, and presence frames were withheld meanwhile: the full state is to be sent. */
  watchResumed(key: PresenceKey): void
  /** The server ended the watch. */
  watchEnded(key: PresenceKey, code: ErrorFrameCode): void
}

interface Watch {
  actor: Actor
  isActive: boolean
  /** `entered` was called for it; a suspended watch still counts as present. */
  isCounted: boolean
  /** How often an entry suspended it: a lookup counts only if this did not change meanwhile. */
  suspensions: number
  /** A presence frame was withheld while the watch was suspended. */
  hasMissed: boolean
  /** Of the last lookups: whether they confirmed it. */
  confirmation: Promise<boolean>
}

export interface RoomEvents {
  entered(userId: string): void
  left(userId: string): void
  /** The last watch ended. */
  emptied(): void
}

const maxLookups = 5

export class PresenceRoom implements Subscriber {
  readonly #watches = new Map<Watcher, Watch>()
  #projectId: string | null = null
  #unsubscribe = (): void => {}

  constructor(
    readonly key: PresenceKey,
    private readonly deps: PlaceDeps & { follower: LogFollower; log: Log },
    private readonly events: RoomEvents,
  ) {}

  /**
   * Starts the watch if the actor may read the place. One that is suspended is answered by the lookup in progress: until
   * then the right to read is not confirmed. @returns whether it may. @throws AppError `unavailable`.
   */
  admit(watcher: Watcher, actor: Actor): Promise<boolean> {
    const held = this.#watches.get(watcher)
    if (held) return held.confirmation
    const watch: Watch = {
      actor,
      isActive: false,
      isCounted: false,
      suspensions: 0,
      hasMissed: false,
      confirmation: Promise.resolve(false),
    }
    this.#watches.set(watcher, watch)
    return (watch.confirmation = this.#confirmFirst(watcher, watch))
  }

  isActive(watcher: Watcher): boolean {
    return this.#watches.get(watcher)?.isActive ?? false
  }

  dismiss(watcher: Watcher): void {
    const watch = this.#watches.get(watcher)
    if (!watch) return
    this.#watches.delete(watcher)
    if (watch.isCounted) this.events.left(watch.actor.userId)
    if (this.#watches.size > 0) return
    this.#unsubscribe()
    this.#unsubscribe = () => {}
    this.#projectId = null
    this.events.emptied()
  }

  get size(): number {
    return this.#watches.size
  }

  send(frame: string, isPresence: boolean, isFor: (watcher: Watcher) => boolean): void {
    for (const [watcher, watch] of this.#watches)
      if (isFor(watcher)) this.#sendTo(watcher, watch, frame, isPresence)
  }

  /** Sends a presence frame to one watcher; later, as the full state, while its watch is suspended. */
  sendPresence(watcher: Watcher, frame: string): void {
    const watch = this.#watches.get(watcher)
    if (watch) this.#sendTo(watcher, watch, frame, true)
  }

  #sendTo(watcher: Watcher, watch: Watch, frame: string, isPresence: boolean): void {
    if (watch.isActive) watcher.sendPresence(this.key, frame, isPresence)
    else if (isPresence) watch.hasMissed = true
  }

  /** Called by the hub with the entries of the place's project. */
  onEntries(entries: LogEntry[]): void {
    for (const entry of entries) {
      const { control } = entry
      if (control?.kind === 'delete') this.#suspendAll()
      else if (control?.kind === 'revoke') this.#suspendAll(control.userId)
      else if (entry.entityId !== null && this.key === taskKey(entry.entityId)) {
        if (entry.type === 'task.deleted') this.#suspendAll()
        else if (entry.type === 'share.removed') this.#suspendAll(entry.changes?.['userId']?.from)
      }
    }
  }

  onEpochChange(): void {
    this.#suspendAll()
  }

  /** @param userId whose watches; all watches where it is unknown. */
  #suspendAll(userId?: unknown): void {
    for (const [watcher, watch] of this.#watches)
      if (userId === undefined || watch.actor.userId === userId) this.#suspend(watcher, watch)
  }

  #suspend(watcher: Watcher, watch: Watch): void {
    watch.suspensions += 1
    if (!watch.isActive) return // a lookup is in progress and will be repeated
    watch.isActive = false
    watch.confirmation = this.#confirmAgain(watcher, watch)
    watch.confirmation.catch(() => {}) // only a repeated `watch` waits for it
  }

  /** @throws AppError `unavailable`. */
  async #confirmFirst(watcher: Watcher, watch: Watch): Promise<boolean> {
    try {
      const isReader = await this.#confirm(watcher, watch)
      watch.hasMissed = false // the caller sends the full state
      if (!isReader) this.dismiss(watcher)
      return isReader
    } catch (error) {
      this.dismiss(watcher)
      throw error
    }
  }

  /** Ends the watch where the right to read is not confirmed. @throws AppError `unavailable`. */
  async #confirmAgain(watcher: Watcher, watch: Watch): Promise<boolean> {
    try {
      const isReader = await this.#confirm(watcher, watch)
      if (!isReader) this.#end(watcher, watch, 'not_found')
      else if (watch.hasMissed) {
        watch.hasMissed = false
        watcher.watchResumed(this.key)
      }
      return isReader
    } catch (error) {
      if (!isTransient(error)) this.deps.log.error({ err: error }, 'watch could not be confirmed again')
      this.#end(watcher, watch, 'rate')
      throw unavailable(error)
    }
  }

  #end(watcher: Watcher, watch: Watch, code: ErrorFrameCode): void {
    if (this.#watches.get(watcher) !== watch) return
    this.dismiss(watcher)
    watcher.watchEnded(this.key, code)
  }

  async #confirm(watcher: Watcher, watch: Watch): Promise<boolean> {
    for (let lookup = 1; lookup <= maxLookups; lookup += 1) {
      const { suspensions } = watch
      const subscribedTo = this.#projectId
      const projectId = await findPlace(this.deps, watch.actor, this.key)
      if (projectId === null || this.#watches.get(watcher) !== watch) return false
      if (subscribedTo !== projectId || this.#projectId !== projectId) this.#subscribeTo(projectId)
      else if (watch.suspensions === suspensions) {
        watch.isActive = true
        if (!watch.isCounted) this.events.entered(watch.actor.userId)
        watch.isCounted = true
        return true
      }
    }
    throw unavailable()
  }

  /** Lookups made while another project was subscribed have to be repeated. */
  #subscribeTo(projectId: string): void {
    if (this.#projectId === projectId) return
    this.#projectId = projectId
    this.#unsubscribe()
    this.#unsubscribe = this.deps.follower.subscribe(projectScope(projectId), this, 'immediate')
    this.#suspendAll()
  }
}
