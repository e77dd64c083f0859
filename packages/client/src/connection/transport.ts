// A transport carries events from the server to subscribers until it ends: a socket, or long polls where sockets are
// blocked. For the connection the two differ in nothing else.
import type { ClientFrame } from '../../../../src/model/frames.ts'
import type { Event } from './frames.ts'
import { ApiError, type StopReason } from '../errors.ts'
import type { Timing } from '../timing.ts'

/** The server's answer to a subscription. */
export interface Subscribed {
  /** The full name: `user:<id>` where `user:me` was subscribed to. */
  scope: string
  /** Events after this cursor follow. */
  cursor: string
  /** How many of them were committed before the answer. */
  replay: number
  /** The subscription began without a cursor: at the newest event. */
  isFresh: boolean
}

/** Receives the events of one scope. Its methods are called in the order of the server's frames. */
export interface Subscriber {
  readonly scope: string
  /** False while it reads its snapshot: it is not subscribed until then. */
  readonly isReady: boolean
  /** Where to resume; null for new events only, which only sockets offer. */
  readonly cursor: string | null
  subscribed(answer: Subscribed): void
  event(event: Event): void
  /** Every event up to `cursor` was sent; with `more` the server has further ones. */
  synced(cursor: string, more?: boolean): void
  /** As `synced`, with the number of events sent since `subscribed`. */
  position(cursor: string, count: number): void
  /**
   * The server cannot resume from the cursor. The reason is the server's (`too_old`, `epoch`, `ahead`, `gap`, `access`),
   * `bad_frame` where it cannot read the cursor or the scope, `lost_events` where events were lost twice.
   */
  resync(reason: string): void
  stopped(reason: StopReason, closeCode: number | null, cause?: unknown): void
  /** The state of the connection changed. */
  connectionChanged(): void
}

export interface Ending {
  /** A WebSocket close code: 1006 without a close frame; `socketRetryCode` where polling ends to try a socket. */
  code: number
  /** Whether the server sent anything: a connection that a proxy accepted proves nothing about the server. */
  opened: boolean
  /** The window in which the server asks to reconnect: from and to, in milliseconds. */
  reconnectAfter?: readonly [number, number]
  cause?: unknown
}

/** The window in which to reconnect, where the response that ended a transport had `Retry-After`. */
export const retryWindowOf = (
  cause: unknown,
  { maxRetryAfterMs }: Timing,
): Pick<Ending, 'reconnectAfter'> => {
  const askedMs = cause instanceof ApiError ? cause.retryAfterMs : null
  if (askedMs === null) return {}
  const ms = Math.min(askedMs, maxRetryAfterMs)
  return { reconnectAfter: [ms, ms * 1.5] }
}

/** Never a close code of a socket: polling ends so that a socket is tried again. */
export const socketRetryCode = 0

export interface Transport {
  readonly kind: 'socket' | 'poll'
  /** Resolves when the transport has ended; never rejects. The signal ends it. */
  run(signal: AbortSignal): Promise<Ending>
  /** Subscribes from the subscriber's cursor; replaces its earlier subscription. */
  subscribe(subscriber: Subscriber): void
  unsubscribe(subscriber: Subscriber): void
  watch(key: string): void
  /** Checks soon whether the peer still answers. */
  probe(): void
  /** False where the transport carries no client frames, or is not open. */
  send(frame: ClientFrame): boolean
}
