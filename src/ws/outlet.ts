// What a subscription may do with its connection, and what both are given.
import type { Deps } from '../deps.ts'
import type { Scope } from '../model/event.ts'
import type { Doorway } from './doorway.ts'
import type { Presence } from './presence.ts'
import type { CloseReason, Rid } from '../model/frames.ts'
import type { ErrorFrameCode, ServerFrame } from './protocol.ts'

export type SocketsDeps = Pick<
  Deps,
  | 'authenticator'
  | 'bus'
  | 'config'
  | 'db'
  | 'draining'
  | 'history'
  | 'hub'
  | 'limiter'
  | 'log'
  | 'stats'
  | 'tail'
>

/** With what the sockets of a process have together. */
export type SocketDeps = SocketsDeps & { doorway: Doorway; presence: Presence }

export interface Outlet {
  readonly userId: string
  /** Whether too much is unsent: send nothing, wait for `catchUp`. */
  readonly parked: boolean
  readonly isClosed: boolean
  /** Calls `catchUp` of each subscription that waits, unless parked. */
  catchUp(): void
  send(frame: ServerFrame): void
  /** A frame that is text already. */
  sendText(frame: string): void
  error(code: ErrorFrameCode, rid: Rid | null, retryAfter?: number): void
  /** Sends within `work` leave in one write. */
  cork(work: () => void): void
  close(reason: CloseReason): void
  /** The subscription ended itself. */
  gone(scope: Scope): void
}
