// How many handshakes are under way in this process: upgrades and subscriptions being joined. Whoever comes when it
// is full is told when to come back, so that a storm of reconnects is served in turn instead of by nobody.

/** What one handshake lately took weighs one in so many. */
const memory = 32
const maxWaitMs = 5_000
const minSpreadMs = 500

export class Doorway {
  #inside = 0
  /** How long a place was held lately, ms. */
  #heldMs = 0
  /** Who was turned away and is not due yet, as of `#countedAt`: one goes whenever a place becomes free. */
  #awaited = 0
  #countedAt = 0

  constructor(
    private readonly most: number,
    private readonly now: () => number = () => performance.now(),
  ) {}

  get inside(): number {
    return this.#inside
  }

  /** Null where it is full; otherwise `using` the answer leaves again. */
  enter(): Disposable | null {
    if (this.#inside >= this.most) return null
    this.#inside += 1
    const since = this.now()
    let isInside = true
    return {
      [Symbol.dispose]: () => {
        if (!isInside) return
        isInside = false
        this.#inside -= 1
        this.#heldMs += (this.now() - since - this.#heldMs) / memory
      },
    }
  }

  /** Between which milliseconds from now one more who is turned away may come: behind those before. */
  turnAway(): [number, number] {
    const now = this.now()
    const placeEveryMs = this.#heldMs / this.most
    const gone = placeEveryMs > 0 ? (now - this.#countedAt) / placeEveryMs : this.#awaited
    this.#awaited = Math.max(0, this.#awaited - gone) + 1
    this.#countedAt = now
    const from = Math.min(maxWaitMs, Math.round(this.#awaited * placeEveryMs))
    return [from, Math.max(minSpreadMs, 2 * from)]
  }
}
