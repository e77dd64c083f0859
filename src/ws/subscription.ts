// One connection's place in one scope. Invariant: every entry of the scope above `position` is still to be sent,
// everything up to it was sent or is not for this reader, each once. There is no buffer: a subscription that is
// not live reads what it lacks from the ring, the stream or the log, and becomes live in the same tick in which
// it has reached the tail.
//
//        waiting ◀──▶ catching-up ──▶ live ──▶ over
//           ▲                          │        ▲
//           └──── connection parked ───┘        └── revoked, resync, unsub, replaced, closed
import type { Scope } from '../model/scope.ts'
import type { LogEntry } from '../model/event.ts'
import { formatCursor } from '../model/event.ts'
import type { Framed } from '../db/log/feed.ts'
import { isTransient } from '../errors.ts'
import type { Gap } from '../changelog/follower/history.ts'
import type { DeferrableSubscriber } from '../changelog/follower/hub.ts'
import { backOffMs } from '../async/back-off.ts'
import { snapshotPath } from '../domain/sync.ts'
import type { RawSocket, ConnectionHandle, SocketDeps } from './connection-handle.ts'

/** Behind by more numbers of the shard than this, and few of them of the scope, its own index is cheaper. */
const maxShardReplay = 2_000
const sparseShare = 1 / 8
const maxBackoffMs = 2_000

interface Start {
  scope: Scope
  shard: number
  epoch: string
  /** Everything up to this number is held by the client. */
  from: number
  /** Everything up to this number is visible in PostgreSQL: catching up has to reach it. */
  head: number
  /** How many events of the scope are between the two. */
  events: number
}

type State = 'waiting' | 'catching-up' | 'live' | 'over'

export class Subscription implements DeferrableSubscriber {
  /** While live, and the connection is not parked. */
  #rawSocket: RawSocket | null = null
  #position: number
  #count = 0
  #state: State = 'waiting'
  #synced = false
  readonly #leave: () => void

  constructor(
    readonly start: Start,
    private readonly outlet: ConnectionHandle,
    private readonly deps: SocketDeps,
  ) {
    this.#position = start.from
    this.#leave = deps.follower.subscribe(start.scope, this, 'deferrable')
  }

  /** Whether `catchUp` is to be called as soon as the connection is not parked. */
  get isWaiting(): boolean {
    return this.#state === 'waiting'
  }

  /** Called by the hub, in order. Only a live subscription has reached the entry before these. */
  onEntries(entries: LogEntry[]): void {
    try {
      this.#sendEntries(entries)
    } catch (error) {
      this.#closeAfterFailure(error)
    }
  }

