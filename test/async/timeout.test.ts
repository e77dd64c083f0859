// Deadlines: each wait ends, names what took too long, and leaves the work alone.
import { expect, test } from 'bun:test'
import { Deadline, settledWithin, TimedOut, withTimeout } from '../../src/async/timeout.ts'
import { StallMeter } from '../../src/async/stall-meter.ts'
import { backOffMs } from '../../src/async/back-off.ts'
import { blockEventLoop } from '../support/stall.ts'

const never = new Promise<never>(() => {})
const failureOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => null,
    (error: unknown) => error,
  )

test('a late wait is rejected by the name of its work, or by the error made from that', async () => {
  expect(await failureOf(withTimeout(1, 'the answer', never))).toEqual(
    new TimedOut('the answer took longer than 1 ms'),
  )
  const cause = (late: Error) => new TypeError('late', { cause: late })
  expect(await failureOf(withTimeout(1, 'the answer', never, cause))).toBeInstanceOf(TypeError)
  expect(await withTimeout(60_000, 'the answer', Promise.resolve(7))).toBe(7)
})

test('one deadline bounds several waits, and can be ended early', async () => {
  using deadline = new Deadline(60_000, () => new Error('late'))
  expect(await deadline.race(Promise.resolve(1))).toBe(1)
  const waiting = failureOf(deadline.race(never))
  deadline.fail(new Error('interrupted'))
  expect(await waiting).toEqual(new Error('interrupted'))
  expect(await failureOf(deadline.race(never))).toEqual(new Error('interrupted'))
})

test('a stall of this process costs at most a tenth of a deadline', async () => {
  for (const timeoutMs of [50, 500]) {
    const answer = Promise.withResolvers<string>()
    setTimeout(() => answer.resolve('answered'), timeoutMs / 2) // due during the stall, behind the timer of the deadline
    const waiting = withTimeout(timeoutMs, 'the answer', answer.promise)
    blockEventLoop(timeoutMs * 2)
    expect(await waiting).toBe('answered')
  }
})

test('a deadline expires no earlier than its time', async () => {
  for (const timeoutMs of [1, 7, 45, 300]) {
    const startedAt = performance.now()
    await failureOf(withTimeout(timeoutMs, 'the answer', never))
    expect(performance.now() - startedAt).toBeGreaterThan(timeoutMs - 1)
  }
})

test('a stall is the time by which a tick comes later than planned, from one interval', () => {
  const meter = new StallMeter(100)
  const startedAt = performance.now()
  expect(meter.tick(startedAt + 100)).toBe(0)
  expect(meter.tick(startedAt + 290)).toBe(0)
  expect(meter.tick(startedAt + 2_290)).toBeCloseTo(1_900)
  expect(meter.tick(startedAt + 2_390)).toBe(0)
})

test('closing waits for work that ends in time and gives up on other work', async () => {
  await settledWithin(1, never)
  await settledWithin(60_000, Promise.resolve())
})

test('back-off doubles from its base to its limit, at least half of it', () => {
  for (const [failures, fullMs] of [
    [1, 100],
    [2, 200],
    [5, 1_600],
    [9, 2_000],
    [2_000, 2_000],
  ] as const) {
    const ms = backOffMs(failures, 100, 2_000)
    expect(ms).toBeGreaterThanOrEqual(fullMs / 2)
    expect(ms).toBeLessThanOrEqual(fullMs)
  }
})
