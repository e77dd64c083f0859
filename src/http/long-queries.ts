// Bounds the text of long queries whose requests are not answered yet. Reading the query of a long poll for 64 scopes, 6,000
// characters, takes 115 µs, so that 1,500 of one user, sent together, stop the loop for 170 ms; a refusal takes a third.
// Shorter ones cost less than a refusal.
import { AppError, overloaded } from '../errors.ts'
import { ByteBudget } from '../limits/byte-budget.ts'
import type { RequestContext } from './request-context.ts'

/** Characters. */
const longQuery = 1_000
/** Characters of one user: 10 long polls for 64 scopes each, of which 4 wait at a time. */
const perUser = 64 * 1024
const ofAll = 64 * 1024 * 1024

export class LongQueries {
  readonly #characters = new ByteBudget({ total: ofAll, perHolder: perUser })

  /**
   * Admits the query of a request before it is read.
   * @throws AppError 429 where the requests of the user have no room for it, 503 where those of all have none.
   */
  admit(context: RequestContext): void {
    const { identity, search } = context
    if (!identity || search.length <= longQuery) return
    const taken = this.#characters.take(identity.actor.userId, search.length)
    if (taken === 'holder')
      throw new AppError('rate_limited', 'Too many of your requests with long queries are in progress', {
        retryAfter: 1,
      })
    if (taken === 'total') throw overloaded('Too many requests with long queries are in progress')
    context.queryReservation = taken
  }

  /** Returns the room of an answered request. */
  release(context: RequestContext): void {
    context.queryReservation?.[Symbol.dispose]()
    context.queryReservation = null
  }
}
