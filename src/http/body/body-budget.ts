// Bounds the bytes of bodies whose requests are not answered yet. Bun buffers a body whether or not it is read, up to
// 64 MiB a connection, until the request is answered. Therefore a body is admitted by its declared length before the
// first await of its request, and a refusal closes the connection.
import { AppError, overloaded } from '../../errors.ts'
import { ByteBudget } from '../../limits/byte-budget.ts'
import { addressCaller } from '../../limits/address-key.ts'
import type { RequestContext } from '../request-context.ts'

/** What a body of unknown length reserves before any of it is read; reading reserves the rest. */
const unknownLengthBytes = 64 * 1024

export class BodyBudget {
  readonly #signedIn: ByteBudget
  readonly #anonymous: ByteBudget

  /** @param totalBytes three quarters for requests with credentials, a third of it for one user; a quarter without. */
  constructor(totalBytes: number) {
    this.#signedIn = new ByteBudget({ total: (totalBytes * 3) / 4, perHolder: totalBytes / 4 })
    this.#anonymous = new ByteBudget({ total: totalBytes / 4, perHolder: totalBytes / 16 })
  }

  /** Bytes reserved by requests that are not answered yet. */
  get taken(): number {
    return this.#signedIn.taken + this.#anonymous.taken
  }

  /**
   * Admits the body of a request that has one, for its user where the identity is there already: then no other request
   * from the same address can use up its share. Call it before the first await of the request.
   * @throws AppError 503 where the budget is used up, 429 where one address with credentials has used its share; 400
   * for a GET with a body of unknown length.
   */
  reserve(context: RequestContext): void {
    const bytes = bytesOf(context.request, context.traits.body.maxBytes)
    const isSignedIn = context.identity !== null || context.request.headers.has('authorization')
    const budget = isSignedIn ? this.#signedIn : this.#anonymous
    // Requests that arrive together with an unknown token count under their address until the user is known.
    const taken = budget.take(context.identity?.actor.userId ?? addressCaller(context.ip), bytes)
    if (taken === 'holder' && isSignedIn) throw tooMany()
    if (typeof taken === 'string') throw noRoom()
    context.bodyReservation = taken
  }

  /**
   * Moves the reservation from the address to the user, if that is known by now.
   * @throws AppError 429 where the user has used its share, 503 where the budget is used up.
   */
  assignToUser(context: RequestContext): void {
    const { identity, bodyReservation } = context
    if (!identity || !bodyReservation || bodyReservation.holder === identity.actor.userId) return
    const { bytes } = bodyReservation
    this.release(context)
    const taken = this.#signedIn.take(identity.actor.userId, bytes)
    if (taken === 'holder') throw tooMany()
    if (taken === 'total') throw noRoom()
    context.bodyReservation = taken
  }

  /** Reserves more for a body that has grown to `length` bytes. @throws AppError 503 where the budget is used up. */
  extend({ bodyReservation }: RequestContext, length: number): void {
    if (!bodyReservation || length <= bodyReservation.bytes) return
    if (!bodyReservation.grow(length - bodyReservation.bytes)) throw noRoom()
  }

  /** Returns the bytes of an answered request. */
  release(context: RequestContext): void {
    if (!context.bodyReservation) return
    context.bodyReservation[Symbol.dispose]()
    context.bodyReservation = null
  }
}

const tooMany = (): AppError =>
  new AppError('rate_limited', 'Your requests in progress have too many body bytes', { retryAfter: 1 })

const noRoom = (): AppError => overloaded('The memory for request bodies is used up')

/** A longer body than `maxBytes` is refused by its declared length, so that it reserves no more than the longest. */
const bytesOf = ({ method, headers }: Request, maxBytes: number): number => {
  if (!headers.has('transfer-encoding')) return Math.min(Number(headers.get('content-length')), maxBytes)
  // Bodies of GET and HEAD are not read, so that nothing would count these bytes.
  if (method === 'GET' || method === 'HEAD')
    throw new AppError('bad_request', `${method} takes no body of unknown length`)
  return Math.min(unknownLengthBytes, maxBytes)
}
