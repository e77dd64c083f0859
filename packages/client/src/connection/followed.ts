// What is followed over a connection: scopes by their subscriber, presence keys by their listener. It outlives every
// transport; transports read it when they open and deliver to it. Invariant: one subscriber a scope, one listener a key.
import type { StopReason } from '../errors.ts'
import type { PresenceFrame, SignalFrame } from './frames.ts'
import type { Subscriber } from './transport.ts'

/** Receives the frames of a presence key; null when the watch ended. */
export type WatchListener = (frame: PresenceFrame | SignalFrame | null) => void

export class Followed {
  /** Everything that is live, subscribed or about to be. */
  readonly #registered = new Set<Subscriber>()
  readonly #subscribers = new Map<string, Subscriber>()
  readonly #watches = new Map<string, WatchListener>()

  get isEmpty(): boolean {
    return this.#subscribers.size + this.#watches.size === 0
  }

  subscribers(): Iterable<Subscriber> {
    return this.#subscribers.values()
  }

  subscriber(scope: string): Subscriber | undefined {
    return this.#subscribers.get(scope)
  }

  /** Presence keys to watch as soon as a transport is open. */
  watchedKeys(): Iterable<string> {
    return this.#watches.keys()
  }

  isWatched(key: string): boolean {
    return this.#watches.has(key)
  }

  register(subscriber: Subscriber): void {
    this.#registered.add(subscriber)
  }

  subscribe(subscriber: Subscriber): void {
    this.#subscribers.set(subscriber.scope, subscriber)
  }

  /** False if its scope has another subscriber, or none. */
  unsubscribe(subscriber: Subscriber): boolean {
    this.#registered.delete(subscriber)
    return this.#subscribers.get(subscriber.scope) === subscriber && this.drop(subscriber)
  }

  /** Ends the subscription; the subscriber stays registered for `stopAll`. */
  drop(subscriber: Subscriber): boolean {
    return this.#subscribers.delete(subscriber.scope)
  }

  /** The server named the scope of a subscription differently. */
  scopeResolved(subscriber: Subscriber, scope: string): void {
    if (subscriber.scope === scope) return
    this.#subscribers.delete(subscriber.scope)
    this.#subscribers.get(scope)?.stopped('closed', null)
    this.#subscribers.set(scope, subscriber)
  }

  watch(key: string, listener: WatchListener): void {
    this.#watches.set(key, listener)
  }

  /** False if the key is not watched. */
  unwatch(key: string): boolean {
    return this.#watches.delete(key)
  }

  presenceReceived(frame: PresenceFrame | SignalFrame): void {
    this.#watches.get(frame.key)?.(frame)
  }

  /** The server ended the watch or refused it, or the transport ended. */
  watchEnded(key: string): void {
    this.#watches.get(key)?.(null)
  }

  allWatchesEnded(): void {
    for (const key of this.#watches.keys()) this.watchEnded(key)
  }

  clearWatches(): void {
    this.#watches.clear()
  }

  connectionChanged(): void {
    for (const subscriber of this.#subscribers.values()) subscriber.connectionChanged()
  }

  stopAll(reason: StopReason, closeCode: number | null, cause?: unknown): void {
    for (const subscriber of this.#registered) subscriber.stopped(reason, closeCode, cause)
  }
}
