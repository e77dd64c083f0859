// The log of one project as a sequence of states, one after each transaction. A list of the project is an interval of
// these states: those in which each task it shows has the shown version, and no other task exists.
import type { LogFact, SeenTask } from './history.ts'

/** The states in which a task has one version: the last is the one before its next version. */
interface Lifetime {
  first: number
  last: number
}

/** The states that a read may show, and whether it shows any state at all. */
export interface Interval {
  isState: boolean
  /** The states between which it lies; `first > last` where two of its tasks contradict each other. */
  first: number
  last: number
  /** The two versions that decide the interval: the newest it shows, and the oldest. */
  newest: LogFact | null
  oldest: LogFact | null
  /** Highest number of the shard at which the project was in such a state. */
  lastSeq: number
}

const isTask = (type: string): boolean => type.startsWith('task.')

export class ScopeLog {
  /** Per entry the index of its transaction. State 0 is before the first; state n is after transaction n. */
  readonly transactions: number[] = []
  readonly #ends: LogFact[] = []
  readonly #starts: LogFact[] = []
  readonly #lifetimes = new Map<string, { fact: LogFact; next: LogFact | null; lifetime: Lifetime }>()
  /** How many tasks exist in each state, and the states by that number. */
  readonly #live: number[] = [0]
  readonly #statesByLive = new Map<number, number[]>()

  constructor(
    readonly scope: string,
    readonly facts: LogFact[],
  ) {
    const last = new Map<string, { fact: LogFact; next: LogFact | null; lifetime: Lifetime }>()
    let live = 0
    for (const [index, fact] of facts.entries()) {
      const before = facts[index - 1]
      const isSame =
        before !== undefined && fact.key !== null && before.key === fact.key && before.actor === fact.actor // its entries in other scopes of the shard may have numbers between
      if (!isSame) this.#starts.push(fact)
      const state = this.#starts.length
      this.transactions.push(state)
      this.#ends[state - 1] = fact
      if (isTask(fact.type) && fact.entity !== null) {
        const held = last.get(fact.entity)
        if (held) {
          held.lifetime.last = state - 1
          held.next = fact
        }
        const isGone = fact.type === 'task.deleted'
        live += fact.type === 'task.created' ? 1 : isGone ? -1 : 0
        const one = { fact, next: null, lifetime: { first: state, last: Infinity } }
        last.set(fact.entity, one)
        if (!isGone) this.#lifetimes.set(`${fact.entity} ${fact.version}`, one)
      }
      this.#live[state] = live
    }
    for (const [state, count] of this.#live.entries()) {
      const states = this.#statesByLive.get(count)
      if (states) states.push(state)
      else this.#statesByLive.set(count, [state])
    }
  }

  /** The index of the last entry up to a number; -1 for none. */
  indexAt(seq: number): number {
    let [low, high] = [0, this.facts.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.facts[middle]!.position.seq <= seq) low = middle + 1
      else high = middle
    }
    return low - 1
  }

  /** The state at a number; null inside a transaction. */
  stateAt(seq: number): number | null {
    const index = this.indexAt(seq)
    if (index === -1) return 0
    const state = this.transactions[index]!
    return this.transactions[index + 1] === state ? null : state
  }

  /** The states that a read shows. Every version it shows must be in the log. */
  intervalOf(seen: readonly SeenTask[], isWhole: boolean): Interval {
    let [first, last] = [0, this.#starts.length]
    let newest: LogFact | null = null
    let oldest: LogFact | null = null
    for (const { task, version } of seen) {
      const found = this.#lifetimes.get(`${task} ${version}`)
      if (!found) continue
      if (found.lifetime.first > first) [first, newest] = [found.lifetime.first, found.fact]
      if (found.lifetime.last < last) [last, oldest] = [found.lifetime.last, found.next]
    }
    let isState = first <= last
    if (isState && isWhole) {
      // Every task it shows exists from `first` to `last`: a state with as many tasks has exactly these.
      const states = this.#statesByLive.get(seen.length) ?? []
      const index = lastAtMost(states, last)
      isState = index >= 0 && states[index]! >= first
      if (isState) last = states[index]!
    }
    const next = this.#starts[last]
    return { isState, first, last, newest, oldest, lastSeq: next ? next.position.seq - 1 : Infinity }
  }

  /** Whether the tasks are exactly those of a state. */
  isStateOf(seen: readonly SeenTask[], state: number): boolean {
    const { first, last } = this.intervalOf(seen, false)
    return first <= state && state <= last && this.#live[state] === seen.length
  }
}

/** The index of the last value of an ascending list that is at most `limit`; -1 for none. */
const lastAtMost = (values: readonly number[], limit: number): number => {
  let [low, high] = [0, values.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (values[middle]! <= limit) low = middle + 1
    else high = middle
  }
  return low - 1
}
