// Turns of signed-in users and of anonymous callers: neither group starves the other, and a user has one share.
import { expect, test } from 'bun:test'
import { createFairTurns } from '../../src/limits/fair-turns.ts'

const turns = (atOnce: number) =>
  createFairTurns({
    atOnce,
    maxWaiting: 20,
    maxWaitingPerUser: 2,
    refusal: () => new Error('full'),
  })

const rejection = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'none',
    (error: Error) => error.message,
  )

/** Submits all at once and answers the order they were served in. */
const order = async (names: (string | undefined)[]): Promise<string[]> => {
  const served: string[] = []
  const run = turns(1)
  await Promise.all(names.map((name) => run(name, async () => void served.push(name ?? 'anonymous'))))
  return served
}

test('the two groups are served in turn, users round robin, each in FIFO order', async () => {
  expect(await order(['ada', 'ada', 'ada', 'bob', undefined, undefined])).toEqual([
    'ada',
    'anonymous',
    'ada',
    'anonymous',
    'bob',
    'ada',
  ])
})

test('of one user one call runs at a time and two wait; the room of others is not touched', async () => {
  const run = turns(2)
  const end = Promise.withResolvers<void>()
  const running: string[] = []
  const hold = (name: string) => async () => {
    running.push(name)
    await end.promise
  }
  const held = [
    run('ada', hold('ada')),
    run('ada', hold('ada')),
    run('ada', hold('ada')),
    run(undefined, hold('anonymous')),
  ]
  expect(running).toEqual([])
  await Promise.resolve()
  expect(running.toSorted()).toEqual(['ada', 'anonymous'])
  expect(await rejection(run('ada', hold('ada')))).toBe('full')
  const others = Array.from({ length: 20 }, () => run(undefined, hold('anonymous')))
  expect(await rejection(run(undefined, hold('anonymous')))).toBe('full')
  others.push(run('bob', hold('bob')))
  end.resolve()
  await Promise.all([...held, ...others])
  expect(running).toHaveLength(25)
})

test('failed work passes its turn on', async () => {
  const run = turns(1)
  expect(await rejection(run('ada', () => Promise.reject(new Error('broken'))))).toBe('broken')
  expect(await run('ada', () => Promise.resolve('fine'))).toBe('fine')
})
