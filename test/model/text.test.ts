// Text: counted in code points, refused where PostgreSQL would refuse or change it, and as ASCII on the wire.
import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { cpuMsOf } from '../support/cpu-time.ts'
import { asciiJson, Text, textFault } from '../../src/model/text.ts'

const any = fc.string({ unit: 'binary', maxLength: 60 })

describe('acceptable text', () => {
  test('is whatever is well-formed, has no NUL and fits in code points', () => {
    fc.assert(
      fc.property(any, fc.integer({ min: 0, max: 60 }), (text, maxLength) => {
        const fits = Array.from(text.trim().normalize('NFC')).length <= maxLength
        const expected = fits && !text.includes('\0') && text.isWellFormed()
        expect(textFault(text, { maxLength }) === null).toBe(expected)
      }),
    )
  })

  test('counts an emoji once, and each part of a joined one', () => {
    expect(textFault('🦊'.repeat(10), { maxLength: 10 })).toBeNull()
    expect(textFault('🦊'.repeat(11), { maxLength: 10 })).toBe('must have at most 10 characters')
    expect(textFault('👩‍👧', { maxLength: 2 })).toBe('must have at most 2 characters')
  })

  test('is measured without the space around it', () => {
    expect(textFault('  ab  ', { maxLength: 2 })).toBeNull()
    expect(textFault(' \n\t ', { minLength: 1, maxLength: 2 })).toBe('must not be empty')
  })

  test('is measured with the space around it where that is content', () => {
    const prose = { minLength: 1, maxLength: 4, keepsSpace: true }
    expect(textFault(' ab\n', prose)).toBeNull()
    expect(textFault(' ab\n ', prose)).toBe('must have at most 4 characters')
    expect(textFault(' e\u0301e\u0301\n', prose)).toBeNull()
    expect(textFault(' \n\t ', prose)).toBe('must contain something visible')
    expect(textFault('', prose)).toBe('must not be empty')
  })

  test('is counted in NFC, so that every normal form of it fits or none does', () => {
    expect(textFault('re\u0301union', { maxLength: 7 })).toBeNull()
    expect(textFault('\u1f82'.normalize('NFD').repeat(10), { maxLength: 10 })).toBeNull()
    expect(textFault('re\u0301unions', { maxLength: 7 })).toBe('must have at most 7 characters')
  })

  test('has something visible where it is required', () => {
    for (const text of ['\u200b', '\u00ad\u2060', '\u0001\u0002', '\u3164'])
      expect([text, textFault(text, { minLength: 1, maxLength: 9 })]).toEqual([
        text,
        'must contain something visible',
      ])
    expect(textFault('\u200b', { maxLength: 9 })).toBeNull()
    expect(textFault('\u0001', { minLength: 1, maxLength: 9, untrimmed: true })).toBeNull()
  })

  test('far beyond its limit is refused by its length alone', () => {
    expect(textFault('\ud800'.repeat(1_105), { maxLength: 10 })).toBe('must have at most 10 characters')
  })

  test('that goes into a path is no dot segment', () => {
    for (const text of ['.', ' .. ', '%2E.'])
      expect(textFault(text, { maxLength: 9, pathSegment: true })).toBe('must not be a dot segment of a path')
  })

  test('has no half of a surrogate pair', () => {
    for (const half of ['\ud83e', '\udd8a', '\udd8a\ud83e', 'a\ud83eb'])
      expect(textFault(half, { maxLength: 10 })).toBe('must not contain lone surrogates')
  })
})

describe('JSON as sockets get it', () => {
  test('is ASCII and means the same', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
        const json = asciiJson(value)
        expect(/^[\x20-\x7e]*$/.test(json.replaceAll('\u007f', ''))).toBe(true)
        expect(JSON.stringify(JSON.parse(json))).toBe(JSON.stringify(value))
      }),
    )
  })

  test('escapes text in other scripts at a fraction of the cost of a replacement of each character', async () => {
    const text = '日本語の説明、é '.repeat(20_000)
    const replaced = (): string =>
      JSON.stringify(text).replace(
        /[\u0080-\uffff]/g,
        (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
      )
    expect(asciiJson(text)).toBe(replaced())
    const usual = await cpuMsOf(async () => replaced(), { times: 3 })
    expect(await cpuMsOf(async () => asciiJson(text), { times: 3 })).toBeLessThan(usual / 3)
  })
})

describe('the pattern of a text in documents', () => {
  const patternOf = (minLength: number): RegExp =>
    new RegExp(Text({ minLength, maxLength: 1_000 })['pattern'], 'u')

  test('refuses NUL, and for required text whatever has nothing visible, as the server does', () => {
    const oneOf = fc.constantFrom(
      'a',
      'é',
      '日',
      '😀',
      ' ',
      '\n',
      '\0',
      '\u200b',
      '\u00ad',
      '\u3164',
      '\ufe0f',
      '\u0001',
    )
    for (const minLength of [0, 1]) {
      const pattern = patternOf(minLength)
      fc.assert(
        fc.property(fc.oneof(any, fc.string({ unit: oneOf, maxLength: 8 })), (text) => {
          const fault = textFault(text, { minLength, maxLength: 1_000 })
          expect([text, pattern.test(text)]).toEqual([text, fault === null])
        }),
      )
    }
  })

  test('has every invisible character up to U+FFFF', () => {
    const pattern = patternOf(1)
    const wrong = Array.from({ length: 0x10000 }, (_, code) => code).filter((code) => {
      const isVisible = /[^\p{White_Space}\p{Cc}\p{DI}]/u.test(String.fromCharCode(code))
      return pattern.test(String.fromCharCode(code)) !== isVisible
    })
    expect(wrong).toEqual([])
  })
})
