// The fair queue: bounded for each caller, round robin between callers, without state for callers that have left.
import { expect, test } from 'bun:test'
import { setImmediate } from 'node:timers/promises'
import { AppError } from '../../src/errors.ts'
import { FairQueue, type Turn } from '../../src/limits/fair-queue.ts'

/** Records callers in the order in which their turns begin. */
const noting = (queue: FairQueue) => {
  const begun: string[] = []
  const enter = (caller: string): Turn => {
    const turn = queue.enter(caller)
    void turn.ready.then(() => begun.push(caller))
    return turn
  }
  return { begun, enter }
}

/** Every promise that was resolved has run its continuations. */
const settled = (): Promise<void> => setImmediate()

test('a caller has at most its share of turns, and others are served beside it', async () => {
  const queue = new FairQueue({ atOnce: 4, perCaller: 2, maxWaiting: 10 })
  const { begun, enter } = noting(queue)
  const own = ['a', 'a', 'a', 'a'].map(enter)
  const other = enter('b')
  await settled()
  expect(begun).toEqual(['a', 'a', 'b'])
  expect([queue.running, queue.waitingOf('a')]).toEqual([3, 2])
  own[0]!.leave()
  await settled()
  expect(begun).toEqual(['a', 'a', 'b', 'a'])
  for (const turn of [...own, other]) turn.leave()
  expect([queue.running, queue.size]).toEqual([0, 0])
})

test('free turns go round robin to waiting callers, however many calls one of them has waiting', async () => {
  const queue = new FairQueue({ atOnce: 1, perCaller: 1, maxWaiting: 100 })
  const { begun, enter } = noting(queue)
  const turns = [...Array<string>(20).fill('a'), 'b', 'b', 'c'].map(enter)
  for (let count = 0; count < 6; count += 1) {
    await settled()
    const [held] = turns.splice(
      turns.findIndex((turn) => !turn.isWaiting),
      1,
    )
    held!.leave()
  }
  expect(begun.slice(0, 6)).toEqual(['a', 'b', 'c', 'a', 'b', 'a'])
})

test('a full queue refuses with 429, and an abandoned place is free again', () => {
  const queue = new FairQueue({ atOnce: 1, perCaller: 1, maxWaiting: 2 })
  const turns = [queue.enter('a'), queue.enter('a'), queue.enter('a')]
  const refusal = (() => {
    try {
      return queue.enter('a')
    } catch (error) {
      return error
    }
  })()
  expect(refusal).toBeInstanceOf(AppError)
  expect(refusal).toMatchObject({ code: 'rate_limited', status: 429, details: { retryAfter: 1 } })
  turns[2]!.leave()
  turns[2]!.leave()
  turns.push(queue.enter('a'))
  expect(queue.waitingOf('a')).toBe(2)
  for (const turn of turns) turn.leave()
  expect([queue.running, queue.size]).toEqual([0, 0])
})

test('a call that waits too long gets 503 and takes no turn later', async () => {
  const queue = new FairQueue({ atOnce: 1, perCaller: 1, maxWaiting: 2 })
  const held = queue.enter('a')
  let ran = false
  const late = queue.run('a', async () => (ran = true), 1).catch((error: unknown) => error)
  expect(await late).toMatchObject({ code: 'unavailable', status: 503, details: { retryAfter: 1 } })
  held.leave()
  await settled()
  expect([ran, queue.size]).toEqual([false, 0])
})

test('a failed call releases its turn', async () => {
  const queue = new FairQueue({ atOnce: 1, perCaller: 1, maxWaiting: 2 })
  const failing = queue.run('a', () => Promise.reject(new Error('no')), 1_000)
  expect(await failing.catch((error: unknown) => error)).toMatchObject({ message: 'no' })
  expect(await queue.run('a', async () => 'next', 1_000)).toBe('next')
  expect(queue.size).toBe(0)
})

test('a heavy call counts as several turns of its caller, and waits for no other caller', async () => {
  const queue = new FairQueue({ atOnce: 6, perCaller: 8, maxWaiting: 10 })
  const started: string[] = []
  const enter = (name: string, caller: string, weight: number) => {
    const turn = queue.enter(caller, weight)
    void turn.ready.then(() => started.push(name))
    return turn
  }
  const turns = [
    enter('heavy 1', 'a', 4),
    enter('heavy 2', 'a', 4),
    enter('heavy 3', 'a', 4),
    enter('light', 'a', 1),
    enter('other', 'b', 1),
    enter('all', 'c', 99),
  ]
  await settled()
  expect(started).toEqual(['heavy 1', 'heavy 2', 'other', 'all'])
  turns[0]!.leave()
  await settled()
  expect(started.slice(4)).toEqual(['heavy 3']) // FIFO: a light call waits behind it
  for (const turn of turns.slice(1, 3)) turn.leave()
  await settled()
  expect(started.slice(5)).toEqual(['light'])
  for (const turn of turns) turn.leave()
  expect([queue.running, queue.size]).toEqual([0, 0])
})
