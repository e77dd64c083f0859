// Large answers are sent in pieces of their text: the same bytes, however they are cut and encoded.
import { expect, test } from 'bun:test'
import { encodedPieces } from '../../src/http/unsent-answers.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld } from '../support/world.ts'

test('the pieces of a text are its UTF-8, whatever lies at their borders', () => {
  const piece = 64 * 1024
  for (const before of [piece - 2, piece - 1, piece, 2 * piece - 1]) {
    const text = `${'a'.repeat(before)}${'🚀é€'.repeat(50_000)}`
    const pieces = [...encodedPieces(text)]
    expect(Buffer.concat(pieces).equals(Buffer.from(text))).toBe(true)
    expect(pieces.length).toBeGreaterThan(1)
  }
  expect([...encodedPieces('')]).toEqual([])
})

test('a large answer is the same text in every encoding, has a tag, and is counted until it is sent', async () => {
  await using world = await startWorld()
  const { unsent, db } = world.server.deps
  const { id, token, inboxId } = await world.register()
  await db.transact(
    (tx) => tx`
      insert into tasks (id, project_id, creator_id, title, description, rank)
      select gen_random_uuid(), ${inboxId}, ${id}, 'long', ${'🚀é€'.repeat(1_000)}, lpad(n::text, 8, '0')
      from generate_series(1, 100) n`,
  )
  const get = (encoding: string, more: Record<string, string> = {}, method = 'GET') =>
    fetch(`${world.url}/api/tasks?limit=100`, {
      method,
      headers: { Authorization: `Bearer ${token}`, 'Accept-Encoding': encoding, ...more },
    })
  const plain = await get('identity')
  const text = await plain.text()
  expect(JSON.parse(text).items).toHaveLength(100)
  expect(Buffer.byteLength(text)).toBeGreaterThan(900_000)
  for (const encoding of ['zstd', 'gzip']) {
    const answer = await get(encoding)
    expect(answer.headers.get('content-encoding')).toBe(encoding)
    expect((await answer.text()) === text).toBe(true)
  }
  const tag = plain.headers.get('etag')!
  const known = await get('identity', { 'If-None-Match': tag })
  expect([known.status, await known.text()]).toEqual([304, ''])
  const head = await get('identity', {}, 'HEAD')
  expect([head.status, head.headers.get('etag'), await head.text()]).toEqual([200, tag, ''])
  await eventually(() => expect(unsent.bytes).toBe(0))
}, 30_000)
