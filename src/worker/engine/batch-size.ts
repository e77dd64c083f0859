// How many entries a shard consumer handles in its next transaction. Sizes double with each commit, as after a start;
// after an interruption, which may have been a time-out because the entries notify many, the size is halved and grows by
// an eighth from there: it meets a size that is too large once in six transactions, and is back soon after an outage.

export class BatchSize {
  #size: number
  /** From here on sizes grow by an eighth. */
  #slowFrom: number

  constructor(private readonly max: number) {
    this.#size = this.#slowFrom = max
  }

  get value(): number {
    return this.#size
  }

  committed(): void {
    if (this.#size < this.#slowFrom) this.#size = Math.min(this.#size * 2, this.#slowFrom)
    else this.#size = this.#slowFrom = Math.min(this.#size + Math.ceil(this.#size / 8), this.max)
  }

  /** @param count the entries of the transaction that was interrupted. */
  interrupted(count: number): void {
    this.#size = this.#slowFrom = Math.max(1, Math.floor(count / 2))
  }

  /** One at a time, to find the entry that fails. */
  isolate(): void {
    this.#size = 1
  }
}
