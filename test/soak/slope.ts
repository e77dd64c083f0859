// The slope of a series with outliers: Theil–Sen, the median of the slopes of all pairs, with the confidence interval of
// Sen (1968). The interval takes samples for independent; memory is not, so the true interval is wider.

export interface Slope {
  /** Units of y for each unit of x. */
  estimate: number
  /** 95 % confidence interval. */
  low: number
  high: number
  samples: number
}

const z95 = 1.959_964

/** @param points at least three, with distinct x. */
export const theilSen = (points: readonly { x: number; y: number }[]): Slope => {
  const n = points.length
  if (n < 3) throw new Error(`a slope needs three samples, not ${n}`)
  const slopes = points
    .flatMap((from, index) => points.slice(index + 1).map((to) => (to.y - from.y) / (to.x - from.x)))
    .toSorted((a, b) => a - b)
  const spread = z95 * Math.sqrt((n * (n - 1) * (2 * n + 5)) / 18)
  const at = (rank: number): number => slopes[Math.max(0, Math.min(slopes.length - 1, Math.round(rank)))]!
  const middle = (slopes.length - 1) / 2
  return {
    estimate: (slopes[Math.floor(middle)]! + slopes[Math.ceil(middle)]!) / 2,
    low: at((slopes.length - spread) / 2 - 1),
    high: at((slopes.length + spread) / 2),
    samples: n,
  }
}

/** The least y of each window of `count` points: growth of what stays, without the waves above it. */
export const lowerEnvelope = <T extends { x: number; y: number }>(
  points: readonly T[],
  count: number,
): T[] => {
  const lowest: T[] = []
  for (let from = 0; from + count <= points.length; from += count)
    lowest.push(points.slice(from, from + count).reduce((least, one) => (one.y < least.y ? one : least)))
  return lowest
}

/**
 * The points without what their y owes to z: y less the part that follows z, by least squares on x and z. For memory beside
 * the number of compiled functions, which differs from sample to sample and would show as a slope or hide one.
 */
export const withoutShareOf = <T extends { x: number; y: number; z: number }>(points: readonly T[]): T[] => {
  const mean = (of: (point: T) => number): number =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length
  const [x, y, z] = [mean((one) => one.x), mean((one) => one.y), mean((one) => one.z)]
  const sum = (of: (dx: number, dy: number, dz: number) => number): number =>
    points.reduce((total, one) => total + of(one.x - x, one.y - y, one.z - z), 0)
  const [xx, zz, xz] = [sum((dx) => dx * dx), sum((_x, _y, dz) => dz * dz), sum((dx, _y, dz) => dx * dz)]
  const [xy, zy] = [sum((dx, dy) => dx * dy), sum((_x, dy, dz) => dz * dy)]
  const determinant = xx * zz - xz * xz
  const share = determinant > 1e-9 * xx * zz ? (xx * zy - xz * xy) / determinant : 0
  return points.map((point) => ({ ...point, y: point.y - share * (point.z - z) }))
}
