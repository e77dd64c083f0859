// Prints figures as a table.

export const printTable = (rows: [string, string][]): void => {
  const width = Math.max(...rows.map(([name]) => name.length))
  for (const [name, value] of rows) console.log(`${name.padEnd(width)}  ${value}`)
}

/** The nearest-rank percentile, rounded to 0.1. */
export const percentile = (values: number[], share: number): string => {
  if (values.length === 0) return '-'
  const sorted = values.toSorted((a, b) => a - b)
  return String(Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]! * 10) / 10)
}
