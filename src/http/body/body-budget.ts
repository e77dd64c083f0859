// Bodies of requests that are not answered yet, bounded in bytes. Bun buffers what arrives of a body whether or not it
// is read, up to 64 MiB a connection, until the request is answered: so a body is admitted by its declared length
// before anything of the request is waited for, and refusing it closes the connection.
import { AppError, overloaded } from '../../errors.ts'
import { ByteBudget, type Reservation } from '../../limits/byte-budget.ts'
import { addressKey } from '../../limits/address-key.ts'
import { maxBodyBytes } from './json.ts'
import { contextOf } from '../request-context.ts'

/** What a body of unknown length takes before any of it is read; reading takes the rest as it comes. */
const unknownLengthBytes = 64 * 1024

/** A request's body until the request is answered. */
export interface BodyFacts {
  /** Whether all of it has arrived. */
  isRead: boolean
  reservation: Reservation | null
}

export class BodyBudget {
  readonly #signedIn: ByteBudget
  readonly #strangers: ByteBudget

  /** @param totalBytes three quarters for requests with credentials, a third of it for one user; a quarter without. */
  constructor(totalBytes: number) {
    this.#signedIn = new ByteBudget({ total: (totalBytes * 3) / 4, perHolder: totalBytes / 4 })
    this.#strangers = new ByteBudget({ total: totalBytes / 4, perHolder: totalBytes / 16 })
  }

  /** Bytes of bodies whose requests are under way. */
  get taken(): number {
    return this.#signedIn.taken + this.#strangers.taken
  }

  /** Whether there is a body. Call it before the first await, then `reserve`. */
  arrived(request: Request): boolean {
    const { headers } = request
    const hasBody = headers.has('transfer-encoding') || Number(headers.get('content-length') ?? 0) > 0
    if (hasBody) contextOf(request).incoming = { isRead: false, reservation: null }
    return hasBody
  }

  /**
   * Admits a body that arrives.
   * @throws AppError 503 where there is no room, 429 where one address with credentials has too many; 400 for a GET
   * with a stream.
   */
  reserve(request: Request): void {
    const facts = contextOf(request)
    if (!facts.incoming) return
    const bytes = bytesOf(request)
    const isSignedIn = request.headers.has('authorization')
    const budget = isSignedIn ? this.#signedIn : this.#strangers
    const taken = budget.take(`address:${addressKey(facts.ip)}`, bytes)
    // Requests of one user that arrive together are counted by their address until the user is known.
    if (taken === 'holder' && isSignedIn) throw tooMany()
    if (typeof taken === 'string') throw noRoom()
    facts.incoming.reservation = taken
  }

  /** The body is the user's from here on. @throws AppError 429 where the user has too many under way, 503. */
  identified(request: Request, userId: string): void {
    const { incoming: body } = contextOf(request)
    if (!body?.reservation) return
    const { bytes } = body.reservation
    body.reservation[Symbol.dispose]()
    body.reservation = null
    const taken = this.#signedIn.take(userId, bytes)
    if (taken === 'holder') throw tooMany()
    if (taken === 'total') throw noRoom()
    body.reservation = taken
  }

  /** The request was answered. */
  release(request: Request): void {
    const { incoming: body } = contextOf(request)
    body?.reservation?.[Symbol.dispose]()
    if (body) body.reservation = null
  }
}

const tooMany = (): AppError =>
  new AppError('rate_limited', 'Too many bytes of your requests are under way', { retryAfter: 1 })

const noRoom = (): AppError => overloaded('The bodies under way hold all bytes they may')

/** A body that is too long is refused by its declared length, and closed: it takes no more than the longest. */
const bytesOf = ({ method, headers }: Request): number => {
  if (!headers.has('transfer-encoding')) return Math.min(Number(headers.get('content-length')), maxBodyBytes)
  // Nothing reads it, so nothing would count it.
  if (method === 'GET' || method === 'HEAD')
    throw new AppError('bad_request', `${method} takes no body of unknown length`)
  return unknownLengthBytes
}
