// What a subscription may do with its connection, and what both are given.
import type { ServerWebSocket } from 'bun'
import type { Authenticator } from '../auth/authenticator.ts'
import type { Bus } from '../changelog/bus.ts'
import type { LogFollower } from '../changelog/follower/log-follower.ts'
import type { LiveStats } from '../changelog/live-stats.ts'
import type { ServerRegistry } from '../changelog/servers.ts'
import type { Config } from '../config.ts'
import type { CallerDatabase, DatabaseCalls } from '../db/client.ts'
import type { HandshakeLimiter } from '../limits/handshake-limiter.ts'
import type { RateLimiter } from '../limits/window.ts'
import type { Log } from '../log.ts'
import type { Scope } from '../model/scope.ts'
import type { CloseReason, Rid } from '../model/frames.ts'
import type { Presence } from './presence/presence.ts'
import type { ErrorFrameCode, ServerFrame } from './protocol.ts'

export interface SocketsDeps {
  authenticator: Authenticator
  bus: Bus
  config: Config
  db: CallerDatabase
  draining: AbortSignal
  follower: LogFollower
  limiter: RateLimiter
  log: Log
  servers: ServerRegistry
  stats: LiveStats
  systemDb: DatabaseCalls
}

/** With what the sockets of a process have together. */
export type SocketDeps = SocketsDeps & { doorway: HandshakeLimiter; presence: Presence }

/** The socket itself: `send` answers 0 for a lost frame, -1 for one that waits unsent, else the bytes sent. */
export type RawSocket = Pick<ServerWebSocket, 'send'>

export interface ConnectionHandle {
  readonly userId: string
  /** For a live subscription to send on until `holdBack`, telling what was not sent; null where nothing may be. */
  readonly rawSocket: RawSocket | null
  /** Whether too much is unsent: send nothing, wait for `catchUp`. */
  readonly isParked: boolean
  readonly isClosed: boolean
  /** Calls `catchUp` of each subscription that waits, unless parked. */
  catchUp(): void
  send(frame: ServerFrame): void
  /** A frame that is text already. */
  sendText(frame: string): void
  /** A `send` on the line answered this, which is 0 or less. May hold back or close. */
  onUnsent(sent: number): void
  error(code: ErrorFrameCode, rid: Rid | null, retryAfter?: number): void
  /** Sends within `work` leave in one write. */
  cork(work: () => void): void
  close(reason: CloseReason): void
  /** The subscription ended itself. */
  onSubscriptionEnd(scope: Scope): void
}
