// The distribution of a duration, in a fixed number of counters.

export class Histogram {
  readonly #counts: number[]
  count = 0
  sum = 0
  max = 0

  constructor(
    /** Upper bounds of the buckets, ascending; one more bucket holds what is above the last. */
    readonly bounds: readonly number[],
  ) {
    this.#counts = Array.from({ length: bounds.length + 1 }, () => 0)
  }

  record(value: number): void {
    const bucket = this.bounds.findIndex((bound) => value <= bound)
    this.#counts[bucket === -1 ? this.bounds.length : bucket]! += 1
    this.count += 1
    this.sum += value
    this.max = Math.max(this.max, value)
  }

  /** The number of values at or below each bound, ascending, as Prometheus counts them. */
  cumulative(): number[] {
    let total = 0
    return this.bounds.map((_, bucket) => (total += this.#counts[bucket]!))
  }
}
