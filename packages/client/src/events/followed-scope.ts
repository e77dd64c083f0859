// One scope that an event feed follows. Invariant: every event is delivered once, in the order of the scope's log, from
// the cursor the scope began with; where the server cannot resume, the listener receives the gap before the next event.
import { callGuarded } from '../async/listeners.ts'
import type { Connection } from '../connection/connection.ts'
import { EventSequence } from '../connection/event-sequence.ts'
import type { Event } from '../connection/frames.ts'
import type { Subscribed, Subscriber } from '../connection/transport.ts'
import { StoppedError, type StopReason } from '../errors.ts'
import type { FeedListener } from './feed-listener.ts'

/** Unconfirmed events whose cursors are remembered; with more of them the order on the socket is trusted. */
const maxUnconfirmed = 20_000

export class FollowedScope implements Subscriber {
  readonly isReady = true
  error: StoppedError | null = null
  #sequence = new EventSequence()
  /** Cursors of delivered events after the confirmed cursor: these arrive again after a reconnect. */
  readonly #delivered = new Set<string>()
  #isSynced = false
  #isResubscribing = false

  /** @param cursor where to begin; null for new events only. */
  constructor(
    public scope: string,
    cursor: string | null,
    private readonly connection: Connection,
    private readonly listener: FeedListener,
  ) {
    if (cursor !== null) this.#sequence.restart(cursor)
  }

  get cursor(): string | null {
    return this.#sequence.cursor
  }

  /** The cursor of the last event delivered, or a later one up to which there is none. */
  get latest(): string | null {
    return this.#sequence.latest
  }

  subscribed(answer: Subscribed): void {
    this.scope = answer.scope
    this.#isSynced = false
    if (answer.isFresh) this.#sequence.restart(answer.cursor)
    this.#sequence.subscribed(answer.replay)
    callGuarded(() => this.listener.onSubscribed?.(answer))
  }

  event(event: Event): void {
    const { cursor } = event
    if (!this.#sequence.receive(cursor)) return
    if (this.#delivered.has(cursor)) return
    this.#delivered.add(cursor)
    callGuarded(() => this.listener.onEvent(event))
    if (this.#sequence.unconfirmedCount > maxUnconfirmed) this.#confirm(cursor)
  }

  synced(cursor: string): void {
    if (!this.#sequence.isReplayComplete) return this.#resubscribe()
    this.#isSynced = true
    this.#confirm(cursor)
  }

  position(cursor: string, count: number): void {
    if (!this.#isSynced) return
    if (this.#sequence.count === count) this.#confirm(cursor)
    else this.#resubscribe()
  }

  resync(reason: string): void {
    const cause = new Error(`the server answered ${reason}`)
    if (reason === 'bad_frame') return this.stopped('refused', null, cause)
    const { scope, latest: cursor } = this
    callGuarded(() => this.listener.onGap?.({ scope, cursor, reason }))
    if (this.error) return // the listener has unfollowed it
    this.#sequence = new EventSequence()
    this.#delivered.clear()
    this.#isResubscribing = false
    this.connection.subscribe(this)
  }

  stopped(reason: StopReason, closeCode: number | null, cause?: unknown): void {
    if (this.error) return
    const error = new StoppedError(reason, closeCode, cause)
    this.error = error
    this.connection.unsubscribe(this)
    callGuarded(() => this.listener.onStopped?.(this.scope, error))
  }

  connectionChanged(): void {}

  /** Events were lost: reads them again from the confirmed cursor; if they are lost again, reports a gap. */
  #resubscribe(): void {
    if (this.#isResubscribing) return this.resync('lost_events')
    this.#isResubscribing = true
    this.#isSynced = false
    this.connection.subscribe(this)
  }

  #confirm(cursor: string): void {
    this.#isResubscribing = false
    this.#sequence.confirm(cursor)
    this.#delivered.clear()
  }
}
