// The scopes one connection follows: joining them at a cursor, leaving them, and bringing on those that are behind,
// one after another, so that a connection holds one page of the log at a time.
import type { Identity } from '../auth/authenticator.ts'
import { parseScope } from '../model/scope.ts'
import { shardOf, type Scope } from '../model/scope.ts'
import { joinScopes, maxReplayEntries, snapshotPath } from '../domain/sync.ts'
import { formatCursor, parseCursor } from '../model/event.ts'
import type { Rid, ResyncReason } from '../model/frames.ts'
import type { ConnectionHandle, SocketDeps } from './connection-handle.ts'
import { limits } from './protocol.ts'
import { Subscription } from './subscription.ts'

export class Subscriptions {
  readonly #held = new Map<Scope, Subscription>()
  #isCatchingUp = false

  constructor(
    private readonly outlet: ConnectionHandle,
    private readonly deps: SocketDeps,
  ) {}

  /** @throws AppError `unavailable`. */
  async join(rid: Rid, text: string, cursorText: string | null, { actor }: Identity): Promise<void> {
    const { outlet, deps } = this
    const scope = parseScope(text, actor.userId)
    const cursor = cursorText === null ? null : parseCursor(cursorText)
    if (!scope || (cursorText !== null && cursor?.shard !== shardOf(scope)))
      return outlet.error('bad_frame', rid)
    const held = this.#held.get(scope)
    if (!held && this.#held.size >= limits.subscriptions) return outlet.error('limit', rid)
    using place = deps.doorway.tryEnter()
    if (!place) return outlet.close('overloaded')
    // What is committed after this read, a revocation too, has a number above its head and is met on the way there.
    const [joined] = await deps.db
      .of(actor.userId)
      .read((sql) => joinScopes(sql, actor, [{ scope, cursor }], maxReplayEntries))
    if (!joined) throw new Error('a scope was not looked at')
    if ('epoch' in joined) await deps.follower.awaitEpoch(joined.epoch)
    if (outlet.isClosed) return
    held?.end()
    this.#held.delete(scope)
    if (joined.kind === 'denied') {
      return held
        ? outlet.send({ t: 'access', scope, cursor: this.#cursorNow(shardOf(scope)), op: 'revoked' })
        : outlet.error('not_found', rid)
    }
    if (joined.kind === 'resync') return this.#resync(rid, scope, joined.reason)
    const { epoch, shard, from, head, events } = joined
    // A newer one began after the read: its numbers cannot be compared.
    if (epoch !== deps.follower.epoch) return this.#resync(rid, scope, 'epoch')
    const start = formatCursor({ epoch, shard, seq: from })
    outlet.send({ t: 'sub', rid, scope, mode: joined.kind, cursor: start, replay: events })
    this.#held.set(scope, new Subscription({ scope, shard, epoch, from, head, events }, outlet, deps))
    this.catchUp()
  }

  leave(rid: Rid, text: string, { actor }: Identity): void {
    const scope = parseScope(text, actor.userId)
    if (!scope) return this.outlet.error('bad_frame', rid)
    this.#held.get(scope)?.end()
    this.#held.delete(scope)
    this.outlet.send({ t: 'ok', rid })
  }

  /** A subscription ended itself. */
  remove(scope: Scope): void {
    this.#held.delete(scope)
  }

  /** Brings on what waits, until the connection is parked. */
  catchUp(): void {
    if (!this.#isCatchingUp) void this.#catchUpAll()
  }

  /** The connection is parked: nobody sends on its line any more. */
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
    while (!this.outlet.isParked) {
      const next = [...this.#held.values()].find((subscription) => subscription.isWaiting)
      if (!next) break
      await next.catchUp() // never throws
    }
    this.#isCatchingUp = false // in the same step as the last look
  }

  #resync(rid: Rid, scope: Scope, reason: ResyncReason): void {
    this.deps.stats.resyncs[reason] += 1
    this.outlet.send({ t: 'resync', scope, rid, reason, snapshot: snapshotPath(scope) })
  }

  #cursorNow(shard: number): string {
    const { epoch, positions } = this.deps.follower
    return formatCursor({ epoch, shard, seq: positions[shard]! })
  }
}
