// The signed-in user and the access token that all requests use. Invariant: at most one refresh runs at a time, and
// every caller with a stale token shares it. A refresh is repeated once if its answer is lost: within ten seconds the
// server answers a repeat, from here or another tab, with the same successor.
import type { SessionAnswer } from '../../../src/model/user.ts'
import { ApiError, NetworkError, OriginRefusedError, SignedOutError } from './errors.ts'
import { sendRequest, type Call, type HttpTarget } from './http/request.ts'
import { Listeners } from './async/listeners.ts'
import type { Timing } from './timing.ts'
import { path } from './http/path.ts'
import { waitFor } from './async/signals.ts'

export interface Tokens {
  accessToken: string
  /** Milliseconds since 1970 by this device's clock. */
  expiresAt: number
  /** Null where the browser's cookie holds it. */
  refreshToken: string | null
  /** The user they belong to. */
  userId: string
}

/** Where tokens outlive the page. Any program that can read them can act as the user: prefer the cookie in browsers. */
export interface TokenStorage {
  load(): Tokens | null | Promise<Tokens | null>
  save(tokens: Tokens | null): void | Promise<void>
}

export interface SessionOptions {
  /** A personal access token, instead of signing in. */
  token?: string
  /** The refresh token stays in the HttpOnly cookie and is never seen by this program (same site only). */
  useCookie?: boolean
  storage?: TokenStorage
}

export class Session {
  #tokens: Tokens | null = null
  #renewal: Promise<string> | null = null
  #loading: Promise<void> | null = null
  /** The server refuses this page's origin: a repeat gets the same answer until the server is configured. */
  #refusal: OriginRefusedError | null = null
  /** Signed out here: the cookie that may be left is not used. */
  #isSignedOut = false
  #generation = 0
  #renewAheadMs: number
  readonly #listeners = new Listeners()

  constructor(
    private readonly target: HttpTarget,
    private readonly timing: Timing,
    private readonly options: SessionOptions,
  ) {
    this.#renewAheadMs = timing.renewAheadMs
  }

  /** The signed-in user; null when signed out, with a personal access token, and until tokens were loaded or refreshed. */
  get userId(): string | null {
    return this.#tokens?.userId ?? null
  }

  /** Increments with each sign-in and sign-out: work begun before does not continue for another user. */
  get generation(): number {
    return this.#generation
  }

