// The events of scopes as they are in the log, without any state: for programs that forward, record or show them.
// Invariant: each event of a followed scope is delivered once and in order. A feed has a connection of its own, so that
// it may follow what views of the same client show.
import type { FeedListener } from './feed-listener.ts'
import type { Connection, ConnectionStatus } from '../connection/connection.ts'
import { FollowedScope } from './followed-scope.ts'

export class EventFeed implements Disposable {
  readonly #scopes = new Set<FollowedScope>()

  constructor(
    private readonly listener: FeedListener,
    private readonly ownConnection: Connection,
    private readonly closed: () => void,
  ) {}

  /** The socket of this feed; it opens with the first scope and closes with the last. */
  get connection(): ConnectionStatus {
    return this.ownConnection
  }

  /**
   * Each followed scope with the cursor to resume from: of the last event delivered, or a later one. Null before the
   * server has answered. Scopes that stopped stay until `unfollow`.
   */
  get cursors(): ReadonlyMap<string, string | null> {
    return new Map([...this.#scopes].map(({ scope, latest }) => [scope, latest]))
  }

  /**
   * Follows `project:<id>`, `user:<id>` or `user:me` (renamed to `user:<id>` by the server's answer).
   *
   * @param cursor Delivers the events after it; null for new events only.
   * @returns False if the scope is followed already. A connection has at most 64 scopes; the server refuses further
   *   ones, which `onStopped` receives with the reason `limit`.
   */
  follow(scope: string, cursor: string | null = null): boolean {
    if (this.#find(scope)) return false
    const followed = new FollowedScope(scope, cursor, this.ownConnection, this.listener)
    if (!this.ownConnection.register(followed)) return false
    this.#scopes.add(followed)
    this.ownConnection.subscribe(followed)
    return true
  }

  /** Ends following a scope, and forgets its cursor. */
  unfollow(scope: string): void {
    const followed = this.#find(scope)
    if (!followed) return
    this.#scopes.delete(followed)
    followed.stopped('closed', null)
  }

  /** Ends the feed and closes its socket; its cursors can still be read. */
  close(): void {
    this.ownConnection[Symbol.dispose]()
    this.closed()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #find(scope: string): FollowedScope | undefined {
    return [...this.#scopes].find((followed) => followed.scope === scope)
  }
}
