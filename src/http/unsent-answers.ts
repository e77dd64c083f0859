// Bounds the bytes of large answers that are not sent yet. A client that does not read keeps its answer in memory for as
// long as its connection lives. Invariants: a read beyond a bound is refused; the answer of a write is always sent, so a
// write with a large answer is refused before its work; four requests of a user make large answers at a time.
import { AppError, overloaded } from '../errors.ts'
import { addressCaller } from '../limits/address-key.ts'
import { ByteBudget, type Shortage } from '../limits/byte-budget.ts'
import { FairQueue } from '../limits/fair-queue.ts'
import { HeldBody } from './held-body.ts'
import type { RequestContext } from './request-context.ts'
import { isAnswerKnown, type Answer } from './response.ts'

/** UTF-16 units. The kernel takes most of a shorter text at once, and nearly all answers are shorter. */
const largeLength = 128 * 1024
/** Eight pages of 4 MB. */
const bytesPerUser = 32 * 1024 * 1024
const bytesOfAll = 128 * 1024 * 1024
/** A page of 100 tasks whose descriptions are controls: a user without room for it is refused before the work. */
const largestBytes = 6 * 1024 * 1024
/** Requests that make large answers. */
const turnsPerUser = 4
const turnsAtOnce = 64
const maxWaiting = 512
const turnDeadlineMs = 4_000

/** UTF-16 units of a piece, 64 to 192 KiB as bytes. */
const pieceLength = 64 * 1024

/*
 * Problem: 1,000 connections that request a page of 4 MB and read nothing hold 4 GB until the idle timeout closes them.
 * The length of an answer is known only once it is made: too late for a write, which has happened, and after the work of
 * a read. So whatever may make a large answer runs in turns, and each turn begins with the question whether the user has
 * room for one. A read is then refused in vain at most four times; the answers of writes may be beyond the bound by four.
 */
export class UnsentAnswers {
  readonly #bytes = new ByteBudget({ total: bytesOfAll, perHolder: bytesPerUser })
  readonly #turns = new FairQueue({ atOnce: turnsAtOnce, perCaller: turnsPerUser, maxWaiting })

  /** Bytes of large answers that are not sent yet. */
  get bytes(): number {
    return this.#bytes.taken
  }

  /**
   * Refuses a request before its work; ending sessions stays possible.
   * @throws AppError 429 where the user has no room for another large answer.
   */
  admit({ identity, path }: Pick<RequestContext, 'identity' | 'path'>): void {
    if (this.#bytes.taken > 0 && identity && !path.startsWith('/api/auth/'))
      this.#requireRoom(identity.actor.userId)
  }

  /**
   * The answer; where it is large, with a body that is counted until it is sent.
   * @throws AppError 429 or 503 for a read without room.
   */
  hold(context: RequestContext, answer: Answer): Answer {
    const { body } = answer
    if (typeof body !== 'string' || body.length <= largeLength) return answer
    // Neither has a body in the end.
    if (context.method === 'HEAD' || (context.isRead && isAnswerKnown(answer, context.request))) return answer
    const holder = context.identity?.actor.userId ?? addressCaller(context.ip)
    const bytes = Buffer.byteLength(body)
    const taken = context.isRead ? this.#bytes.take(holder, bytes) : this.#bytes.takeAnyway(holder, bytes)
    if (typeof taken === 'string') throw refusal(taken)
    let text = body
    const release = (): void => {
      text = '' // the stream outlives it where the client stopped reading
      taken[Symbol.dispose]()
    }
    return { ...answer, body: new HeldBody(holder, bytes, () => encodedPieces(text), release) }
  }

  /**
   * Runs what may make a large answer in a turn of the user, which ends when the loop has looked at its sockets: 512
   * requests that are refused in a row would stop it for 50 ms.
   * @throws AppError 429 where the user has no room for it, 429 or 503 where too many of its requests wait for a turn.
   */
  async inTurn<T>(userId: string, work: () => Promise<T>): Promise<T> {
    const turn = await this.#turns.begin(userId, turnDeadlineMs)
    try {
      this.#requireRoom(userId)
      return await work()
    } finally {
      setImmediate(() => turn.leave())
    }
  }

  #requireRoom(userId: string): void {
    if (this.#bytes.shortage(userId, largestBytes) === 'holder') throw refusal('holder')
  }
}

const refusal = (shortage: Shortage): AppError =>
  shortage === 'total'
    ? overloaded('Too many large answers are being sent')
    : new AppError('rate_limited', 'Read the answers to your other requests first', { retryAfter: 1 })

const encoder = new TextEncoder()

/** The text as UTF-8, piece by piece as they are asked for, so that it is not in memory a second time. */
export function* encodedPieces(text: string): Generator<Uint8Array<ArrayBuffer>> {
  for (let from = 0; from < text.length;) {
    let to = Math.min(from + pieceLength, text.length)
    if (to < text.length && isHighSurrogate(text.charCodeAt(to - 1))) to -= 1 // a pair stays together
    yield encoder.encode(text.slice(from, to))
    from = to
  }
}

const isHighSurrogate = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdbff
