// What subscriptions and presence may do with their connection, and the dependencies of both.
import type { ServerWebSocket } from 'bun'
import type { Authenticator } from '../auth/authenticator.ts'
import type { Bus } from '../changelog/bus.ts'
import type { LogFollower } from '../changelog/follower/log-follower.ts'
import type { LiveStats } from '../changelog/live-stats.ts'
import type { ServerRegistry } from '../changelog/servers.ts'
import type { Config } from '../config.ts'
import type { CallerDatabase, DatabaseCalls } from '../db/client.ts'
import type { OverrideReads } from '../domain/activity/override-reads.ts'
import type { HandshakeLimiter } from '../limits/handshake-limiter.ts'
import type { RateLimiter } from '../limits/window.ts'
import type { Log } from '../log.ts'
import type { Scope } from '../model/scope.ts'
import type { CloseReason, Rid } from '../model/frames.ts'
import type { Joins } from './joins.ts'
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
  overrideReads: OverrideReads
  servers: ServerRegistry
  stats: LiveStats
  systemDb: DatabaseCalls
}

/** With the parts that all sockets of a process share. */
export type SocketDeps = SocketsDeps & { handshakes: HandshakeLimiter; joins: Joins; presence: Presence }

/** The socket of Bun: `send` returns 0 for a dropped frame, -1 for a buffered one, otherwise the bytes sent. */
export type RawSocket = Pick<ServerWebSocket, 'send'>

export interface ConnectionHandle {
  readonly userId: string
  /** For live subscriptions, until `suspend`; results of 0 or less go to `onUnsent`. Null while parked or closed. */
  readonly rawSocket: RawSocket | null
  /** More than `parkBytes` are unsent: send nothing and wait for `catchUp`. */
  readonly isParked: boolean
  readonly isClosed: boolean
  /** Calls `catchUp` of each waiting subscription, unless parked. */
  catchUp(): void
  send(frame: ServerFrame): void
  /** Sends a frame that is already encoded. */
  sendText(frame: string): void
  /** Handles a result of `rawSocket.send` of 0 or less: parks or closes the connection. */
  onUnsent(sent: number): void
  error(code: ErrorFrameCode, rid: Rid | null, retryAfter?: number): void
  /** Sends within `work` are one write to the kernel. */
  cork(work: () => void): void
  close(reason: CloseReason): void
  /** The subscription ended by itself. */
  onSubscriptionEnd(scope: Scope): void
}
