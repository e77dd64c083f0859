// How many handshakes are under way in this process: upgrades and subscriptions being joined. Whoever comes when it
// is full is told to come back, so that a storm of reconnects is served in turn instead of by nobody.

export class Doorway {
  #inside = 0

  constructor(private readonly most: number) {}

  get inside(): number {
    return this.#inside
  }

  /** Null where it is full; otherwise `using` the answer leaves again. */
  enter(): Disposable | null {
    if (this.#inside >= this.most) return null
    this.#inside += 1
    let isInside = true
    return {
      [Symbol.dispose]: () => {
        if (isInside) this.#inside -= 1
        isInside = false
      },
    }
  }
}
