// The upgrade of a request to a socket: origin, subprotocol, token and the limits on refused upgrades. Invariant: a
// request is either switched, with an identity, a reason to close or neither, or answered with a problem.
import type { Server } from 'bun'
import { bearerTokenOf, type Identity } from '../auth/authenticator.ts'
import { isAllowedOrigin } from '../auth/origin.ts'
import { isPersonalToken } from '../auth/personal-tokens.ts'
import { AppError } from '../errors.ts'
import { policiesOf, type RatePolicy, type RateState } from '../limits/policies.ts'
import { subprotocol, type CloseReason } from '../model/frames.ts'
import type { SocketDeps } from './connection-handle.ts'
import type { Connection } from './connection.ts'
import { closeReasonOf, identify } from './identify.ts'

/** The sockets of the process, as an upgrade sees them. */
interface UpgradeHooks {
  /** @throws AppError 503 while the process drains or holds its maximum of sockets. */
  requireCapacity(): void
  /** @param greeting an identity, a reason to close, or null to wait for `hello`. */
  connect(greeting: Identity | CloseReason | null, requestId: string): Connection
}

export interface UpgradeCaller {
  /** As limits count it. */
  address: string
  requestId: string
  /** Keeps what the RateLimit headers of the answer say; called where the upgrade counted for its address. */
  note: (policy: RatePolicy, state: RateState) => void
}

export class Upgrades {
  constructor(
    private readonly deps: SocketDeps,
    private readonly hooks: UpgradeHooks,
  ) {}

  /**
   * Switches the protocol, or answers with a problem.
   * @throws AppError for a problem response.
   */
  async upgrade(request: Request, server: Server<Connection>, caller: UpgradeCaller): Promise<undefined> {
    if (request.headers.get('upgrade')?.toLowerCase() !== 'websocket')
      throw new AppError('bad_request', 'This path speaks WebSocket only')
    this.hooks.requireCapacity()
    try {
      await this.#authenticateUpgrade(request, server, caller)
    } catch (error) {
      if (error instanceof AppError && error.kind !== 'unavailable' && error.kind !== 'rate_limited')
        await this.#limitRefusedUpgrades(caller)
      throw error
    }
    return undefined
  }

  /** @throws AppError 429 where the address has had too many upgrades refused in this minute. */
  async #limitRefusedUpgrades({ address, note }: UpgradeCaller): Promise<void> {
    const { config, limiter } = this.deps
    if (!config.rateLimit) return
    const policy = policiesOf(config).refusedUpgrades
    const state = await limiter.take(policy, address)
    note(policy, state)
    if (!state.allowed) throw new AppError('rate_limited', undefined, { retryAfter: state.resetSeconds })
  }

  /** Switches with an identity, with a reason to close, or to wait for `hello`. */
  async #authenticateUpgrade(
    request: Request,
    server: Server<Connection>,
    caller: UpgradeCaller,
  ): Promise<void> {
    const origin = request.headers.get('origin')
    if (origin !== null && !isAllowedOrigin(origin, request, this.deps.config))
      throw new AppError('origin_refused')
    const offered = (request.headers.get('sec-websocket-protocol') ?? '')
      .split(',')
      .map((name) => name.trim())
      .filter(Boolean)
    const accept = (greeting: Identity | CloseReason | null): void => {
      this.hooks.requireCapacity()
      const connection = this.hooks.connect(greeting, caller.requestId)
      const headers = offered.length > 0 ? { 'Sec-WebSocket-Protocol': selectedOf(offered) } : {}
      if (!server.upgrade(request, { data: connection, headers }))
        throw new AppError('bad_request', 'The WebSocket handshake is incomplete')
    }
    const acceptUnidentified = async (greeting: CloseReason | null): Promise<void> => {
      await this.#limitRefusedUpgrades(caller)
      accept(greeting)
    }
    using slot = this.deps.handshakes.tryEnter()
    if (!slot) return accept('overloaded')
    const isSpoken = offered.includes(subprotocol)
    const header = request.headers.get('authorization')
    if (header !== null) {
      const token = bearerTokenOf(header)
      // Only programs can set this header, and they see the status; browsers cannot.
      if (!token) throw new AppError('unauthenticated')
      await identify(this.deps, token, (identity) => isSpoken && accept(identity))
      if (isSpoken) return
    }
    if (!isSpoken) return acceptUnidentified(missingProtocol(offered))
    const token = offered.find((name) => !isNoToken(name))?.slice(tokenPrefix.length)
    if (token === undefined) return acceptUnidentified(null)
    // Proxies log subprotocols, and such a token lives long: it belongs into the header or into `hello`.
    if (isPersonalToken(token)) return acceptUnidentified('token_expired')
    let wasAccepted = false
    try {
      await identify(this.deps, token, (identity) => {
        wasAccepted = true
        accept(identity)
      })
    } catch (error) {
      // Browsers hide the status of a refused handshake: accept, then close with the reason.
      if (wasAccepted) throw error
      const reason = closeReasonOf(error)
      return reason === 'overloaded' ? accept(reason) : acceptUnidentified(reason)
    }
  }
}

const tokenPrefix = 'jwt.'
const isNoToken = (name: string): boolean => !name.startsWith(tokenPrefix)

/**
 * The subprotocol to answer with: `tasktide.v1`, or the first that is plainly a name, so that browsers open the socket
 * and see why it is closed. Empty selects none: without a value Bun answers the first one offered, perhaps a token.
 */
const selectedOf = (offered: string[]): string =>
  offered.find((name) => name === subprotocol) ??
  offered.find((name) => /^[a-z][\w.-]{0,31}$/i.test(name) && !/^jwt\b/i.test(name)) ??
  ''

const missingProtocol = (offered: string[]): CloseReason =>
  offered.some((name) => name.startsWith('tasktide.')) ? 'version_unsupported' : 'subprotocol_missing'