  /** @throws SignedOutError where a user has signed in or out since `generation`. */
  requireGeneration(generation: number): void {
    if (generation !== this.#generation) throw new SignedOutError()
  }

  /** Whether an HttpOnly cookie may hold a session that this program cannot see. */
  get isCookiePossible(): boolean {
    return this.options.useCookie === true && this.options.token === undefined && !this.#isSignedOut
  }

  /** Calls the listener after every new token, after a stored one was loaded, and after signing out; returns a function that removes it. */
  onChange(listener: () => void): () => void {
    return this.#listeners.add(listener)
  }

  /** A token that does not expire soon. Rejects with SignedOutError where there is none. */
  async token(signal?: AbortSignal): Promise<string> {
    if (this.options.token !== undefined) return this.options.token
    await waitFor(this.#ensureLoaded(), signal)
    const held = this.#tokens
    if (held && held.expiresAt - this.#renewAheadMs > Date.now()) return held.accessToken
    return this.renew(held?.accessToken ?? '', signal)
  }

  /** The current tokens, null when signed out: for programs that store them themselves. */
  async tokens(): Promise<Tokens | null> {
    await this.#ensureLoaded()
    return this.#tokens
  }

  /** Milliseconds until the token should be renewed; null for one that does not expire by itself. */
  get renewInMs(): number | null {
    return this.#tokens && Math.max(0, this.#tokens.expiresAt - this.#renewAheadMs - Date.now())
  }

  /** A newer token than `stale`: the current one if it was renewed meanwhile, else of one refresh shared by all callers. */
  renew(stale: string, signal?: AbortSignal): Promise<string> {
    if (this.options.token !== undefined) return Promise.reject(new SignedOutError('the token was refused'))
    const held = this.#tokens
    if (held && held.accessToken !== stale) return Promise.resolve(held.accessToken)
    if (this.#refusal) return Promise.reject(this.#refusal)
    this.#renewal ??= this.#renewFrom(stale).finally(() => {
      this.#renewal = null
    })
    return waitFor(this.#renewal, signal)
  }

  /** The next renewal sends a request, also after OriginRefusedError. */
  clearRefusal(): void {
    this.#refusal = null
  }

  /** Whether a refresh could help: a personal access token cannot be renewed. */
  get isRenewable(): boolean {
    return this.options.token === undefined
  }

  /** A newer token than the current one, valid or not. */
  async renewCurrent(signal?: AbortSignal): Promise<string> {
    await waitFor(this.#ensureLoaded(), signal)
    return this.renew(this.#tokens?.accessToken ?? '', signal)
  }

  /** Takes the session that registration or sign-in returned. */
  async adopt(answer: SessionAnswer): Promise<void> {
    this.#isSignedOut = false
    this.#refusal = null
    this.#generation += 1
    await this.#store(answer)
  }

  async #store({ user, accessToken, expiresIn, refreshToken }: SessionAnswer): Promise<void> {
    // A short-lived token is used for the first half of its life.
    this.#renewAheadMs = Math.min(this.timing.renewAheadMs, (expiresIn * 1000) / 2)
    await this.#setTokens({
      userId: user.id,
      accessToken,
      expiresAt: Date.now() + expiresIn * 1000,
      refreshToken: this.options.useCookie ? null : refreshToken,
    })
  }

  /** Forgets the tokens, here and in storage. */
  async forget(): Promise<void> {
    this.#isSignedOut = true
    this.#generation += 1
    await this.#setTokens(null)
  }

  /** Loads the stored tokens once, again if that failed. */
  #ensureLoaded(): Promise<void> {
    return (this.#loading ??= this.#load().catch((error: unknown) => {
      this.#loading = null
      throw error
    }))
  }

  async #load(): Promise<void> {
    const turn = this.#generation
    const stored = (await this.options.storage?.load()) ?? null
    if (!stored || this.#tokens || turn !== this.#generation) return
    this.#tokens = stored
    this.#listeners.emit()
  }

  async #setTokens(tokens: Tokens | null): Promise<void> {
    this.#loading ??= Promise.resolve()
    if (tokens && this.#tokens && tokens.userId !== this.#tokens.userId) this.#generation += 1
    this.#tokens = tokens
    // First: views of the former user end also where the storage fails.
    this.#listeners.emit()
    await this.options.storage?.save(tokens)
  }

  async #renewFrom(stale: string): Promise<string> {
    // Another tab with the same storage may have been first.
    if (this.#isSignedOut) throw new SignedOutError()
    const turn = this.#generation
    const stored = (await this.options.storage?.load()) ?? null
    if (stored && stored.accessToken !== stale && stored.expiresAt > Date.now()) {
      await this.#setTokens(stored)
      return stored.accessToken
    }
    const refreshToken = stored?.refreshToken ?? this.#tokens?.refreshToken ?? null
    if (refreshToken === null && !this.options.useCookie) throw new SignedOutError()
    try {
      const answer = await this.#requestTokens(refreshToken)
      if (turn !== this.#generation) return this.#currentToken()
      await this.#store(answer)
      return answer.accessToken
    } catch (error) {
      if (turn !== this.#generation) return this.#currentToken()
      if (error instanceof OriginRefusedError) this.#refusal = error
      if (!isSessionOver(error)) throw error
      await this.#setTokens(null)
      throw new SignedOutError(error)
    }
  }

  #currentToken(): string {
    if (!this.#tokens) throw new SignedOutError()
    return this.#tokens.accessToken
  }

  async #requestTokens(refreshToken: string | null): Promise<SessionAnswer> {
    const call: Call = {
      method: 'POST',
      path: path`/api/auth/refresh`,
      body: refreshToken === null ? {} : { refreshToken },
      timeoutMs: Math.min(this.target.timeoutMs, 4_000),
    }
    try {
      return (await sendRequest<SessionAnswer>(this.target, call, null)).value
    } catch (error) {
      if (!(error instanceof NetworkError)) throw error
      return (await sendRequest<SessionAnswer>(this.target, call, null)).value
    }
  }
}

/**
 * Whether a failed refresh proves that the session has ended. A proxy's own 401 or 403, a refused origin, 429 and 5xx do
 * not: the tokens are kept.
 */
const isSessionOver = (error: unknown): boolean =>
  error instanceof ApiError &&
  ((error.status === 401 && error.code !== 'unreadable') || error.code === 'user_disabled')
