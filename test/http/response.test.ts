// Answers as text: the same whether they are made at once or in slices.
import { expect, test } from 'bun:test'
import { longList } from '../../src/http/response.ts'

test('a page that is made in slices is the same text as one that is made at once', async () => {
  const items = Array.from({ length: 100 }, (_, n) => ({ id: n, text: '𝔱'.repeat(n), none: undefined }))
  const rest = { nextCursor: null, total: 3 }
  const { status, headers, body } = await longList(items, rest, { Link: '<x>' })
  expect([status, headers['Link'], body]).toEqual([200, '<x>', JSON.stringify({ items, ...rest })])
  const other = await longList(items.slice(1), rest, {})
  expect(headers['ETag']).toMatch(/^W\/"\w+"$/)
  expect(other.headers['ETag']).not.toBe(headers['ETag'])
  expect((await longList([], rest, {})).body).toBe('{"items":[],"nextCursor":null,"total":3}')
})
