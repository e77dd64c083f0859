// Validation of ids, instants and other single values, with near misses.
import { describe, expect, test } from 'bun:test'
import { Value } from '@sinclair/typebox/value'
import * as fc from 'fast-check'
import {
  ClientId,
  Id,
  isId,
  isInstant,
  newId,
  listTimeZones,
  TimeZone,
  toInstant,
  Word,
} from '../../src/model/scalar.ts'

describe('an instant', () => {
  test('is any moment as JavaScript writes it', () => {
    fc.assert(
      fc.property(
        fc.date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true }),
        (date) => {
          expect(isInstant(date.toISOString())).toBe(true)
        },
      ),
    )
  })

  test('is a day that exists, of any month and year', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9999 }),
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 31 }),
        (year, month, day) => {
          const pad = (value: number, width: number) => String(value).padStart(width, '0')
          const date = new Date(0)
          date.setUTCFullYear(year, month - 1, day)
          const exists = date.getUTCMonth() === month - 1
          expect(isInstant(`${pad(year, 4)}-${pad(month, 2)}-${pad(day, 2)}T10:00:00Z`)).toBe(exists)
        },
      ),
      {
        examples: [
          [2024, 2, 29],
          [2026, 2, 29],
          [1900, 2, 29],
          [2000, 2, 29],
          [1, 2, 29],
          [4, 2, 29],
        ],
      },
    )
  })

  for (const text of [
    '2026-11-20T10:00:00+05:45',
    '2026-11-20T23:59:59.123456789Z',
    '2026-11-20T00:00:00-23:59',
  ])
    test(`is ${text}, kept in UTC with milliseconds`, () => {
      expect(isInstant(text)).toBe(true)
      expect(toInstant(text)).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    })

  for (const value of [
    '2026-11-20',
    '2026-11-20 10:00:00Z',
    '2026-11-20T10:00:00',
    '2026-11-20T24:00:00Z',
    '2026-11-20T10:60:00Z',
    '2026-11-20T10:00:60Z',
    '2026-11-20T10:00:00+24:00',
    '+002026-11-20T10:00:00Z',
    '2026-11-20t10:00:00z',
    ' 2026-11-20T10:00:00Z',
    '0000-01-01T00:00:00Z',
    1_763_632_800_000,
    null,
  ])
    test(`is not ${String(value)}`, () => expect(isInstant(value)).toBe(false))
})

describe('an id', () => {
  test('that was just made is one, sorts after the one before and can be a client’s', () => {
    const ids = Array.from({ length: 1_000 }, newId)
    expect(ids.every((id) => isId(id) && Value.Check(ClientId(), id))).toBe(true)
    expect(ids.toSorted()).toEqual(ids)
  })

  test('of a client is of version 7', () => {
    expect(Value.Check(Id(), crypto.randomUUID())).toBe(true)
    expect(Value.Check(ClientId(), crypto.randomUUID())).toBe(false)
  })

  for (const value of [
    '',
    newId().toUpperCase(),
    `{${newId()}}`,
    newId().replaceAll('-', ''),
    `${newId()}\n`,
    ` ${newId()}`,
    7,
  ])
    test(`is not ${JSON.stringify(value)}`, () => expect(isId(value)).toBe(false))
})

test('A time zone is one the runtime can compute with', () => {
  for (const zone of ['Europe/Berlin', 'UTC', 'America/Argentina/Buenos_Aires'])
    expect(Value.Check(TimeZone, zone)).toBe(true)
  const timeZones = listTimeZones()
  for (const zone of timeZones) expect([zone, Value.Check(TimeZone, zone)]).toEqual([zone, true])
  for (const zone of ['Mars/Base', '', '+05:00', 'Europe/Berlin ', 'europe/berlin', 'EUROPE/BERLIN', 1])
    expect(Value.Check(TimeZone, zone)).toBe(false)
  for (const zone of ['Asia/Kolkata', 'Europe/Kyiv', 'UTC']) expect(timeZones).toContain(zone)
})

test('An instant may have any number of digits of a second, within 64 characters', () => {
  expect(isInstant('2026-11-20T10:00:00.1234567890123Z')).toBe(true)
  expect(toInstant('2026-11-20T10:00:00.1239999999999Z')).toBe('2026-11-20T10:00:00.123Z')
  expect(isInstant(`2026-11-20T10:00:00.${'1'.repeat(60)}Z`)).toBe(false)
})

test('A word is one of its list, to the letter', () => {
  const schema = Word('todo', 'done')
  for (const word of ['todo', 'done']) expect(Value.Check(schema, word)).toBe(true)
  for (const word of ['Todo', 'todo ', '', 'toString', ['todo'], null])
    expect(Value.Check(schema, word)).toBe(false)
})
