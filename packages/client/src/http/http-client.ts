// Authorized requests with retries. Invariant: only reads and writes with an Idempotency-Key are repeated, each attempt
// under the key of the first, so that an effect happens once.
import { ApiError, NetworkError } from '../errors.ts'
import { path } from './path.ts'
import { sendRequest, sendTo, type Answer, type Call, type HttpTarget } from './request.ts'
import { newId } from '../outbox/ids.ts'
import type { Session } from '../session.ts'
import type { Timing } from '../timing.ts'
import { fullJitterMs } from '../async/back-off.ts'
import { pause } from '../async/pause.ts'
import { throwIfAborted } from '../async/signals.ts'

const never = new AbortController().signal

export class HttpClient {
  constructor(
    private readonly target: HttpTarget,
    private readonly session: Session,
    private readonly timing: Timing,
  ) {}

  /** Sends a call of the signed-in user. A write without a key gets one; `key: null` forbids a key and retries. */
  async send<T>(call: Call): Promise<Answer<T>> {
    const key = call.key === undefined && call.method !== 'GET' ? newId() : call.key
    const isRepeatable = call.method === 'GET' || typeof key === 'string'
    const { generation } = this.session
    return this.#withRetries(call, isRepeatable, () => this.#authorized<T>({ ...call, key }, generation))
  }

  /** Sends a call that needs no credentials, once. */
  sendAnonymously<T>(call: Call): Promise<Answer<T>> {
    return sendRequest<T>(this.target, call, null)
  }

  /** As `send`, with the body alone. */
  async value<T>(call: Call): Promise<T> {
    return (await this.send<T>(call)).value
  }

  /** Stores a file by a request that the server has signed; no credentials go with it. Repeated after lost answers. */
  store(
    { url, method, headers }: { url: string; method: string; headers: Record<string, string> },
    file: Blob,
    options: Pick<Call, 'signal' | 'timeoutMs' | 'sendBy' | 'attempts'>,
  ): Promise<void> {
    const call = { method: 'PUT', path: path`/`, ...options } as const
    return this.#withRetries(call, true, () =>
      sendTo(this.target, url, { method, headers, body: file }, options),
    )
  }

  async #withRetries<T>(call: Call, isRepeatable: boolean, attempt: () => Promise<T>): Promise<T> {
    const { retryBaseMs, retryMaxMs, maxRetryAfterMs } = this.timing
    const { attempts = this.timing.attempts } = call
    for (let failures = 1; ; failures += 1) {
      try {
        return await attempt()
      } catch (error) {
        const askedMs = error instanceof ApiError ? error.retryAfterMs : null
        const isHopeless =
          failures >= attempts || !isRepeatable || !(isRetryable(error) || isServerFault(error))
        if (isHopeless || (askedMs ?? 0) > maxRetryAfterMs) throw error
        await pause((askedMs ?? 0) + fullJitterMs(failures, retryBaseMs, retryMaxMs), call.signal ?? never)
        throwIfAborted(call.signal)
      }
    }
  }

  async #authorized<T>(call: Call, turn: number): Promise<Answer<T>> {
    const token = this.#requireSameUser(turn, await this.session.token(call.signal))
    try {
      return await sendRequest<T>(this.target, call, token)
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 401)) throw error
      const renewed = this.#requireSameUser(turn, await this.session.renew(token, call.signal))
      return sendRequest<T>(this.target, call, renewed)
    }
  }

  /** A request begun for one user is not sent with the token of the next. */
  #requireSameUser(turn: number, token: string): string {
    this.session.requireGeneration(turn)
    return token
  }
}

/** A proxy answers with these for a server that it does not reach, a portal before the user has signed in to it. */
const noVerdicts = new Set([401, 403, 404, 405, 407, 408, 421])

/** Whether the same request may succeed later. */
export const isRetryable = (error: unknown): boolean =>
  error instanceof NetworkError ||
  (error instanceof ApiError &&
    (error.status >= 502 ||
      error.status === 429 ||
      error.code === 'idempotency_in_flight' ||
      (error.code === 'unreadable' && (error.status < 400 || noVerdicts.has(error.status)))))

/** A 500 may be temporary: a request is repeated a few times, an outbox does not wait for it. */
const isServerFault = (error: unknown): boolean => error instanceof ApiError && error.status === 500

/** Whether Tasktide answered 404: a proxy's 404 while the server is down proves nothing. */
export const isNotFound = (error: unknown): error is ApiError =>
  error instanceof ApiError && error.status === 404 && error.code !== 'unreadable'
