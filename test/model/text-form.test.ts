// Normalisation of text: equality under the folding for every code point, and splitting into words.
import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import {
  canonicalEmail,
  canonicalTag,
  canonicalText,
  composedText,
  fold,
  isDotSegment,
  isVisible,
  searchWordsOf,
  tagKey,
  titleKey,
  wordsOf,
} from '../../src/model/text-form.ts'

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const any = fc.string({ unit: 'binary', maxLength: 40 })

describe(`the folding, SEED=${seed}`, () => {
  test.each([
    ['İstanbul', 'istanbul'],
    ['ısı', 'isi'],
    ['Straße', 'strasse'],
    ['STRASSE', 'strasse'],
    ['STRAẞE', 'strasse'],
    ['ΟΔΟΣ', 'οδοσ'],
    ['οδός', 'οδοσ'],
    ['ＡＢＣ１２', 'abc12'],
    ['ﬁle', 'file'],
    ['réunion', 'reunion'],
    ['re\u0301union', 'reunion'],
    ['Äpfel', 'apfel'],
    ['K', 'k'],
    ['ſet', 'set'],
    ['co\u00adop', 'coop'],
    ['foo\u200bbar', 'foobar'],
    [' a\u0001b\n', 'ab'],
    ['한국어', '한국어'.normalize('NFD')],
    ['天気', '天気'],
  ])('of %j is %j', (text, folded) => expect(fold(text)).toBe(folded))

  const holds = (text: string): boolean => {
    const folded = fold(text)
    return (
      fold(folded) === folded &&
      fold(text.normalize('NFC')) === folded &&
      fold(text.normalize('NFD')) === folded &&
      fold(text.normalize('NFKC')) === folded &&
      fold(text.toUpperCase()) === folded &&
      fold(text.toLowerCase()) === folded &&
      !/\p{M}/u.test(folded)
    )
  }

  test('is idempotent and the same in every normal form and case, for each code point that has any', () => {
    const wrong: string[] = []
    const ranges = [
      [0, 0x33_ff],
      [0xa0_00, 0xac_ff],
      [0xf9_00, 0x1_ff_ff],
      [0x2_f8_00, 0x2_fa_ff],
      [0xe_00_00, 0xe_0f_ff],
    ] as const
    const points = ranges.flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, n) => from + n))
    for (const point of points) {
      const text = String.fromCodePoint(point)
      if (!holds(text)) wrong.push(`U+${point.toString(16)}`)
    }
    expect(wrong).toEqual([])
  }, 20_000)

  test('is so for texts, too', () => {
    fc.assert(
      fc.property(fc.oneof(any, fc.string({ unit: 'grapheme', maxLength: 40 })), (text) => {
        expect([text, holds(text)]).toEqual([text, true])
      }),
      { seed, numRuns: 3_000 },
    )
  })

  test('gives equal tags equal keys and never an empty one; keys of titles stay within an index', () => {
    expect(tagKey('Straße')).toBe(tagKey('STRASSE'))
    expect(tagKey('\u0301')).not.toBe(tagKey('\u0302'))
    fc.assert(
      fc.property(any, (text) => {
        expect(tagKey(text) === '').toBe(canonicalTag(text) === '')
      }),
      { seed },
    )
    expect(Buffer.byteLength(titleKey('\ufdfa'.repeat(255)))).toBeLessThanOrEqual(800)
    expect(Buffer.byteLength(tagKey('\u{1f680}'.repeat(255)))).toBe(800)
  })
})

test('Text is kept in NFC without white space around it', () => {
  expect(canonicalText(' re\u0301union\u3000')).toBe('réunion')
  expect(canonicalTag(' Re\u0301UNION ')).toBe('réunion')
  expect(canonicalEmail(' Andre\u0301@Example.COM ')).toBe('andré@example.com')
  fc.assert(
    fc.property(any, (text) => {
      for (const form of [canonicalText, canonicalTag, canonicalEmail]) {
        const once = form(text)
        expect([form(once), once.normalize('NFC'), once.trim()]).toEqual([once, once, once])
        expect(form(text.normalize('NFD'))).toBe(once)
      }
    }),
    { seed },
  )
})

test('Text whose white space is content is kept in NFC alone', () => {
  expect(composedText('  re\u0301union\n')).toBe('  réunion\n')
  fc.assert(
    fc.property(any, (text) => {
      const once = composedText(text)
      expect([composedText(once), composedText(text.normalize('NFD'))]).toEqual([once, once])
      expect(once.trim()).toBe(canonicalText(text))
    }),
    { seed },
  )
})

test('Visible is what has more than white space, controls and default-ignorable characters', () => {
  for (const text of ['\u200b', '\u00ad', '\u0001\u0085', ' \t\u3000', '\u2060\ufeff', '\u3164', ''])
    expect([text, isVisible(text)]).toEqual([text, false])
  for (const text of ['a', '\u200ba', '🚀', '—', '\u0301', '天'])
    expect([text, isVisible(text)]).toEqual([text, true])
})

test('A dot segment is what a URL parser takes out of a path, or what folds to it', () => {
  for (const tag of ['.', '..', '%2e', '.%2E', '．．', '‥', '.\u200b.'])
    expect([tag, isDotSegment(tag)]).toEqual([tag, true])
  for (const tag of ['...', '.a', 'a/..', '%2f', '.env'])
    expect([tag, isDotSegment(tag)]).toEqual([tag, false])
})

describe(`words, SEED=${seed}`, () => {
  test.each([
    ['Write src/app.ts and/or foo_bar', ['write', 'src', 'app', 'ts', 'and', 'or', 'foo', 'bar']],
    ['ada@example.com', ['ada', 'example', 'com']],
    ["O'Neil L’Été", ['o', 'neil', 'l', 'ete']],
    ['今日は天気がいいですね', ['今日', 'は', '天気', 'か', 'いい', 'てす', 'ね']],
    ['ฉันรักประเทศไทย', ['ฉัน', 'รัก', 'ประเทศไทย'].map(fold)],
    ['launch🚀🎉', ['launch', '🚀', '🎉']],
    ['👩‍🚀 👩🏽‍❤️‍👩 1️⃣', ['👩', '🚀', '👩🏽', '❤', '1']],
    ['🇩🇪🇫🇷', ['🇩🇪', '🇫🇷']],
    ['Straße STRASSE strasse', ['strasse']],
    ['％ — … → ', []],
    ['', []],
  ])('of %j', (text, words) => expect(wordsOf(text)).toEqual(words))

  test('are the same whatever the normal form or case', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 40 }), (text) => {
        const words = wordsOf(text)
        expect(wordsOf(text.normalize('NFD'))).toEqual(words)
        for (const word of words) {
          expect(fold(word)).toBe(word)
          expect(word).not.toMatch(/[\p{M}\s'\\]/u)
        }
      }),
      { seed, numRuns: 2_000 },
    )
  })

  test('of ASCII are cut as those of any other text', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 60 }), (text) => {
        expect(wordsOf(`${text} é`)).toEqual([...new Set([...wordsOf(text), 'e'])])
      }),
      { seed, numRuns: 2_000 },
    )
  })

  test('are bounded: 200 code points each in a document, eight in a search', () => {
    expect(wordsOf('é'.repeat(10_000))).toEqual(['e'.repeat(200)])
    expect(searchWordsOf('a b c d e f g h i j')).toEqual(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'])
  })
})
