// How often a client repeats something, without waiting for the absence of a repetition: known delays, lower bounds of
// the gaps between repetitions, and the timers that are pending.
import { expect, spyOn } from 'bun:test'

/** Until disposed, full jitter takes half of its cap: back-off delays are 0.5, 1, 2, 4 … times the base. */
export const halfJitter = (): Disposable => {
  const random = spyOn(Math, 'random').mockReturnValue(0.5)
  return { [Symbol.dispose]: () => random.mockRestore() }
}

/** A timer may fire this much before its time. */
const timerSlackMs = 2

/** Asserts that the nth gap between `times` lasts at least `leastMs[n]`. A slow machine only lengthens gaps. */
export const expectGaps = (times: readonly number[], leastMs: readonly number[]): void => {
  const gaps = leastMs.map((_, n) => times[n + 1]! - times[n]!)
  const isTooShort = (gap: number, n: number): boolean => !(gap >= leastMs[n]! - timerSlackMs)
  expect(gaps.map((gap, n) => (isTooShort(gap, n) ? gap : null))).toEqual(leastMs.map(() => null))
}

export interface RecordedTimers extends Disposable {
  /** Delays in milliseconds of the timers that have neither fired nor been cleared. */
  readonly pending: number[]
}

/** Records every `setTimeout` from now on. What has no pending timer and no request under way does nothing by itself. */
export const recordTimers = (): RecordedTimers => {
  const { setTimeout: set, clearTimeout: clear } = globalThis
  const pending = new Map<unknown, number>()
  const recorded = (act: (...args: unknown[]) => void, ms = 0, ...args: unknown[]): unknown => {
    const timer = set(() => {
      pending.delete(timer)
      act(...args)
    }, ms)
    pending.set(timer, ms)
    return timer
  }
  const cleared = (timer: Parameters<typeof clear>[0]): void => {
    pending.delete(timer)
    clear(timer)
  }
  Object.assign(globalThis, { setTimeout: recorded, clearTimeout: cleared })
  return {
    get pending() {
      return [...pending.values()]
    },
    [Symbol.dispose]: () => void Object.assign(globalThis, { setTimeout: set, clearTimeout: clear }),
  }
}
