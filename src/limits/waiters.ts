// Long polls in progress, a bounded number of each caller: one more releases the caller's longest-waiting poll, so that
// a caller with many open pages is served in turn and never refused.

export class Waiters {
  /** By caller, longest waiting first. */
  readonly #waiting = new Map<string, Set<() => void>>()

  constructor(private readonly perCaller: number) {}

  waitingOf(caller: string): number {
    return this.#waiting.get(caller)?.size ?? 0
  }

  /** @param release called at most once, when a later poll of the caller takes this slot. Disposing frees it. */
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
