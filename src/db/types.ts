// JavaScript values of PostgreSQL types: always JSON values. Instants are ISO strings in UTC with milliseconds (columns
// are timestamptz(3), sessions run in UTC), days are text, bigint is a number.

const safeInteger = (text: string): number => {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new RangeError(`bigint ${text} does not fit a number`)
  return value
}

/** `2026-11-20 10:00:00.5+00` → `2026-11-20T10:00:00.500Z`; `infinity` and years past 9999 stay as they are. */
const isoInstant = (text: string): string =>
  text[10] === ' ' && text.endsWith('+00')
    ? `${text.slice(0, 10)}T${text.slice(11, 19)}.${text.slice(20, -3).slice(0, 3).padEnd(3, '0')}Z`
    : text

const asText = (value: unknown): string => (value instanceof Date ? value.toISOString() : String(value))

/** Object identifiers are PostgreSQL's: 20 bigint, 1184 timestamptz, 1082 date. */
export const types = {
  bigint: { to: 20, from: [20], serialize: String, parse: safeInteger },
  instant: { to: 1184, from: [1184], serialize: asText, parse: isoInstant },
  day: { to: 1082, from: [1082], serialize: asText, parse: (text: string) => text },
}
