// The access token of one socket: the one it opened with, and newer ones before that expires. Invariant: the server
// receives each token once.
import type { Timers } from '../async/timers.ts'
import type { Session } from '../session.ts'

const minRenewDelayMs = 1_000
/** The largest delay of a timer. */
const maxDelayMs = 2 ** 31 - 1

interface SocketCredentialsDeps {
  session: Session
  /** Cleared by the transport when it ends. */
  timers: Timers
  /** Whether the server has accepted the token of the handshake. */
  isOpen(): boolean
  sendToken(token: string): void
}

export class SocketCredentials {
  #token = ''

  constructor(private readonly deps: SocketCredentialsDeps) {}

  /** The token for the handshake. */
  async load(signal: AbortSignal): Promise<string> {
    this.#token = await this.deps.session.token(signal)
    return this.#token
  }

  /** Sends tokens that the session renews from now on. Returns a function that ends it. */
  followSession(): () => void {
    return this.deps.session.onChange(() => void this.#sendRenewed())
  }

  scheduleRenewal(): void {
    const { session, timers } = this.deps
    const ms = session.renewInMs
    if (ms === null) return
    timers.after(Math.min(Math.max(ms, minRenewDelayMs), maxDelayMs), () => {
      // If this fails, the server closes with 4401 and the connection renews before it reconnects.
      session.token().catch(() => {})
    })
  }

  async #sendRenewed(): Promise<void> {
    const { session } = this.deps
    if (!this.deps.isOpen() || session.renewInMs === null) return
    const token = await session.token().catch(() => null)
    if (token === null || token === this.#token) return
    this.#token = token
    if (!this.deps.isOpen()) return // its timers are cleared already
    this.deps.sendToken(token)
    this.scheduleRenewal()
  }
}
