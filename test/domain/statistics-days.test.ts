// Local days across clock changes: every quarter-hour belongs to one day, and a day has as many as its hours give.
import { expect, test } from 'bun:test'
import { countsByDay, dayAt, daysUntil, untilNextDay } from '../../src/domain/statistics/days.ts'
import { quarterOf } from '../../src/model/statistics.ts'

const quarterMs = 15 * 60_000

/** Quarter-hours of the days around one. */
const quartersOf = (timeZone: string, day: string, count = 3): number[] => {
  const around = Date.parse(`${day}T12:00:00Z`)
  const quarters = new Map(
    Array.from({ length: 96 * 8 }, (_, n) => [
      quarterOf(new Date(around).toISOString()) + (n - 96 * 4) * quarterMs,
      1,
    ]),
  )
  const days = daysUntil(new Date(around + 86_400_000).toISOString().slice(0, 10), count)
  return countsByDay(quarters, days, timeZone).map(({ count: found }) => found)
}

/** The middle one of three days. */
const changes: [zone: string, day: string, quarters: number][] = [
  ['UTC', '2026-03-29', 96],
  ['Europe/Berlin', '2026-03-29', 92],
  ['Europe/Berlin', '2026-10-25', 100],
  ['America/New_York', '2026-03-08', 92],
  ['America/New_York', '2026-11-01', 100],
  // The clock goes back at midnight: 23:00 comes twice.
  ['Asia/Beirut', '2026-10-24', 100],
  // There is no midnight: the day begins at 01:00.
  ['Asia/Beirut', '2026-03-29', 92],
  // Half an hour, and offsets of 45 minutes.
  ['Australia/Lord_Howe', '2026-04-05', 98],
  ['Australia/Lord_Howe', '2026-10-04', 94],
  ['Pacific/Chatham', '2026-04-05', 100],
  ['Asia/Kathmandu', '2026-03-29', 96],
  // A day that never was.
  ['Pacific/Apia', '2011-12-30', 0],
]

test.each(changes)('%s on %s', (timeZone, day, quarters) => {
  expect(quartersOf(timeZone, day)).toEqual([96, quarters, 96])
})

test('days are consecutive, also over the leap day and the end of a year', () => {
  expect(daysUntil('2028-03-01', 3)).toEqual(['2028-02-28', '2028-02-29', '2028-03-01'])
  expect(daysUntil('2026-01-01', 2)).toEqual(['2025-12-31', '2026-01-01'])
  expect(daysUntil('2026-11-01', 30).length).toBe(30)
})

test('the next day begins at local midnight, or later than asked', () => {
  const at = Date.parse('2026-11-27T18:10:00Z')
  expect(untilNextDay(at, 'Asia/Kathmandu', 3_600_000)).toBe(5 * 60_000) // 23:55 there
  expect(untilNextDay(at, 'UTC', 3_600_000)).toBe(3_600_000)
  expect(dayAt(at + 5 * 60_000, 'Asia/Kathmandu')).toBe('2026-11-28')
})

test('a quarter-hour begins at or before its instant', () => {
  expect(new Date(quarterOf('2026-11-27T18:14:59.999Z')).toISOString()).toBe('2026-11-27T18:00:00.000Z')
  expect(new Date(quarterOf('2026-11-27T18:15:00.000Z')).toISOString()).toBe('2026-11-27T18:15:00.000Z')
})
