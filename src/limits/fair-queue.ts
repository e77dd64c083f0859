// A semaphore that is fair between callers: each holds a bounded number of turns and has a bounded queue of its own.
// One FIFO queue for all would let a caller with 500 waiting entries delay every other by 500 turns; here a free turn
// goes to the waiting callers round-robin, one each, however many entries each has. Invariant: a caller without turns
// and without waiting entries takes no memory here.
import { withTimeout } from '../async/timeout.ts'
import { AppError } from '../errors.ts'

export interface FairQueueOptions {
  /** Turns held at once by all callers. */
  atOnce: number
  /** Turns held at once by one caller, each counted with its weight. */
  perCaller: number
  /** Entries waiting of one caller; beyond them `enter` refuses. */
  maxWaiting: number
}

/** A place in the queue, then a turn, until it is left. */
export interface Turn {
  /** Resolves once the turn is held. Never resolves when it is left before. */
  readonly ready: Promise<void>
  readonly isWaiting: boolean
  /** Ends the turn, or gives up the place. Calling it again does nothing. */
  leave(): void
}

interface Entry {
  weight: number
  begin(): void
}

interface Caller {
  /** Weights of its turns. */
  running: number
  waiting: Set<Entry>
}

export class FairQueue {
  readonly #callers = new Map<string, Caller>()
  /** Callers with waiting entries that may hold another turn, in the order of their next turn. */
  readonly #ring = new Set<string>()
  #running = 0

  constructor(private readonly options: FairQueueOptions) {}

  /** Callers with a turn or a waiting entry. */
  get size(): number {
    return this.#callers.size
  }

  get running(): number {
    return this.#running
  }

  waitingOf(caller: string): number {
    return this.#callers.get(caller)?.waiting.size ?? 0
  }

  /**
   * @param weight how many of the caller's turns this one counts for, at most all of them; for all callers together it
   *   counts as one.
   * @throws AppError 429 `rate_limited` when the caller's queue is full.
   */
  enter(key: string, weight = 1): Turn {
    if (this.waitingOf(key) >= this.options.maxWaiting)
      throw new AppError('rate_limited', 'Too many of your requests wait for their turn', { retryAfter: 1 })
    const caller = this.#callers.get(key) ?? { running: 0, waiting: new Set() }
    this.#callers.set(key, caller)
    const { promise, resolve } = Promise.withResolvers<void>()
    let state: 'waiting' | 'held' | 'left' = 'waiting'
    const entry: Entry = {
      weight: Math.min(weight, this.options.perCaller),
      begin: () => {
        state = 'held'
        resolve()
      },
    }
    caller.waiting.add(entry)
    this.#offer(key, caller)
    this.#dispatch()
    return {
      ready: promise,
      get isWaiting() {
        return state === 'waiting'
      },
      leave: () => {
        if (state === 'left') return
        if (state === 'waiting') caller.waiting.delete(entry)
        else {
          caller.running -= entry.weight
          this.#running -= 1
        }
        state = 'left'
        this.#offer(key, caller)
        this.#dispatch()
        if (caller.running === 0 && caller.waiting.size === 0) this.#callers.delete(key)
      },
    }
  }

  /** Runs `work` in a turn of its own. @throws AppError 429 `rate_limited`; 503 after `deadlineMs` in the queue. */
  async run<T>(caller: string, work: () => Promise<T>, deadlineMs: number): Promise<T> {
    const turn = await this.begin(caller, deadlineMs)
    try {
      return await work()
    } finally {
      turn.leave()
    }
  }

  /** A turn that is held, and has to be left. @throws AppError as `run`. */
  async begin(caller: string, deadlineMs: number): Promise<Turn> {
    const turn = this.enter(caller)
    try {
      await withinQueue(turn, deadlineMs)
      return turn
    } catch (error) {
      turn.leave()
      throw error
    }
  }

  #offer(key: string, caller: Caller): void {
    const [next] = caller.waiting
    if (next && caller.running + next.weight <= this.options.perCaller) this.#ring.add(key)
    else this.#ring.delete(key)
  }

  #dispatch(): void {
    while (this.#running < this.options.atOnce) {
      const [key] = this.#ring
      if (key === undefined) return
      const caller = this.#callers.get(key)!
      const [entry] = caller.waiting
      caller.waiting.delete(entry!)
      caller.running += entry!.weight
      this.#running += 1
      this.#ring.delete(key) // its next turn comes after those of the others
      this.#offer(key, caller)
      entry!.begin()
    }
  }
}

const withinQueue = async (turn: Turn, deadlineMs: number): Promise<void> => {
  if (turn.isWaiting)
    await withTimeout(
      deadlineMs,
      'waiting for a turn',
      turn.ready,
      (late) => new AppError('unavailable', undefined, { cause: late, retryAfter: 1 }),
    )
}
