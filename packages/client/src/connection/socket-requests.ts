// The requests of one socket by their `rid`: which subscriber or presence key an answer belongs to. Invariant: a
// subscriber and a key have one request each, the latest; answers to earlier ones find nothing.
import type { Subscriber } from './transport.ts'

export class SocketRequests {
  #lastRid = 0
  /** Answered or not: frames of a scope belong to its subscriber until it unsubscribes or is refused. */
  readonly #subscriptions = new Map<unknown, Subscriber>()
  /** Not answered yet. */
  readonly #watches = new Map<unknown, string>()

  nextRid(): number {
    return (this.#lastRid += 1)
  }

  addSubscription(subscriber: Subscriber): number {
    this.removeSubscription(subscriber)
    const rid = this.nextRid()
    this.#subscriptions.set(rid, subscriber)
    return rid
  }

  removeSubscription(subscriber: Subscriber): void {
    for (const [rid, one] of this.#subscriptions) if (one === subscriber) this.#subscriptions.delete(rid)
  }

  subscriber(rid: unknown): Subscriber | undefined {
    return this.#subscriptions.get(rid)
  }

  isSubscribed(subscriber: Subscriber): boolean {
    return [...this.#subscriptions.values()].includes(subscriber)
  }

  /** Sends a watch under a new `rid`, and keeps it until it is answered, if it was sent. */
  sendWatch(key: string, send: (rid: number) => boolean): void {
    const rid = this.nextRid()
    for (const [old, one] of this.#watches) if (one === key) this.#watches.delete(old)
    if (send(rid)) this.#watches.set(rid, key)
  }

  watchedKey(rid: unknown): string | undefined {
    return this.#watches.get(rid)
  }

  /** The server answered a watch, or refused a subscription. */
  remove(rid: unknown): void {
    this.#subscriptions.delete(rid)
    this.#watches.delete(rid)
  }

  watchAnswered(rid: unknown): void {
    this.#watches.delete(rid)
  }

  clear(): void {
    this.#subscriptions.clear()
    this.#watches.clear()
  }
}
