// Makes something on its first use: modules that few requests need stay out of memory until one does. Invariant: made once,
// however many ask at the same time; where it failed, the next use tries again.

export class OnFirstUse<T> {
  #made: Promise<T> | null = null

  constructor(private readonly make: () => Promise<T>) {}

  get(): Promise<T> {
    if (this.#made === null) {
      const making = this.make()
      this.#made = making
      making.catch(() => {
        if (this.#made === making) this.#made = null
      })
    }
    return this.#made
  }

  /** What was made, for its disposal; null where nothing was. */
  get made(): Promise<T> | null {
    return this.#made
  }
}
