// From when a due time is soon, in the calendar of the user.
import { expect, test } from 'bun:test'
import { dueSoonFrom } from '../../src/domain/notifications/due-soon-time.ts'

const from = (dueAt: string, hours: number, timeZone: string): string =>
  new Date(dueSoonFrom(Date.parse(dueAt), hours, timeZone)).toISOString()

test('hours are hours, and a day is 24 of them while the clocks stay', () => {
  expect(from('2026-11-27T09:00:00.000Z', 1, 'Europe/Berlin')).toBe('2026-11-27T08:00:00.000Z')
  expect(from('2026-11-27T09:00:00.000Z', 24, 'Europe/Berlin')).toBe('2026-11-26T09:00:00.000Z')
  expect(from('2026-11-27T09:00:00.000Z', 168, 'UTC')).toBe('2026-11-20T09:00:00.000Z')
  expect(from('2026-11-27T09:00:00.000Z', 30, 'Asia/Kolkata')).toBe('2026-11-26T03:00:00.000Z')
})

test('a day before is the same time of day, also where the clocks change in between', () => {
  // Berlin goes from UTC+1 to UTC+2 on 29 March 2026: that day has 23 hours.
  expect(from('2026-03-29T07:00:00.000Z', 24, 'Europe/Berlin')).toBe('2026-03-28T08:00:00.000Z')
  expect(from('2026-03-29T07:00:00.000Z', 24, 'UTC')).toBe('2026-03-28T07:00:00.000Z')
  expect(from('2026-03-29T07:00:00.000Z', 23, 'Europe/Berlin')).toBe('2026-03-28T08:00:00.000Z')
  // New York goes back on 1 November 2026: that day has 25.
  expect(from('2026-11-01T14:00:00.000Z', 24, 'America/New_York')).toBe('2026-10-31T13:00:00.000Z')
  expect(from('2026-11-02T14:00:00.000Z', 50, 'America/New_York')).toBe('2026-10-31T11:00:00.000Z')
})

test('a zone that the runtime does not know counts as UTC', () => {
  expect(from('2026-03-29T07:00:00.000Z', 24, 'Mars/Olympus')).toBe('2026-03-28T07:00:00.000Z')
})
