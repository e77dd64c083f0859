// A line carries events from the server until it ends: a socket, or long polls where sockets are blocked. The
// connection asks for nothing else of it.
import type { ClientFrame } from '../../../../src/model/frames.ts'
import type { Event, PresenceFrame, SignalFrame } from './frames.ts'
import { ApiError, type StopReason } from '../errors.ts'
import type { Timing } from '../timing.ts'

/** Who follows a scope. Called in the order of the server's frames. */
export interface Subscriber {
  readonly scope: string
  /** Where to go on from; null while it reads its snapshot and wants nothing. */
  readonly cursor: string | null
  /** The server sends what is after the cursor: `replay` events, then what happens. */
  subscribed(replay: number): void
  event(event: Event): void
  /** Everything up to `cursor` was sent; `more` is waiting. */
  synced(cursor: string, more?: boolean): void
  /** The same, and how many events that were since it joined. */
  position(cursor: string, count: number): void
  /** The cursor leads nowhere: read the snapshot. */
  resync(): void
  stopped(reason: StopReason, closeCode: number | null, cause?: unknown): void
  /** The connection is in another state. */
  connectionChanged(): void
}

/** Whom a line speaks to. */
export interface TransportOwner {
  subscribers(): Iterable<Subscriber>
  subscriber(scope: string): Subscriber | undefined
  /** What is watched, to be told to a new line. */
  watchedKeys(): Iterable<string>
  opened(): void
  /** Ends a follower that will hear nothing more. */
  endSubscriber(follower: Subscriber, reason: StopReason, cause?: unknown): void
  presenceReceived(frame: PresenceFrame | SignalFrame): void
  /** What was watched there may not be seen any more. */
  watchEnded(key: string): void
}

export interface Ending {
  /** As a socket closes; 1006 for what broke, `retrySocket` for a poll that makes room. */
  code: number
  /** Whether the server ever spoke on it: what is only accepted, as by a proxy, says nothing. */
  opened: boolean
  /** Between which milliseconds to come back, if the server said so. */
  reconnectAfter?: readonly [number, number]
  cause?: unknown
}

/** The window in which to come back, where the answer that ended a line had `Retry-After`. */
export const retryWindowOf = (
  cause: unknown,
  { maxRetryAfterMs }: Timing,
): Pick<Ending, 'reconnectAfter'> => {
  const askedMs = cause instanceof ApiError ? cause.retryAfterMs : null
  if (askedMs === null) return {}
  const ms = Math.min(askedMs, maxRetryAfterMs)
  return { reconnectAfter: [ms, ms * 1.5] }
}

/** Not on any wire: a polling line ends so that a socket is tried again. */
export const socketRetryCode = 0

export interface Transport {
  readonly kind: 'socket' | 'poll'
  /** Resolves when the line is over; never rejects. The signal ends it. */
  run(signal: AbortSignal): Promise<Ending>
  /** A follower has a cursor now, or anew. */
  subscribe(follower: Subscriber): void
  unsubscribe(follower: Subscriber): void
  watch(key: string): void
  /** Finds out soon whether it is still alive. */
  probe(): void
  /** False where the line carries no such frames, or is not open. */
  send(frame: ClientFrame): boolean
}
