// The log over GET /api/sync, for networks that block sockets: the same events under the same cursors, with long
// polls. Presence and signals do not exist here.
import { ApiError, NetworkError, OriginRefusedError, SignedOutError } from '../errors.ts'
import { isNotFound, type HttpClient } from '../http/http-client.ts'
import { socketRetryCode, retryWindowOf, type Ending, type Subscriber, type Transport } from './transport.ts'
import type { TransportOwner } from './transport-owner.ts'
import { path } from '../http/path.ts'
import type { Timing } from '../timing.ts'
import { randomMs } from '../async/back-off.ts'
import { InterruptiblePause } from '../async/pause.ts'
import { withAnySignal } from '../async/signals.ts'
import type { Event } from './frames.ts'

interface Page {
  scope: string
  events: Event[]
  cursor: string
  more: boolean
}

/** Scopes of one request. */
const maxScopes = 64

export class PollTransport implements Transport {
  readonly kind = 'poll'
  #isOpened = false
  #currentPoll = new AbortController()
  /** Until then polls do not wait at the server, because too many polls of this user do. */
  #throttledUntil = 0
  #throttledPauseMs = 0
  readonly #pause = new InterruptiblePause()
  readonly #subscribed = new WeakSet<Subscriber>()

  constructor(
    private readonly http: HttpClient,
    private readonly timing: Timing,
    private readonly owner: TransportOwner,
    private readonly maxMs: number,
  ) {}