  #sendEntries(entries: LogEntry[]): void {
    const entry = entries[0]!
    // Nearly always it is one, for everybody alike. What thousands do for the same frame is kept short and away from
    // their connections: each would be out of the cache, which made a fan-out 4 to 7 % longer.
    if (
      this.#rawSocket === null ||
      entries.length > 1 ||
      entry.control !== null ||
      entry.frame === null ||
      entry.seq <= this.#position
    )
      return this.#sendAnyEntries(entries)
    this.#position = entry.seq
    this.#count += 1
    this.deps.stats.sent += 1
    const sent = this.#rawSocket.send(entry.frame)
    if (sent <= 0) this.outlet.onUnsent(sent)
  }

  #sendAnyEntries(entries: LogEntry[]): void {
    if (this.#state !== 'live') return
    this.#rawSocket = this.outlet.rawSocket // null if it was parked; it may have drained since
    this.#send(entries)
  }

  /** Sends nothing on the line until it is given anew. */
  suspend(): void {
    this.#rawSocket = null
  }

  /** Called by the hub in place of `deliver`: goes on from memory in this very tick, as nearly always can be done. */
  onBacklog(first: LogEntry): void {
    try {
      this.#continueFromRing(first)
    } catch (error) {
      this.#closeAfterFailure(error)
    }
  }

  #continueFromRing(first: LogEntry): void {
    if (this.#state !== 'live') return
    this.#position = Math.max(this.#position, first.seq - 1)
    this.#enter(this.outlet.isParked ? 'waiting' : 'catching-up')
    while (this.#is('catching-up') && !this.#reachedTail()) {
      const entries = this.deps.follower.history.recent(this.start.shard, this.#position)
      if (!entries) {
        this.#enter('waiting')
        return this.outlet.catchUp()
      }
      this.#send(entries)
      if (this.#is('catching-up')) this.#position = Math.max(this.#position, entries.at(-1)!.seq)
    }
  }

  /** Sends what is missing until the tail is reached or the connection is parked. Never throws. */
  async catchUp(): Promise<void> {
    this.#enter('catching-up')
    let failures = 0
    while (this.#is('catching-up') && !this.#reachedTail()) {
      try {
        const { entries, upTo } = await this.deps.follower.history.page(this.#gap, this.outlet.userId)
        if (!this.#is('catching-up')) return
        this.#send(entries)
        if (this.#is('catching-up')) this.#position = Math.max(this.#position, upTo)
        failures = 0
      } catch (error) {
        if (!this.#is('catching-up')) return
        failures += 1
        // Whoever reconnected would need PostgreSQL even more: the place is kept until it is back.
        if (isTransient(error)) await Bun.sleep(backOffMs(failures, 100, maxBackoffMs))
        else this.#closeAfterFailure(error)
      }
    }
  }

  /** The client comes back with its cursor. */
  #closeAfterFailure(error: unknown): void {
    this.deps.log.error({ err: error, scope: this.start.scope }, 'a subscription failed')
    this.outlet.close('server_error')
  }

  /** Ends the subscription: nothing of the scope is sent any more. */
  end(): void {
    this.#enter('over')
    this.#leave()
  }

  /** Its cursor is void: ends it with where to read the scope anew. */
  onEpochChange(): void {
    const { scope } = this.start
    this.end()
    this.outlet.onSubscriptionEnd(scope)
    this.deps.stats.resyncs.epoch += 1
    this.outlet.send({ t: 'resync', scope, reason: 'epoch', snapshot: snapshotPath(scope) })
  }

  /** Tells the client how far it has heard everything, and how many events that were. */
  sendPosition(): void {
    if (this.#state === 'live') {
      this.outlet.send({
        t: 'position',
        scope: this.start.scope,
        // Where the hub still has something for it, it has not been sent everything up to the tail.
        cursor: this.#cursor(
          this.deps.follower.hasPendingRound(this.start.scope) ? this.#position : this.#tailPosition(),
        ),
        count: this.#count,
      })
    }
  }

  // The tail moves only in the tick in which it delivers, so having reached it and being live is one step.
  #reachedTail(): boolean {
    if (this.#position < Math.max(this.start.head, this.#tailPosition())) return false
    this.#enter('live')
    if (!this.#synced) {
      this.#synced = true
      this.outlet.send({ t: 'synced', scope: this.start.scope, cursor: this.#cursor(this.#position) })
    }
    return true
  }

  get #gap(): Gap {
    const { scope, shard, epoch, from, head, events } = this.start
    const after = this.#position
    const upTo = Math.max(head, this.deps.follower.positions[shard]!)
    const isSparse = upTo - after > maxShardReplay && events < sparseShare * (head - from)
    return { scope, shard, epoch, after, upTo, isSparse }
  }

  /** Sends what is of this scope and above the position, until the connection is parked. */
  #send(entries: readonly Framed[]): void {
    if (entries.length > 1) this.outlet.cork(() => this.#sendDue(entries))
    else this.#sendDue(entries)
  }

  #sendDue(entries: readonly Framed[]): void {
    for (const entry of entries) {
      if (this.#state === 'over') return
      if (entry.seq <= this.#position || entry.scope !== this.start.scope) continue
      if (this.outlet.isParked) {
        // Everything before this entry was sent: its place is held, catching up goes on from there.
        this.#position = entry.seq - 1
        this.#enter('waiting')
        return
      }
      this.#sendOne(entry)
    }
  }

  #sendOne(entry: Framed): void {
    const revoked = entry.control?.kind === 'revoke' && entry.control.userId === this.outlet.userId
    if (!revoked && entry.frame !== null) {
      this.outlet.sendText(entry.frame)
      this.#count += 1
      this.deps.stats.sent += 1
    }
    this.#position = entry.seq
    if (!revoked && entry.control?.kind !== 'delete') return
    this.end()
    this.outlet.onSubscriptionEnd(this.start.scope)
    this.outlet.send({ t: 'access', scope: this.start.scope, cursor: this.#cursor(entry.seq), op: 'revoked' })
  }

  #enter(state: State): void {
    this.#state = state
    this.#rawSocket = state === 'live' ? this.outlet.rawSocket : null
  }

  // The state may have changed over an await, which the compiler cannot know.
  #is(state: 'catching-up'): boolean {
    return this.#state === state
  }

  #tailPosition(): number {
    return Math.max(this.#position, this.deps.follower.positions[this.start.shard]!)
  }

  #cursor(seq: number): string {
    return formatCursor({ epoch: this.start.epoch, shard: this.start.shard, seq })
  }
}
