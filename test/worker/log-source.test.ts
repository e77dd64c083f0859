// Consumers that are behind read their pages in turn.
import { expect, test } from 'bun:test'
import { createLogSource } from '../../src/worker/engine/log-source.ts'

const idle = { epoch: 'e', positions: [], onAdvance: () => () => {}, read: () => Promise.resolve([]) }

const settle = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

test('at most ten pages are in work at once, five of one consumer, and each has its turn', async () => {
  using source = createLogSource(idle)
  const { signal } = new AbortController()
  const running: { name: string; end: () => void }[] = []
  let [most, mostOfOne, done] = [0, 0, 0]
  const names = ['a', 'b', 'c']
  const all = names.flatMap((name) =>
    Array.from({ length: 16 }, () =>
      source.inTurn(name, signal, async () => {
        const { promise, resolve } = Promise.withResolvers<void>()
        running.push({ name, end: resolve })
        most = Math.max(most, running.length)
        mostOfOne = Math.max(mostOfOne, running.filter((one) => one.name === name).length)
        await promise
        done += 1
      }),
    ),
  )
  await settle()
  while (running.length > 0) {
    running.shift()!.end()
    await settle()
  }
  await Promise.all(all)
  expect({ most, mostOfOne, done }).toEqual({ most: 10, mostOfOne: 5, done: 48 })
})

test('a wait for a turn ends with the signal, without the work, and gives its place up', async () => {
  using source = createLogSource(idle)
  const [held, given] = [Promise.withResolvers<void>(), new AbortController()]
  const { signal } = new AbortController()
  const holders = Array.from({ length: 5 }, () => source.inTurn('a', signal, () => held.promise))
  let worked = false
  const waiting = source.inTurn('a', given.signal, async () => {
    worked = true
  })
  given.abort()
  await waiting
  held.resolve()
  await Promise.all(holders)
  expect(worked).toBe(false)
  await source.inTurn('a', signal, () => Promise.resolve())
})

test('work that fails gives its turn up', async () => {
  using source = createLogSource(idle)
  const { signal } = new AbortController()
  for (let n = 0; n < 20; n += 1)
    expect(await source.inTurn('a', signal, () => Promise.reject(new Error('failed'))).catch(String)).toBe(
      'Error: failed',
    )
})
