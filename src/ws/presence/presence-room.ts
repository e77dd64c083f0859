// The connections of this process that watch one place. Invariant: whoever is in has been found a reader by a look
// that began while the room listened to the place's project, and nothing the log said since then puts it in doubt.
// A watch in doubt hears nothing until it was looked at again.
import { findPlace } from '../../domain/presence.ts'
import { isTransient, unavailable } from '../../errors.ts'
import { projectScope, taskKey, type PresenceKey } from '../../model/scope.ts'
import type { Subscriber } from '../../changelog/follower/hub.ts'
import type { Actor } from '../../model/actor.ts'
import type { LogEntry } from '../../model/event.ts'
import type { SocketsDeps } from '../connection-handle.ts'
import type { ErrorFrameCode } from '../protocol.ts'

/** A connection, as far as it watches. */
export interface Watcher {
  readonly userId: string
  /** A frame of a place it watches; `isPresence` where the next one of its kind stands for it. */
  sendPresence(key: PresenceKey, frame: string, isPresence: boolean): void
  /** The watch is over without having been asked for. */
  watchEnded(key: PresenceKey, code: ErrorFrameCode): void
}

interface Watch {
  actor: Actor
  isIn: boolean
  /** Whether `entered` was said of it; a watch in doubt still counts. */
  isCounted: boolean
  /** How often the log put it in doubt. */
  doubts: number
}

export interface RoomEvents {
  entered(userId: string): void
  left(userId: string): void
  /** Nobody watches any more. */
  emptied(): void
}

const maxLooks = 5

export class PresenceRoom implements Subscriber {
  readonly #watches = new Map<Watcher, Watch>()
  #projectId: string | null = null
  #unsubscribe = (): void => {}

  constructor(
    readonly key: PresenceKey,
    private readonly deps: Pick<SocketsDeps, 'db' | 'follower' | 'log'>,
    private readonly events: RoomEvents,
  ) {}

  /** Whether the actor may watch; it then does. @throws AppError `unavailable`. */
  async admit(watcher: Watcher, actor: Actor): Promise<boolean> {
    const watch: Watch = { actor, isIn: false, isCounted: false, doubts: 0 }
    this.#watches.set(watcher, watch)
    try {
      const isReader = await this.#look(watcher, watch)
      if (!isReader) this.dismiss(watcher)
      return isReader
    } catch (error) {
      this.dismiss(watcher)
      throw error
    }
  }

  /** Whether it watches, in doubt or not. */
  has(watcher: Watcher): boolean {
    return this.#watches.has(watcher)
  }

  isIn(watcher: Watcher): boolean {
    return this.#watches.get(watcher)?.isIn ?? false
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

  tell(frame: string, isPresence: boolean, isFor: (watcher: Watcher) => boolean): void {
    for (const [watcher, { isIn }] of this.#watches)
      if (isIn && isFor(watcher)) watcher.sendPresence(this.key, frame, isPresence)
  }

  /** Called by the hub with what the log says of the place's project. */
  onEntries(entries: LogEntry[]): void {
    for (const entry of entries) {
      const { control } = entry
      if (control?.kind === 'delete') this.#doubtAll()
      else if (control?.kind === 'revoke') this.#doubtAll(control.userId)
      else if (entry.entityId !== null && this.key === taskKey(entry.entityId)) {
        if (entry.type === 'task.deleted') this.#doubtAll()
        else if (entry.type === 'share.removed') this.#doubtAll(entry.changes?.['userId']?.from)
      }
    }
  }

  onEpochChange(): void {
    this.#doubtAll()
  }

  /** @param userId whose watches; everybody's when it is not known. */
  #doubtAll(userId?: unknown): void {
    for (const [watcher, watch] of this.#watches)
      if (userId === undefined || watch.actor.userId === userId) this.#doubt(watcher, watch)
  }

  #doubt(watcher: Watcher, watch: Watch): void {
    watch.doubts += 1
    if (!watch.isIn) return // a look is under way and will be repeated
    watch.isIn = false
    void this.#lookAgain(watcher, watch)
  }

  /** Never throws. */
  async #lookAgain(watcher: Watcher, watch: Watch): Promise<void> {
    let code: ErrorFrameCode = 'not_found'
    try {
      if (await this.#look(watcher, watch)) return
    } catch (error) {
      if (!isTransient(error)) this.deps.log.error({ err: error }, 'a watch could not be looked at again')
      code = 'unavailable'
    }
    if (this.#watches.get(watcher) !== watch) return
    this.dismiss(watcher)
    watcher.watchEnded(this.key, code)
  }

  async #look(watcher: Watcher, watch: Watch): Promise<boolean> {
    for (let look = 1; look <= maxLooks; look += 1) {
      const { doubts } = watch
      const listeningAt = this.#projectId
      const projectId = await findPlace(this.deps, watch.actor, this.key)
      if (projectId === null || this.#watches.get(watcher) !== watch) return false
      if (listeningAt !== projectId || this.#projectId !== projectId) this.#listenAt(projectId)
      else if (watch.doubts === doubts) {
        watch.isIn = true
        if (!watch.isCounted) this.events.entered(watch.actor.userId)
        watch.isCounted = true
        return true
      }
    }
    throw unavailable()
  }

  /** What was found while listening elsewhere has to be found again. */
  #listenAt(projectId: string): void {
    if (this.#projectId === projectId) return
    this.#projectId = projectId
    this.#unsubscribe()
    this.#unsubscribe = this.deps.follower.subscribe(projectScope(projectId), this, 'immediate')
    this.#doubtAll()
  }
}
