// Medians and percentiles of measured numbers, by the nearest rank.

export const median = (numbers: readonly number[]): number => percentile(numbers, 0.5)

/** The value that `share` of the numbers reach at most; NaN of none. */
export const percentile = (numbers: readonly number[], share: number): number => {
  const sorted = numbers.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

export interface Percentiles {
  p50: number
  p90: number
  p99: number
  p999: number
  max: number
}

/** Milliseconds in, milliseconds out. */
export const percentilesOf = (numbers: readonly number[]): Percentiles => ({
  p50: percentile(numbers, 0.5),
  p90: percentile(numbers, 0.9),
  p99: percentile(numbers, 0.99),
  p999: percentile(numbers, 0.999),
  max: percentile(numbers, 1),
})

/** The median of each percentile over several measurements. */
export const medianPercentiles = (all: readonly Percentiles[]): Percentiles => {
  const of = (name: keyof Percentiles): number => median(all.map((one) => one[name]))
  return { p50: of('p50'), p90: of('p90'), p99: of('p99'), p999: of('p999'), max: of('max') }
}

/** Two decimals below 10, one below 100, none above: what a measurement carries. */
export const rounded = (value: number): number => {
  const size = Math.abs(value)
  const decimals = size < 10 ? 2 : size < 100 ? 1 : 0
  return Number(value.toFixed(decimals))
}
