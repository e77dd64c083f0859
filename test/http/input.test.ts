// What is remembered of a request's query: its checked parameters by their text, never those of a refused one.
import { expect, test } from 'bun:test'
import { Type } from '@sinclair/typebox'
import { inputOf } from '../../src/http/input.ts'
import { Repeatable, Whole } from '../../src/http/query.ts'
import type { RequestContext } from '../../src/http/request-context.ts'

const query = Type.Object(
  {
    limit: Whole({ minimum: 1, maximum: 100 }),
    tag: Type.Optional(Repeatable({ maxLength: 400 }, 5, 'tags')),
  },
  { additionalProperties: false },
)
const read = inputOf({ query }, 'value', { suggestPath: () => null })

const queryOf = (search: string, isRead = true): unknown => {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the members that reading input uses
  const context = {
    search,
    isRead,
    path: '/',
    request: new Request('http://x/'),
  } as unknown as RequestContext
  read(context, undefined)
  return context.query
}

test('a query is parsed once for each text, and handlers cannot change the parsed one that requests share', () => {
  const first = queryOf('?limit=5')
  expect(first).toEqual({ limit: '5' })
  expect(queryOf('?limit=5')).toBe(first)
  expect(queryOf('?limit=6')).toEqual({ limit: '6' })
  expect(Object.isFrozen(first)).toBe(true)
})

test('a refused query is checked each time, also a missing one', () => {
  for (const search of ['?limit=0', '?other=1', '', '?limit=0'])
    for (let n = 0; n < 2; n += 1) expect(() => queryOf(search)).toThrow()
})

test('long queries, and those of writes, are not remembered', () => {
  const long = `?limit=5&tag=${'x'.repeat(300)}`
  expect(queryOf(long)).not.toBe(queryOf(long))
  expect(queryOf('?limit=7', false)).not.toBe(queryOf('?limit=7', false))
})

test('a thousand different queries leave a hundred', () => {
  const first = queryOf('?limit=8')
  for (let n = 0; n < 1_000; n += 1) queryOf(`?limit=9&tag=${n}`)
  const again = queryOf('?limit=8')
  expect(again).toEqual(first)
  expect(again).not.toBe(first)
})
