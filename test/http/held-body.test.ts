// Large bodies as streams: what runs between two pieces, and whose piece is next.
import { expect, test } from 'bun:test'
import { setImmediate as afterEvents } from 'node:timers/promises'
import { HeldBody, streamOf } from '../../src/http/held-body.ts'

/** A body of pieces that each note their name when they are made. */
const bodyOf = (holder: string, name: string, pieces: number, made: string[]): HeldBody => {
  const make = function* (): Generator<Uint8Array> {
    for (let n = 0; n < pieces; n += 1) {
      made.push(name)
      yield new Uint8Array(1)
    }
  }
  return new HeldBody(holder, pieces, make, () => made.push(`end of ${name}`))
}

const read = (body: HeldBody): Promise<ArrayBuffer> => new Response(streamOf(body, null)).arrayBuffer()

test('the loop looks at its sockets between two pieces, also where the reader takes every piece at once', async () => {
  const made: string[] = []
  const reading = read(bodyOf('ada', 'piece', 5, made))
  let looks = 0
  const seen: number[] = []
  while (!made.includes('end of piece')) {
    await afterEvents()
    looks += 1
    seen.push(made.filter((name) => name === 'piece').length)
  }
  await reading
  expect(looks).toBeGreaterThanOrEqual(5)
  expect(Math.max(...seen.map((count, n) => count - (seen[n - 1] ?? 0)))).toBe(1)
})

test('holders take turns, however many bodies each has', async () => {
  const made: string[] = []
  const many = Array.from({ length: 10 }, () => read(bodyOf('ada', 'a', 10, made)))
  await afterEvents()
  await Promise.all([...many, read(bodyOf('bob', 'b', 10, made))])
  const pieces = made.filter((name) => name.length === 1)
  expect(pieces.filter((name) => name === 'a')).toHaveLength(100)
  const last = pieces.lastIndexOf('b')
  // Ten of bob, one of ada after each, and what was under way when bob came.
  expect(pieces.slice(0, last).filter((name) => name === 'a').length).toBeLessThan(25)
})
