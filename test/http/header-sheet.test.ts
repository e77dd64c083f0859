// The shared headers hold exactly those of one answer: nothing of an answer before is left, whatever the two were like.
import { expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { HeaderSheet } from '../../src/http/header-sheet.ts'

const standard = { 'X-Content-Type-Options': 'nosniff', 'Content-Security-Policy': "default-src 'none'" }

const names = ['Content-Type', 'ETag', 'Location', 'Retry-After', 'Content-Security-Policy', 'Set-Cookie']

/** The headers of an answer: some of the names in any order, each once. */
const answer = fc
  .shuffledSubarray(names)
  .chain((chosen) =>
    fc.tuple(...chosen.map((name) => fc.tuple(fc.constant(name), fc.constantFrom('a', 'b')))),
  )

const send = (sheet: HeaderSheet, answered: readonly [string, string][]): Response => {
  sheet.begin()
  for (const [name, value] of answered) sheet.set(name, value)
  return new Response(null, { headers: sheet.finish() })
}

const expected = (answered: readonly [string, string][]) =>
  new Headers({ ...standard, ...Object.fromEntries(answered) }).toJSON()

test('every answer has the standard headers and its own, and none of another answer', () => {
  fc.assert(
    fc.property(fc.array(answer, { maxLength: 8 }), (answers) => {
      const sheet = new HeaderSheet(standard)
      const responses = answers.map((answered) => send(sheet, answered))
      // All were made before any is sent.
      expect(responses.map(({ headers }) => headers.toJSON())).toEqual(answers.map(expected))
    }),
  )
})

test('a value that no header can have leaves nothing for the next answer', () => {
  const sheet = new HeaderSheet(standard)
  send(sheet, [['ETag', '"1"']])
  expect(() => send(sheet, [['Location', 'a\nb']])).toThrow(TypeError)
  expect(send(sheet, [['ETag', '"2"']]).headers.toJSON()).toEqual(expected([['ETag', '"2"']]))
})
