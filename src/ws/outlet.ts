// What a subscription may do with its connection, and what both are given.
import type { Deps } from '../deps.ts'
import type { Scope } from '../model/event.ts'
import type { CloseReason } from '../model/frames.ts'
import type { ServerFrame } from './protocol.ts'

export type SocketDeps = Pick<
  Deps,
  'authenticator' | 'config' | 'db' | 'draining' | 'history' | 'hub' | 'log' | 'tail'
>

export interface Outlet {
  readonly userId: string
  /** Whether too much is unsent: send nothing, wait for `catchUp`. */
  readonly parked: boolean
  /** Calls `catchUp` of each subscription that waits, unless parked. */
  catchUp(): void
  send(frame: ServerFrame): void
  /** A frame that is text already. */
  sendText(frame: string): void
  /** Sends within `work` leave in one write. */
  cork(work: () => void): void
  close(reason: CloseReason): void
  /** The subscription ended itself. */
  gone(scope: Scope): void
}