  async run(signal: AbortSignal): Promise<Ending> {
    const endsAt = Date.now() + this.maxMs
    try {
      while (!signal.aborted && Date.now() < endsAt) await this.#pollOnce(signal)
      return { code: signal.aborted ? 1000 : socketRetryCode, opened: this.#isOpened }
    } catch (cause) {
      return { code: closeCodeOf(cause), opened: this.#isOpened, ...retryWindowOf(cause, this.timing), cause }
    }
  }

  subscribe(subscriber: Subscriber): void {
    this.#subscribed.delete(subscriber)
    this.#currentPoll.abort()
    this.#pause.wake()
  }

  unsubscribe(): void {
    this.#currentPoll.abort()
  }

  watch(): void {}

  probe(): void {
    this.#currentPoll.abort()
  }

  send(): boolean {
    return false
  }

  async #pollOnce(signal: AbortSignal): Promise<void> {
    this.#currentPoll = new AbortController()
    const subscribers = [...this.owner.followed.subscribers()].filter(({ isReady }) => isReady)
    for (const surplus of subscribers.splice(maxScopes)) this.owner.endSubscriber(surplus, 'limit')
    try {
      await withAnySignal([signal, this.#currentPoll.signal], (round) =>
        this.#pollAndPause(subscribers, round),
      )
    } catch (error) {
      if (signal.aborted || !this.#currentPoll.signal.aborted) throw error
    }
  }

  async #pollAndPause(subscribers: Subscriber[], signal: AbortSignal): Promise<void> {
    if (subscribers.length === 0) return this.#pause.wait(this.timing.pollWaitMs, signal)
    // A new subscriber gets its position at once; waiting starts with the next round.
    const isNew = subscribers.some((subscriber) => !this.#subscribed.has(subscriber))
    const startedAt = Date.now()
    const isCrowded = startedAt < this.#throttledUntil
    const waitMs = isNew || isCrowded ? 0 : this.timing.pollWaitMs
    const news = await this.#pollWithinQuota(subscribers, waitMs, signal)
    // An early empty answer comes from a server that stops or has too many waiting polls of this user, or from a proxy
    // that lets none wait. Polling again at once would be a busy loop.
    const { pollPauseMs } = this.timing
    const isIdle = news === 0 && Date.now() - startedAt < Math.max(pollPauseMs, waitMs - pollPauseMs)
    const pauseMs = Date.now() < this.#throttledUntil ? this.#throttledPauseMs : pollPauseMs
    if (isIdle) await this.#pause.wait(randomMs(pauseMs, 1.5 * pauseMs), signal)
  }

  /**
   * A server takes few waiting polls of a user, over all tabs and devices; one more is 429. The transport continues with
   * polls that do not wait, as rarely as `Retry-After` asks, and tries to wait again after a while.
   */
  async #pollWithinQuota(subscribers: Subscriber[], waitMs: number, signal: AbortSignal): Promise<number> {
    try {
      return await this.#poll(subscribers, waitMs, signal)
    } catch (error) {
      if (waitMs === 0 || !(error instanceof ApiError) || error.status !== 429) throw error
      const { pollPauseMs, pollWaitMs, maxRetryAfterMs } = this.timing
      this.#throttledPauseMs = Math.min(Math.max(error.retryAfterMs ?? 0, 2 * pollPauseMs), maxRetryAfterMs)
      this.#throttledUntil = Date.now() + 2 * pollWaitMs
      return 0
    }
  }

  /** Returns the number of events and new subscriptions it brought. */
  async #poll(subscribers: Subscriber[], waitMs: number, signal: AbortSignal): Promise<number> {
    try {
      const pages = await this.#read(subscribers, waitMs, signal)
      if (!this.#isOpened) this.owner.opened()
      this.#isOpened = true
      return subscribers.reduce(
        (news, subscriber, index) => news + this.#deliver(subscriber, pages[index]),
        0,
      )
    } catch (error) {
      const isMissing: boolean = isNotFound(error)
      if (!(error instanceof ApiError) || !(isMissing || [400, 410].includes(error.status))) throw error
      // The error does not name the scope: request each alone.
      if (subscribers.length > 1) {
        let news = 0
        for (const subscriber of subscribers) news += await this.#poll([subscriber], 0, signal)
        return news
      }
      const [subscriber] = subscribers
      if (isMissing) this.owner.endSubscriber(subscriber!, 'not_found', error)
      else subscriber!.resync(reasonOf(error))
      return 1
    }
  }

  async #read(subscribers: Subscriber[], waitMs: number, signal: AbortSignal): Promise<Page[]> {
    const { scopes } = await this.http.value<{ scopes: Page[] }>({
      method: 'GET',
      path: path`/api/sync`,
      query: {
        scope: subscribers.map(({ scope }) => scope),
        cursor: subscribers.map(({ cursor }) => cursor!),
        ...(waitMs >= 1000 && { wait: Math.floor(waitMs / 1000) }),
      },
      timeoutMs: this.timing.requestMs + waitMs,
      attempts: 1, // the connection backs off and shows that it is offline
      signal,
    })
    return scopes
  }

  #deliver(subscriber: Subscriber, page: Page | undefined): number {
    if (!page || this.owner.followed.subscriber(subscriber.scope) !== subscriber) return 0
    const isNew = !this.#subscribed.has(subscriber)
    if (isNew)
      subscriber.subscribed({ scope: page.scope, cursor: subscriber.cursor!, replay: 0, isFresh: false })
    this.#subscribed.add(subscriber)
    for (const event of page.events) subscriber.event(event)
    // The end of a page is a confirmed cursor, also where more pages follow.
    if (subscriber.isReady) subscriber.synced(page.cursor, page.more)
    return page.events.length + Number(isNew)
  }
}

/** The reason of a 410, which its problem names. */
const reasonOf = ({ code, problem: { reason } }: ApiError): string =>
  typeof reason === 'string' ? reason : code

const closeCodeOf = (cause: unknown): number => {
  if (cause instanceof SignedOutError) return 4401
  if (cause instanceof NetworkError || cause instanceof OriginRefusedError) return 1006
  if (!(cause instanceof ApiError)) return 4000
  if (cause.status === 429) return 4429
  return cause.code === 'unreadable' ? 1006 : cause.status === 401 ? 4401 : cause.status === 403 ? 4403 : 1006
}
