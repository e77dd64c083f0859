// The notifications a user's view holds, and how many are unread. Invariant: `unreadCount` counts all notifications of
// the user, not only those held.
import type { Notification } from '../../../../src/model/notification.ts'
import { VersionedMap, type VersionedItem } from './versioned-map.ts'

/** Notifications held; older ones are read as a list. */
const maxNotifications = 1_000

/** What a notification event has: `upTo` where all notifications created until then were read. */
export type NotificationData = Notification & { upTo: string }

export class NotificationList {
  readonly #held = new VersionedMap<Notification>()
  #unreadCount = 0

  get unreadCount(): number {
    return this.#unreadCount
  }

  newestFirst(): Notification[] {
    return this.#sorted().slice(0, maxNotifications)
  }

  /** Everything held: what `reset` takes. */
  items(): VersionedItem<Notification>[] {
    return this.#held.items()
  }

  reset(items: Iterable<VersionedItem<Notification>>, unreadCount: number): void {
    this.#held.reset(items)
    this.#unreadCount = unreadCount
  }

  /** @param id null where the event is about all of them. */
  apply(id: string | null, version: number, data: NotificationData): void {
    if (id === null) return this.#readAll(version, data.upTo)
    if (!this.#held.put(id, version, data)) return
    this.#unreadCount = Math.max(0, this.#unreadCount + (data.readAt === null ? 1 : -1))
    if (this.#held.size > 2 * maxNotifications) this.#dropOldest()
  }

  #readAll(version: number, upTo: string): void {
    for (const one of this.#held.values())
      if (one.readAt === null && one.createdAt <= upTo)
        this.#held.put(one.id, version, { ...one, readAt: upTo })
    // Unread ones were created after `upTo`, and their events have all arrived.
    this.#unreadCount = [...this.#held.values()].filter(({ readAt }) => readAt === null).length
  }

  /** The only later event of the oldest is that they were read, which is counted without them too. */
  #dropOldest(): void {
    for (const { id } of this.#sorted().slice(maxNotifications)) this.#held.remove(id)
  }

  #sorted(): Notification[] {
    return [...this.#held.values()].sort((a, b) => (a.id < b.id ? 1 : -1))
  }
}
