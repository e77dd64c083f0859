// What a program passes to `events`: the listener of a feed.
import type { Event } from '../connection/frames.ts'
import type { Subscribed } from '../connection/transport.ts'
import type { StoppedError } from '../errors.ts'

/** Events that the server no longer has, or cannot find. The events after them are delivered. */
export interface Gap {
  scope: string
  /** The last cursor before the gap; null if there was none. */
  cursor: string | null
  /** As the protocol names it (`too_old`, `epoch`, `ahead`, `gap`, `access`), or `lost_events`. */
  reason: string
}

export interface FeedListener {
  /** An event of a followed scope; types that this client does not know included. */
  onEvent(event: Event): void
  /** The server accepted the subscription, the first one and that of each reconnect. */
  onSubscribed?(answer: Subscribed): void
  onGap?(gap: Gap): void
  /**
   * The scope is not followed any more; where `connection.stopped` is set, no scope is. The reason is `closed` after
   * `unfollow` and `close`.
   */
  onStopped?(scope: string, error: StoppedError): void
}
