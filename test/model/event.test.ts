// The log on the wire: cursors, shards, and frames that stay within their size.
import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { projectScope, shardCount, shardOf } from '../../src/model/scope.ts'
import { encodeBody, formatCursor, maxFrameBytes, parseCursor, type Entry } from '../../src/model/event.ts'
import { newId } from '../../src/model/scalar.ts'

describe('a cursor', () => {
  const epoch = fc.stringMatching(/^[a-z0-9]{4,32}$/)

  test('comes back as the position it was made of', () => {
    fc.assert(
      fc.property(epoch, fc.nat(shardCount - 1), fc.maxSafeNat(), (epoch, shard, seq) => {
        expect(parseCursor(formatCursor({ epoch, shard, seq }))).toEqual({ epoch, shard, seq })
      }),
    )
  })

  test('is nothing else, and never throws', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const position = parseCursor(text)
        if (position) expect(formatCursor(position)).toBe(text)
      }),
    )
  })

  for (const text of [
    '',
    '..',
    'abcd.0',
    'abcd.0.',
    'abcd.16.1',
    'abcd.-1.1',
    'abcd.01.1',
    'abcd.1.01',
    'abcd.1.1.1',
    'ABCD.1.1',
    'abcd.1.1e3',
    'abcd.1.9999999999999999',
    'abc.1.1',
    'abcd.1.1\n',
  ])
    test(`is not ${JSON.stringify(text)}`, () => expect(parseCursor(text)).toBeNull())
})

describe('shards', () => {
  test('are the first byte of the SHA-256 of a scope, so that every process and version agrees', async () => {
    for (let n = 0; n < 100; n += 1) {
      const scope = projectScope(newId())
      const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(scope)))
      expect(shardOf(scope)).toBe(digest[0]! % 16)
    }
  })

  test('take about the same number of scopes each', () => {
    const counts = Array.from({ length: shardCount }, () => 0)
    for (let n = 0; n < 16_000; n += 1) counts[shardOf(projectScope(newId()))]! += 1
    expect(Math.min(...counts)).toBeGreaterThan(800)
    expect(Math.max(...counts)).toBeLessThan(1_200)
  })
})

describe('a frame', () => {
  const entry = (data: Record<string, unknown>): Entry => ({
    scope: projectScope(newId()),
    type: 'task.updated',
    id: newId(),
    version: 7,
    data,
    changed: ['title'],
    actorId: newId(),
  })
  const decode = (body: string) => JSON.parse(`{${body}`)

  test('carries actor, type, entity and the key of the write (P-EVT-4)', () => {
    const one = entry({ id: 'x', title: 'Grüße' })
    expect(decode(encodeBody(one, 'key-1'))).toEqual({
      type: 'task.updated',
      id: one.id,
      data: one.data,
      changed: ['title'],
      actor: one.actorId,
      op: 'key-1',
    })
    expect(decode(encodeBody(one, null))).not.toHaveProperty('op')
  })

  test('stays within 16 KiB by leaving out the largest texts and naming them (P-EVT-3)', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme', maxLength: 200 }),
        fc.integer({ min: 0, max: 10_000 }),
        fc.constantFrom('x', 'é', '🦊', '"', '\n'),
        (title, length, unit) => {
          const data = { id: newId(), title, description: unit.repeat(length), status: 'todo' }
          const body = encodeBody(entry(data), null)
          const { data: sent, omitted } = decode(body)
          expect(body.length).toBeLessThanOrEqual(maxFrameBytes)
          expect(sent).toEqual(omitted ? { id: data.id, title, status: 'todo' } : data)
          if (omitted) expect(omitted).toEqual(['description'])
        },
      ),
    )
  })
})
