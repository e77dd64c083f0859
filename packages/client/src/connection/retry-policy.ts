// What follows the end of a transport: the next one after a while, with new credentials where those may be the cause, or
// a stop.
//
// A socket that is refused before it opens reports 1006, whatever the reason: an expired token looks like a network
// fault. Retrying with the same token would never succeed, and renewing after every failure would renew for every
// client of a server that restarts. So the credentials are renewed once, after the first socket of a row that did not
// open, unless the transport before it ended with the restart of its server.
import type { StopReason } from '../errors.ts'
import type { Session } from '../session.ts'
import type { Timing } from '../timing.ts'
import { backOffMs, randomMs } from '../async/back-off.ts'
import { stopReasonOfCredentials } from '../stop-reasons.ts'
import { verdictOf } from './close-codes.ts'
import { retryWindowOf, socketRetryCode, type Ending, type Transport } from './transport.ts'
import type { TransportChoice } from './transport-choice.ts'

export type NextStep =
  /** `inMs` 0: at once, and without being offline meanwhile. */
  | { do: 'retry'; inMs: number }
  | { do: 'stop'; reason: StopReason; closeCode: number | null; cause?: unknown }

export class RetryPolicy {
  #failures = 0
  #openedAt = Number.POSITIVE_INFINITY
  /** The last transport that was open ended with the restart of its server: an unopened one proves nothing about credentials. */
  #isRestarting = false

  constructor(
    private readonly choice: TransportChoice,
    private readonly session: Pick<Session, 'isRenewable' | 'renewCurrent'>,
    private readonly timing: Timing,
  ) {}

  attemptStarted(): void {
    this.#openedAt = Number.POSITIVE_INFINITY
  }

  opened(): void {
    this.#openedAt = Date.now()
  }

  /** The next failure is counted as the first. */
  reset(): void {
    this.#failures = 0
  }

  async stepAfter(kind: Transport['kind'], ending: Ending, signal: AbortSignal): Promise<NextStep> {
    const { code, opened, reconnectAfter, cause } = ending
    if (code === socketRetryCode) {
      this.choice.trySocket()
      this.#failures = 0
      return { do: 'retry', inMs: 0 }
    }
    const end = stopReasonOfCredentials(cause)
    if (end) return { do: 'stop', reason: end, closeCode: null, cause }
    if (!opened && this.choice.endTrial()) return { do: 'retry', inMs: 0 }
    const isStable = opened && Date.now() - this.#openedAt >= this.timing.stableMs
    this.#failures = isStable ? 1 : this.#failures + 1
    const verdict = verdictOf(code)
    if (verdict.do === 'stop') return { do: 'stop', reason: verdict.reason, closeCode: code, cause }
    if (verdict.do === 'wait' && !reconnectAfter) return { do: 'retry', inMs: this.timing.tooFastMs }
    const isFirstUnopened =
      verdict.do !== 'wait' && !opened && this.choice.countUnopened(kind) && !this.#isRestarting
    if (opened) this.#isRestarting = code === 1001 || code === 1012
    if (verdict.do !== 'renew' && !(isFirstUnopened && this.session.isRenewable))
      return { do: 'retry', inMs: this.#delayMs(reconnectAfter) }
    return this.#stepAfterRenewal(ending, signal)
  }

  /** Renews the credentials; a failure that does not end the session is met again by the next transport. */
  async #stepAfterRenewal({ code, reconnectAfter }: Ending, signal: AbortSignal): Promise<NextStep> {
    let failure: unknown = null
    try {
      await this.session.renewCurrent(signal)
    } catch (error) {
      failure = error
    }
    const end = stopReasonOfCredentials(failure)
    if (end) return { do: 'stop', reason: end, closeCode: code, cause: failure }
    const window = retryWindowOf(failure, this.timing).reconnectAfter ?? reconnectAfter
    return { do: 'retry', inMs: this.#delayMs(window) }
  }

  /** Within the server's window where it named one; after a second failure not before the back-off is over. */
  #delayMs(window: Ending['reconnectAfter']): number {
    const ownMs = backOffMs(this.#failures, this.timing)
    if (!window) return ownMs
    const askedMs = randomMs(...window)
    return this.#failures > 1 ? Math.max(askedMs, ownMs) : askedMs
  }
}
