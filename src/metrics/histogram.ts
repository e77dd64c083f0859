// The distribution of a value in a fixed number of counters: recording takes some 10 ns and allocates nothing.

/** Seconds, from half a millisecond to the longest wait that does not count as endless. */
export const secondsBounds = [
  0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
] as const

export class Histogram {
  readonly #counts: Float64Array
  readonly #bounds: Float64Array
  count = 0
  sum = 0
  max = 0

  /** @param bounds upper bounds of the buckets, ascending; one more bucket holds what is above the last. */
  constructor(bounds: readonly number[]) {
    this.#bounds = Float64Array.from(bounds)
    this.#counts = new Float64Array(bounds.length + 1)
  }

  get bounds(): readonly number[] {
    return [...this.#bounds]
  }

  record(value: number): void {
    const bounds = this.#bounds
    let bucket = 0
    while (bucket < bounds.length && value > bounds[bucket]!) bucket += 1
    this.#counts[bucket]! += 1
    this.count += 1
    this.sum += value
    if (value > this.max) this.max = value
  }

  /** The number of values at or below each bound, ascending, as Prometheus counts them. */
  cumulative(): number[] {
    let total = 0
    return Array.from(this.#bounds, (_, bucket) => (total += this.#counts[bucket]!))
  }
}
