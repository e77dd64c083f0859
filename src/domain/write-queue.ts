// The writes that wait for a batch, by caller. Invariant: a batch has at most one write of each idempotency key, and none
// whose task or key is in flight elsewhere in this process; those stay at their places.
//
// Members are taken round-robin from the callers. One queue in the order of arrival would let a caller with 256 requests
// in flight make every batch 256 long and so the answers of all others that much later; where more than one caller is
// active, none gets more than `sharePerCaller` of a batch.

/** Writes in one batch. At 128 the cost of a write falls no further. */
const maxMembers = 128
/** Bytes of text in one batch, so that a batch of long descriptions does not hold the shards for long. */
const maxBytes = 1024 * 1024
/**
 * Members of one caller in a batch, while others are active. Beside 256 connections of one user the p99 of another was 84 to
 * 145 ms at 16, 70 at 8 and 45 to 61 at 4, where the one user wrote 1,290, 780 and 490 a second.
 */
const sharePerCaller = 8
/** A caller counts as active for this long after a write, up to twice. */
const activeForMs = 500

export interface QueuedWrite {
  caller: string
  /** Order of arrival. */
  order: number
  /** The key it claims; null for none. */
  key: string | null
  /** What no other write in flight may have: its tasks and its key. */
  holds: readonly string[]
  bytes: number
}

/** One caller's turn in a batch. */
interface Turn<W> {
  caller: string
  queue: W[]
  /** The next write to look at. */
  at: number
  /** Writes that were passed over. */
  rest: W[]
}

export class WriteQueue<W extends QueuedWrite> {
  /** By caller; the callers in the order of their next turn. */
  readonly #waiting = new Map<string, W[]>()
  /** How many waiting writes claim a key, by key. */
  readonly #keys = new Map<string, number>()
  /** Callers of the present and of the last period of `activeForMs`. */
  #active = { since: 0, now: new Set<string>(), before: new Set<string>() }

  get isEmpty(): boolean {
    return this.#waiting.size === 0
  }

  waitingOf(caller: string): number {
    return this.#waiting.get(caller)?.length ?? 0
  }

  add(write: W): void {
    this.#noteActive(write.caller)
    this.#countKey(write, 1)
    const queue = this.#waiting.get(write.caller)
    if (queue) queue.push(write)
    else this.#waiting.set(write.caller, [write])
  }

  /** Puts a write before the others of its caller. */
  putBack(write: W): void {
    this.#countKey(write, 1)
    this.#waiting.set(write.caller, [write, ...(this.#waiting.get(write.caller) ?? [])])
  }

  remove(write: W): void {
    this.#filter(write.caller, (other) => other !== write)
  }

  /** Removes the writes that claim the key of this one, and returns them. */
  removeEqual({ caller, key }: W): W[] {
    return key !== null && this.#keys.has(key) ? this.#filter(caller, (other) => other.key !== key) : []
  }

  /** The next batch, in the order of arrival. @param isHeld whether a task or key is in flight. */
  take(isHeld: (held: string) => boolean): W[] {
    const taken: W[] = []
    const keys = new Set<string>()
    const share = this.#isShared() ? sharePerCaller : maxMembers
    let bytes = 0
    const turns = [...this.#waiting].map(([caller, queue]): Turn<W> => ({ caller, queue, at: 0, rest: [] }))
    let open = turns
    for (let round = 0; round < share && open.length > 0; round += 1) {
      open = open.filter((turn) => {
        if (taken.length >= maxMembers || bytes >= maxBytes) return false
        const write = next(turn, ({ key, holds }) => !holds.some(isHeld) && (key === null || !keys.has(key)))
        if (!write) return false
        if (write.key !== null) keys.add(write.key)
        bytes += write.bytes
        taken.push(write)
        return true
      })
    }
    for (const write of taken) this.#countKey(write, -1)
    for (const { caller, queue, at, rest } of turns) {
      const left = [...rest, ...queue.slice(at)]
      // The next turn of a caller that was served comes after those of the others.
      if (left.length < queue.length) this.#waiting.delete(caller)
      if (left.length > 0) this.#waiting.set(caller, left)
    }
    return taken.sort((a, b) => a.order - b.order)
  }

  /** Removes a caller's writes that fail the test, and returns them. */
  #filter(caller: string, test: (write: W) => boolean): W[] {
    const { true: stay = [], false: removed = [] } = Object.groupBy(
      this.#waiting.get(caller) ?? [],
      (write) => `${test(write)}`,
    )
    for (const write of removed) this.#countKey(write, -1)
    if (stay.length > 0) this.#waiting.set(caller, stay)
    else this.#waiting.delete(caller)
    return removed
  }

  #countKey({ key }: W, by: 1 | -1): void {
    if (key === null) return
    const count = (this.#keys.get(key) ?? 0) + by
    if (count > 0) this.#keys.set(key, count)
    else this.#keys.delete(key)
  }

  #noteActive(caller: string): void {
    const now = performance.now()
    const { since } = this.#active
    if (now - since > activeForMs) {
      const before = now - since < 2 * activeForMs ? this.#active.now : new Set<string>()
      this.#active = { since: now, now: new Set(), before }
    }
    this.#active.now.add(caller)
  }

  /** Whether more than one caller is active. */
  #isShared(): boolean {
    const { now, before } = this.#active
    return now.size > 1 || before.size > 1 || (before.size === 1 && !now.isSubsetOf(before))
  }
}

const next = <W>(turn: Turn<W>, mayTake: (write: W) => boolean): W | undefined => {
  while (turn.at < turn.queue.length) {
    const write = turn.queue[turn.at]!
    turn.at += 1
    if (mayTake(write)) return write
    turn.rest.push(write)
  }
  return undefined
}
