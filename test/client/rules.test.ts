// Rules of docs/protocol.md for clients that one small part of the client implements.
import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { verdictOf } from '../../packages/client/src/connection/close-codes.ts'
import { VersionedMap } from '../../packages/client/src/views/versioned-map.ts'

test('the action at each close code equals the table of docs/protocol.md (C-CLO-1)', async () => {
  const text = await Bun.file(join(import.meta.dir, '..', '..', 'docs', 'protocol.md')).text()
  const rows = [...text.matchAll(/^\| ([\d, ]+) \| [^|]+ \| ([^|]+) \|$/gm)].flatMap(([, codes, action]) =>
    codes!.split(', ').map((code): [number, string] => [Number(code), action!]),
  )
  expect(rows.length).toBeGreaterThan(15)
  const saidOf = (action: string): string => {
    if (action.startsWith('wait')) return 'wait'
    if (/refresh|sign in/.test(action)) return 'renew'
    return action.includes('reconnect') ? 'reconnect' : 'stop'
  }
  const documented: [number, string][] = []
  for (const [code, action] of rows)
    documented.push([code, action.startsWith('the same') ? documented.at(-1)![1] : saidOf(action)])
  expect(rows.map(([code]): [number, string] => [code, verdictOf(code).do])).toEqual(documented)
  expect([1099, 4099, 4499, 4599, 4999].map((code) => verdictOf(code).do)).toEqual([
    'reconnect',
    'reconnect',
    'renew',
    'stop',
    'reconnect',
  ])
})

test('only a higher version is applied (C-VER-1)', () => {
  const held = new VersionedMap<string>()
  held.reset([['a', 3, 'three']])
  expect([held.put('a', 3, 'again'), held.put('a', 2, 'old'), held.get('a')]).toEqual([false, false, 'three'])
  expect([held.put('a', 5, 'five'), held.get('a'), held.versionOf('a')]).toEqual([true, 'five', 5])
})

test('a deletion is remembered, and no older version restores the task (C-VER-2)', () => {
  const held = new VersionedMap<string>()
  held.put('a', 1, 'one')
  expect(held.put('a', 3, null)).toBe(true)
  expect([held.put('a', 2, 'late'), held.get('a'), [...held.values()]]).toEqual([false, null, []])
  // Also of a task that was not known.
  held.put('b', 2, null)
  expect([held.put('b', 1, 'late'), held.get('b')]).toEqual([false, null])
})
