// Calendar days of a time zone. Days are text such as 2026-11-20; a day with a clock change has 23 or 25 hours.
import { BoundedCache } from '../../async/bounded-cache.ts'
import { nextQuarter } from '../../model/statistics.ts'

/** Making a formatter takes 30 µs, formatting one instant 1 µs. */
const formatters = new BoundedCache<string, Intl.DateTimeFormat>({ maxEntries: 100 })

const formatterOf = (timeZone: string): Intl.DateTimeFormat =>
  formatters.getOrCreate(
    timeZone,
    // Swedish dates are written year, month, day.
    () => new Intl.DateTimeFormat('sv-SE', { timeZone, year: 'numeric', month: '2-digit', day: '2-digit' }),
  )

/** The day of an instant, in milliseconds since 1970. */
export const dayAt = (atMs: number, timeZone: string): string => formatterOf(timeZone).format(atMs)

/** `count` consecutive days, of which the given one is the last. */
export const daysUntil = (day: string, count: number): string[] => {
  const [year = 0, month = 1, date = 1] = day.split('-').map(Number)
  return Array.from({ length: count }, (_, n) =>
    new Date(Date.UTC(year, month - 1, date - (count - 1 - n))).toISOString().slice(0, 10),
  )
}

/** Sums counts by quarter-hour to counts by day, one for each of `days`, in their order. */
export const countsByDay = (
  quarters: ReadonlyMap<number, number>,
  days: readonly string[],
  timeZone: string,
): { date: string; count: number }[] => {
  const counts = new Map(days.map((day) => [day, 0]))
  for (const [quarter, count] of quarters) {
    const day = dayAt(quarter, timeZone)
    const before = counts.get(day)
    if (before !== undefined) counts.set(day, before + count)
  }
  return Array.from(counts, ([date, count]) => ({ date, count }))
}

/** Milliseconds until the next day begins, or `withinMs` where it begins later. */
export const untilNextDay = (atMs: number, timeZone: string, withinMs: number): number => {
  const today = dayAt(atMs, timeZone)
  for (let at = nextQuarter(atMs); at < atMs + withinMs; at = nextQuarter(at))
    if (dayAt(at, timeZone) !== today) return at - atMs
  return withinMs
}
