// Who waits for something to happen, a bounded number of each caller: where one more comes the longest waiting is
// released, so that a caller with many open pages is served by turns and refused nothing.

export class Waiters {
  /** By caller, longest waiting first. */
  readonly #waiting = new Map<string, Set<() => void>>()

  constructor(private readonly perCaller: number) {}

  waitingOf(caller: string): number {
    return this.#waiting.get(caller)?.size ?? 0
  }

  /** @param release called at most once, when another of the caller takes this place. Disposing leaves it. */
  enter(caller: string, release: () => void): Disposable {
    const own = this.#waiting.get(caller) ?? new Set()
    this.#waiting.set(caller, own)
    const place = (): void => release()
    own.add(place)
    if (own.size > this.perCaller) {
      const [longest] = own
      own.delete(longest!)
      longest!()
    }
    return {
      [Symbol.dispose]: () => {
        own.delete(place)
        if (own.size === 0 && this.#waiting.get(caller) === own) this.#waiting.delete(caller)
      },
    }
  }
}
