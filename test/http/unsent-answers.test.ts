// Large answers: bounded for each user and in all, and sent in pieces of their text, the same bytes however they are cut and
// encoded.
import { expect, test } from 'bun:test'
import { setImmediate as afterEvents } from 'node:timers/promises'
import { HeldBody } from '../../src/http/held-body.ts'
import type { RequestContext } from '../../src/http/request-context.ts'
import { encodedPieces, UnsentAnswers } from '../../src/http/unsent-answers.ts'
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

/** What `UnsentAnswers` reads of a request. */
const contextOf = (userId: string, method: string): RequestContext =>
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the other members are not read
  ({
    method,
    isRead: method === 'GET',
    path: '/api/tasks',
    request: new Request('http://localhost/api/tasks'),
    identity: { actor: { userId } },
  }) as unknown as RequestContext

const megabyte = 1_000_000

test('beyond the bound of a user reads are refused and writes that have happened are not', async () => {
  const unsent = new UnsentAnswers()
  const answer = { status: 200, headers: {}, body: 'a'.repeat(6 * megabyte) }
  const held: HeldBody[] = []
  const hold = (userId: string, method: string): void => {
    const { body } = unsent.hold(contextOf(userId, method), answer)
    if (!(body instanceof HeldBody)) throw new Error('the body is not held')
    held.push(body)
  }
  for (let n = 0; n < 5; n += 1) hold('ada', 'GET')
  expect(unsent.bytes).toBe(30 * megabyte)
  const refused = expect.objectContaining({ code: 'rate_limited', details: { retryAfter: 1 } })
  expect(errorOf(() => hold('ada', 'GET'))).toEqual(refused)
  expect(errorOf(() => unsent.admit(contextOf('ada', 'GET')))).toEqual(refused)
  let isRun = false
  const turn = unsent.inTurn('ada', async () => (isRun = true))
  expect([await turn.catch((error: unknown) => error), isRun]).toEqual([refused, false])
  hold('ada', 'PATCH')
  for (let n = 0; n < 5; n += 1) for (const userId of ['bob', 'cy', 'dan']) hold(userId, 'GET')
  // 126 MB of four users: the process has 128 MiB.
  hold('eve', 'GET')
  expect(errorOf(() => hold('eve', 'GET'))).toMatchObject({ code: 'unavailable', details: { retryAfter: 1 } })
  unsent.admit(contextOf('eve', 'GET')) // for what is not large there is room
  unsent.hold(contextOf('eve', 'GET'), { ...answer, body: 'short' })
  for (const body of held) body.release()
  expect(unsent.bytes).toBe(0)
  expect([...held[0]!.pieces()]).toEqual([])
  expect(await unsent.inTurn('ada', async () => 'run')).toBe('run')
})

test('four requests of a user make large answers at a time', async () => {
  const unsent = new UnsentAnswers()
  const gate = Promise.withResolvers<void>()
  let running = 0
  let most = 0
  const all = Array.from({ length: 9 }, () =>
    unsent.inTurn('ada', async () => {
      running += 1
      most = Math.max(most, running)
      await gate.promise
      running -= 1
    }),
  )
  expect(await unsent.inTurn('bob', async () => running)).toBe(4)
  gate.resolve()
  await Promise.all(all)
  expect(most).toBe(4)
})

test('other events run between requests that are refused', async () => {
  const unsent = new UnsentAnswers()
  unsent.hold(contextOf('ada', 'GET'), { status: 200, headers: {}, body: 'a'.repeat(28 * megabyte) })
  const refused: unknown[] = []
  const all = Array.from({ length: 40 }, () =>
    unsent.inTurn('ada', async () => {}).catch((error: unknown) => refused.push(error)),
  )
  let most = 0
  for (let before = 0; before < 40; before = refused.length) {
    await afterEvents()
    most = Math.max(most, refused.length - before)
  }
  await Promise.all(all)
  expect(most).toBe(4)
})

const errorOf = (work: () => void): unknown => {
  try {
    work()
    return null
  } catch (error) {
    return error
  }
}

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
