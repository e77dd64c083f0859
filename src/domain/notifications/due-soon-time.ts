// From when a due time is soon for a user. Whole days are days of the user's calendar: a day before 09:00 is 09:00, also
// where the clocks change in between; the hours beyond them are hours.
import { BoundedCache } from '../../async/bounded-cache.ts'

const hourMs = 60 * 60_000
const dayMs = 24 * hourMs

const formats = new BoundedCache<string, Intl.DateTimeFormat>({ maxEntries: 1_000 })

const formatOf = (timeZone: string): Intl.DateTimeFormat => {
  const known = formats.get(timeZone)
  if (known) return known
  const made = new Intl.DateTimeFormat('en', { timeZone, timeZoneName: 'longOffset' })
  formats.set(timeZone, made)
  return made
}

/** Milliseconds the zone is ahead of UTC at an instant; 0 for a zone that the runtime does not know any more. */
const offsetAt = (ms: number, timeZone: string): number => {
  try {
    const name = formatOf(timeZone)
      .formatToParts(ms)
      .find(({ type }) => type === 'timeZoneName')?.value
    const match = /^GMT([+-])(\d{2}):(\d{2})(?::(\d{2}))?$/.exec(name ?? '')
    if (!match) return 0
    const [hours, minutes, seconds] = [Number(match[2]), Number(match[3]), Number(match[4] ?? 0)]
    return (match[1] === '-' ? -1 : 1) * ((hours * 60 + minutes) * 60 + seconds) * 1000
  } catch {
    return 0
  }
}

/**
 * The instant, in milliseconds, `hours` before a due time. A time that the clocks skip or repeat counts by the offset
 * that the due time has.
 * @param hours 1..168. @param timeZone an IANA name.
 */
export const dueSoonFrom = (dueMs: number, hours: number, timeZone: string): number => {
  const days = Math.floor(hours / 24)
  const rest = (hours % 24) * hourMs
  if (days === 0) return dueMs - rest
  const earlier = dueMs - days * dayMs
  const shift = offsetAt(dueMs, timeZone) - offsetAt(earlier, timeZone)
  return earlier + shift - rest
}
