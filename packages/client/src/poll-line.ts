// The log over GET /api/sync, for networks that block sockets: the same events under the same cursors, with long
// polls. Presence and signals do not exist here.
import { ApiError, NetworkError, OriginRefusedError, SignedOutError } from './errors.ts'
import { isMissing, type Http } from './http.ts'
import { retrySocket, windowOf, type Ending, type Ends, type Follower, type Line } from './line.ts'
import { path } from './path.ts'
import type { Timing } from './timing.ts'
import { InterruptibleSleep, withAny } from './wait.ts'
import type { Event } from './wire.ts'

interface Page {
  scope: string
  events: Event[]
  cursor: string
  more: boolean
}

/** What one request takes. */
const maxScopes = 64

export class PollLine implements Line {
  readonly kind = 'poll'
  #opened = false
  #round = new AbortController()
  /** Until then polls do not wait: too many of this person's do. */
  #crowdedUntil = 0
  #pauseMs = 0
  readonly #nap = new InterruptibleSleep()
  readonly #joined = new WeakSet<Follower>()

  constructor(
    private readonly http: Http,
    private readonly timing: Timing,
    private readonly ends: Ends,
    private readonly forMs: number,
  ) {}

  async run(signal: AbortSignal): Promise<Ending> {
    const endsAt = Date.now() + this.forMs
    try {
      while (!signal.aborted && Date.now() < endsAt) await this.#once(signal)
      return { code: signal.aborted ? 1000 : retrySocket, opened: this.#opened }
    } catch (cause) {
      return { code: codeOf(cause), opened: this.#opened, ...windowOf(cause, this.timing), cause }
    }
  }

  join(follower: Follower): void {
    this.#joined.delete(follower)
    this.#round.abort()
    this.#nap.wake()
  }

  leave(): void {
    this.#round.abort()
  }

  watch(): void {}

  probe(): void {
    this.#round.abort()
  }

  send(): boolean {
    return false
  }

  async #once(signal: AbortSignal): Promise<void> {
    this.#round = new AbortController()
    const followers = [...this.ends.followers()].filter((one) => one.cursor !== null)
    for (const surplus of followers.splice(maxScopes)) this.ends.drop(surplus, 'limit')
    try {
      await withAny([signal, this.#round.signal], (round) => this.#ask(followers, round))
    } catch (error) {
      if (signal.aborted || !this.#round.signal.aborted) throw error
    }
  }

  async #ask(followers: Follower[], signal: AbortSignal): Promise<void> {
    if (followers.length === 0) return this.#nap.sleep(this.timing.pollWait, signal)
    // Whoever is new hears at once where it stands; waiting starts with the next round.
    const isNew = followers.some((follower) => !this.#joined.has(follower))
    const startedAt = Date.now()
    const isCrowded = startedAt < this.#crowdedUntil
    const waitMs = isNew || isCrowded ? 0 : this.timing.pollWait
    const news = await this.#pollInTurn(followers, waitMs, signal)
    // As a server answers that is stopping or has too many polls of this person waiting, or a proxy that lets none
    // wait. Asking again at once would end the wait of the next one.
    const { pollPause } = this.timing
    const isIdle = news === 0 && Date.now() - startedAt < Math.max(pollPause, waitMs - pollPause)
    const pauseMs = Date.now() < this.#crowdedUntil ? this.#pauseMs : pollPause
    if (isIdle) await this.#nap.sleep(pauseMs * (1 + Math.random() / 2), signal)
  }

  /**
   * A server takes few polls of a person that wait, over all tabs and devices; one more is 429. The line goes on with
   * polls that do not wait, as seldom as `Retry-After` asks, and tries to wait again after a while.
   */
  async #pollInTurn(followers: Follower[], waitMs: number, signal: AbortSignal): Promise<number> {
    try {
      return await this.#poll(followers, waitMs, signal)
    } catch (error) {
      if (waitMs === 0 || !(error instanceof ApiError) || error.status !== 429) throw error
      const { pollPause, pollWait, retryAfterMost } = this.timing
      this.#pauseMs = Math.min(Math.max(error.retryAfterMs ?? 0, 2 * pollPause), retryAfterMost)
      this.#crowdedUntil = Date.now() + 2 * pollWait
      return 0
    }
  }

  /** Answers how much it brought. */
  async #poll(followers: Follower[], waitMs: number, signal: AbortSignal): Promise<number> {
    try {
      const pages = await this.#read(followers, waitMs, signal)
      if (!this.#opened) this.ends.opened()
      this.#opened = true
      return followers.reduce((news, follower, index) => news + this.#deliver(follower, pages[index]), 0)
    } catch (error) {
      const isOfScope = error instanceof ApiError && [400, 410].includes(error.status)
      if (!isOfScope && !isMissing(error)) throw error
      // The answer does not say which scope it is about: ask for each.
      if (followers.length > 1) {
        let news = 0
        for (const follower of followers) news += await this.#poll([follower], 0, signal)
        return news
      }
      const [follower] = followers
      if (isMissing(error)) this.ends.drop(follower!, 'not_found', error)
      else follower!.resync()
      return 1
    }
  }

  async #read(followers: Follower[], waitMs: number, signal: AbortSignal): Promise<Page[]> {
    const { scopes } = await this.http.value<{ scopes: Page[] }>({
      method: 'GET',
      path: path`/api/sync`,
      query: {
        scope: followers.map(({ scope }) => scope),
        cursor: followers.map(({ cursor }) => cursor!),
        ...(waitMs >= 1000 && { wait: Math.floor(waitMs / 1000) }),
      },
      timeoutMs: this.timing.request + waitMs,
      attempts: 1, // that it fails is to be seen at once; the connection backs off
      signal,
    })
    return scopes
  }

  #deliver(follower: Follower, page: Page | undefined): number {
    if (!page || this.ends.follower(follower.scope) !== follower) return 0
    const isNew = !this.#joined.has(follower)
    if (isNew) follower.joined(0)
    this.#joined.add(follower)
    for (const event of page.events) follower.event(event)
    // A page that ends in the middle is as good a place to go on from.
    if (follower.cursor !== null) follower.synced(page.cursor, page.more)
    return page.events.length + Number(isNew)
  }
}

const codeOf = (cause: unknown): number => {
  if (cause instanceof SignedOutError) return 4401
  if (cause instanceof NetworkError || cause instanceof OriginRefusedError) return 1006
  if (!(cause instanceof ApiError)) return 4000
  if (cause.status === 429) return 4429
  return cause.code === 'unreadable' ? 1006 : cause.status === 401 ? 4401 : cause.status === 403 ? 4403 : 1006
}
