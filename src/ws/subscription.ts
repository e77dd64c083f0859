// One connection's position in one scope. Invariant: every entry of the scope above the position is still to be sent;
// each entry up to it was sent once, or is not for this reader.
//
// Resume, the problem: a client returns with a cursor while new entries arrive, and must receive each entry once and in
// order. The naive way reads the backlog and buffers live entries meanwhile: a slow client then holds an unbounded
// buffer, and a crowd that reconnects holds one each. The way chosen has no buffer: a subscription that is not live
// ignores live entries and reads what it lacks in pages from the ring, the stream or the log. The follower advances only
// in the tick in which it publishes, so a subscription that has reached the follower's position becomes live in the
// same tick and misses nothing. `subscription-state.ts` has the states.
import type { LogEntry } from '../model/event.ts'
import { formatCursor } from '../model/event.ts'
import type { Framed } from '../db/log/feed.ts'
import { isTransient } from '../errors.ts'
import type { DeferrableSubscriber } from '../changelog/follower/hub.ts'
import { backOffMs } from '../async/back-off.ts'
import { transitions, type SubscriptionEvent, type SubscriptionState } from './subscription-state.ts'
import { snapshotPath } from '../domain/sync.ts'
import type { RawSocket, ConnectionHandle, SocketDeps } from './connection-handle.ts'
import { gapAbove, type ReplayStart } from './replay-gap.ts'

const maxBackoffMs = 2_000

export class Subscription implements DeferrableSubscriber {
  /** While live, and the connection is not parked. */
  #rawSocket: RawSocket | null = null
  #position: number
  #count = 0
  #state: SubscriptionState = 'waiting'
  #synced = false

  constructor(
    readonly start: ReplayStart,
    private readonly connection: ConnectionHandle,
    private readonly deps: SocketDeps,
  ) {
    this.#position = start.from
    deps.follower.subscribe(start.scope, this, 'deferrable')
  }

  /** Whether `catchUp` has to be called once the connection is not parked. */
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
    // Nearly always there is one entry, with the same frame for all subscribers. This path does not touch the
    // connection object: with thousands of subscribers it is out of the CPU cache, which made a fan-out 4 to 7 % longer.
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
    if (sent <= 0) this.connection.onUnsent(sent)
  }

  #sendAnyEntries(entries: LogEntry[]): void {
    if (this.#state !== 'live') return
    this.#rawSocket = this.connection.rawSocket // null while parked; the connection may have drained since
    this.#send(entries)
  }

  /** The connection is parked: gives up the raw socket until the state changes. */
  suspend(): void {
    this.#rawSocket = null
  }

  /** Called by the hub in place of `onEntries` after a delay: continues from the ring in the same tick where it can. */
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
    this.#apply(this.connection.isParked ? 'pause' : 'start')
    while (this.#is('catching-up') && !this.#reachedTail()) {
      const entries = this.deps.follower.history.recent(this.start.shard, this.#position)
      if (!entries) {
        this.#apply('pause')
        return this.connection.catchUp()
      }
      this.#send(entries)
      if (this.#is('catching-up')) this.#position = Math.max(this.#position, entries.at(-1)!.seq)
    }
  }

  /** Sends pages of the backlog until the follower's position is reached or the connection is parked. Never throws. */
  async catchUp(): Promise<void> {
    this.#apply('start')
    let failures = 0
    while (this.#is('catching-up') && !this.#reachedTail()) {
      try {
        const { history, positions } = this.deps.follower
        const gap = gapAbove(this.#position, positions, this.start)
        const { entries, upTo } = await history.page(gap, this.connection.userId)
        if (!this.#is('catching-up')) return
        this.#send(entries)
        if (this.#is('catching-up')) this.#position = Math.max(this.#position, upTo)
        failures = 0
      } catch (error) {
        if (!this.#is('catching-up')) return
        failures += 1
        // Closing would make the client reconnect, which needs PostgreSQL even more: keep the position and retry.
        if (isTransient(error)) await Bun.sleep(backOffMs(failures, 100, maxBackoffMs))
        else this.#closeAfterFailure(error)
      }
    }
  }

  /** The client reconnects and resumes from its cursor. */
  #closeAfterFailure(error: unknown): void {
    this.deps.log.error(
      { err: error, scope: this.start.scope },
      'subscription failed, closing its connection',
    )
    this.connection.close('server_error')
  }

  /** Ends the subscription: no further frame of the scope is sent. */
  end(): void {
    this.#apply('end')
    this.deps.follower.unsubscribe(this.start.scope, this)
  }

  /** The cursor is void: ends the subscription and names the snapshot to read. */
  onEpochChange(): void {
    const { scope } = this.start
    this.end()
    this.connection.onSubscriptionEnd(scope)
    this.deps.stats.resyncs.epoch += 1
    this.connection.send({ t: 'resync', scope, reason: 'epoch', snapshot: snapshotPath(scope) })
  }

  /** Sends the cursor up to which everything was sent, and the number of events sent. */
  sendPosition(): void {
    if (this.#state === 'live') {
      this.connection.send({
        t: 'position',
        scope: this.start.scope,
        // With a pending round of the hub, entries up to the follower's position are still unsent.
        cursor: this.#cursor(
          this.deps.follower.hasPendingRound(this.start.scope) ? this.#position : this.#tailPosition(),
        ),
        count: this.#count,
      })
    }
  }

  // The follower advances only in the tick in which it publishes: reaching it and becoming live is one step.
  #reachedTail(): boolean {
    if (this.#position < Math.max(this.start.head, this.#tailPosition())) return false
    this.#apply('reach-tail')
    if (!this.#synced) {
      this.#synced = true
      this.connection.send({ t: 'synced', scope: this.start.scope, cursor: this.#cursor(this.#position) })
    }
    return true
  }

  /** Sends the entries of this scope above the position, until the connection is parked. */
  #send(entries: readonly Framed[]): void {
    if (entries.length > 1) this.connection.cork(() => this.#sendDue(entries))
    else this.#sendDue(entries)
  }

  #sendDue(entries: readonly Framed[]): void {
    for (const entry of entries) {
      if (this.#state === 'over') return
      if (entry.seq <= this.#position || entry.scope !== this.start.scope) continue
      if (this.connection.isParked) {
        // Everything before this entry was sent: catching up continues here.
        this.#position = entry.seq - 1
        this.#apply('pause')
        return
      }
      this.#sendOne(entry)
    }
  }

  #sendOne(entry: Framed): void {
    const revoked = entry.control?.kind === 'revoke' && entry.control.userId === this.connection.userId
    if (!revoked && entry.frame !== null) {
      this.connection.sendText(entry.frame)
      this.#count += 1
      this.deps.stats.sent += 1
    }
    this.#position = entry.seq
    if (!revoked && entry.control?.kind !== 'delete') return
    this.end()
    this.connection.onSubscriptionEnd(this.start.scope)
    this.connection.send({
      t: 'access',
      scope: this.start.scope,
      cursor: this.#cursor(entry.seq),
      op: 'revoked',
    })
  }

  #apply(event: SubscriptionEvent): void {
    this.#state = transitions[this.#state][event]
    this.#rawSocket = this.#state === 'live' ? this.connection.rawSocket : null
  }

  // The state may change during an await, which the compiler does not know.
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
