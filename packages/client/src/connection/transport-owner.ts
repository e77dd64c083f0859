// What a transport reads from its connection and reports to it.
import type { StopReason } from '../errors.ts'
import type { Followed } from './followed.ts'
import type { Subscriber } from './transport.ts'

export interface TransportOwner {
  /** What the transport subscribes to when it opens, and delivers frames to. */
  readonly followed: Pick<
    Followed,
    'subscribers' | 'subscriber' | 'watchedKeys' | 'scopeResolved' | 'presenceReceived' | 'watchEnded'
  >
  opened(): void
  /** Ends a subscriber that receives nothing more. */
  endSubscriber(subscriber: Subscriber, reason: StopReason, cause?: unknown): void
}
