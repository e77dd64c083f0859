// The subscriptions of one connection: joining at a cursor, leaving, and catching up one subscription after another, so
// that a connection holds one page of the log at a time.
import type { Identity } from '../auth/authenticator.ts'
import { parseScope } from '../model/scope.ts'
import { shardOf, type Scope } from '../model/scope.ts'
import { forRequest } from '../model/actor.ts'
import { snapshotPath } from '../domain/sync.ts'
import { formatCursor, parseCursor } from '../model/event.ts'
import type { Rid, ResyncReason } from '../model/frames.ts'
import type { ConnectionHandle, SocketDeps } from './connection-handle.ts'
import { limits } from './protocol.ts'
import { Subscription } from './subscription.ts'

export class Subscriptions {
  readonly #held = new Map<Scope, Subscription>()
  #isCatchingUp = false

  constructor(
    private readonly connection: ConnectionHandle,
    private readonly deps: SocketDeps,
  ) {}

  /** @throws AppError `unavailable`. */
  async join(rid: Rid, text: string, cursorText: string | null, { actor }: Identity): Promise<void> {
    const { connection, deps } = this
    const scope = parseScope(text, actor.userId)
    const cursor = cursorText === null ? null : parseCursor(cursorText)
    if (!scope || (cursorText !== null && cursor?.shard !== shardOf(scope)))
      return connection.error('bad_frame', rid)
    const held = this.#held.get(scope)
    if (!held && this.#held.size >= limits.subscriptions) return connection.error('limit', rid)
    using slot = deps.handshakes.tryEnter()
    if (!slot) return connection.close('overloaded')
    // Commits after this read, revocations included, have numbers above its head: catching up meets them.
    const reader = forRequest(actor)
    const joined = await deps.joins.join(reader, scope, cursor)
    if (reader.overrides?.size) await deps.overrideReads.note(reader)
    if ('epoch' in joined) await deps.follower.awaitEpoch(joined.epoch)
    if (connection.isClosed) return
    // A control entry may have ended it during the read, which sent `access` then.
    const isStillHeld = held !== undefined && this.#held.get(scope) === held
    held?.end()
    this.#held.delete(scope)
    if (joined.kind === 'denied') {
      return isStillHeld
        ? connection.send({ t: 'access', scope, cursor: this.#cursorNow(shardOf(scope)), op: 'revoked' })
        : connection.error('not_found', rid)
    }
    if (joined.kind === 'resync') return this.#resync(rid, scope, joined.reason)
    const { epoch, shard, from, head, events } = joined
    // A newer epoch began after the read: its numbers cannot be compared.
    if (epoch !== deps.follower.epoch) return this.#resync(rid, scope, 'epoch')
    const start = formatCursor({ epoch, shard, seq: from })
    connection.send({ t: 'sub', rid, scope, mode: joined.kind, cursor: start, replay: events })
    this.#held.set(scope, new Subscription({ scope, shard, epoch, from, head, events }, connection, deps))
    this.catchUp()
  }

  leave(rid: Rid, text: string, { actor }: Identity): void {
    const scope = parseScope(text, actor.userId)
    if (!scope) return this.connection.error('bad_frame', rid)
    this.#held.get(scope)?.end()
    this.#held.delete(scope)
    this.connection.send({ t: 'ok', rid })
  }

  /** The subscription ended by itself. */
  remove(scope: Scope): void {
    this.#held.delete(scope)
  }

  /** Catches up the waiting subscriptions until the connection is parked. */
  catchUp(): void {
    if (!this.#isCatchingUp) void this.#catchUpAll()
  }

  /** The connection is parked: no subscription sends on its socket. */
  suspend(): void {
    for (const subscription of this.#held.values()) subscription.suspend()
  }

  sendPositions(): void {
    for (const subscription of this.#held.values()) subscription.sendPosition()
  }

  end(): void {
    for (const subscription of this.#held.values()) subscription.end()
    this.#held.clear()
  }

  async #catchUpAll(): Promise<void> {
    this.#isCatchingUp = true
    while (!this.connection.isParked) {
      const next = [...this.#held.values()].find((subscription) => subscription.isWaiting)
      if (!next) break
      await next.catchUp() // never throws
    }
    this.#isCatchingUp = false // in the same tick as the last check
  }

  #resync(rid: Rid, scope: Scope, reason: ResyncReason): void {
    this.deps.stats.resyncs[reason] += 1
    this.connection.send({ t: 'resync', scope, rid, reason, snapshot: snapshotPath(scope) })
  }

  #cursorNow(shard: number): string {
    const { epoch, positions } = this.deps.follower
    return formatCursor({ epoch, shard, seq: positions[shard]! })
  }
}
