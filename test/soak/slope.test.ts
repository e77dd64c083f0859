// The robust slope that decides whether a soak shows a leak.
import { expect, test } from 'bun:test'
import { createRandom } from '../oracle/random.ts'
import { lowerEnvelope, theilSen, withoutShareOf } from './slope.ts'

const line = (count: number, y: (x: number) => number) =>
  Array.from({ length: count }, (_, x) => ({ x, y: y(x) }))

test('a line has its slope and an interval without width', () => {
  expect(theilSen(line(20, (x) => 3 * x + 7))).toEqual({ estimate: 3, low: 3, high: 3, samples: 20 })
})

test('a third of wild samples does not move the slope', () => {
  const { estimate } = theilSen(line(90, (x) => 2 * x + (x % 3 === 0 ? (x % 2 ? 500 : -500) : 0)))
  expect(Math.abs(estimate - 2)).toBeLessThan(1)
})

test('the interval holds the slope of a noisy line, in 9 of 10 seeds at least', () => {
  const covered = Array.from({ length: 100 }, (_, seed) => {
    const random = createRandom(seed)
    const { low, high } = theilSen(line(60, (x) => 0.5 * x + 20 * (random.next() + random.next() - 1)))
    return low <= 0.5 && 0.5 <= high
  })
  expect(covered.filter(Boolean).length).toBeGreaterThanOrEqual(90)
})

test('a leak below waves shows in the lower envelope', () => {
  const waves = line(120, (x) => x + 300 * Math.abs(Math.sin(x)))
  const { estimate } = theilSen(lowerEnvelope(waves, 6))
  expect(estimate).toBeGreaterThan(0.5)
  expect(estimate).toBeLessThan(1.5)
})

test('two samples have no slope', () => {
  expect(() => theilSen(line(2, (x) => x))).toThrow('three samples')
})

test('growth of memory and the share that follows another number are separated', () => {
  const random = createRandom(7)
  const pointsOf = (leak: number, code: number) =>
    Array.from({ length: 90 }, (_, n) => {
      const x = n / 180
      const z = 4_000 + code * x + random.between(-60, 60)
      return { x, z, y: 16 + leak * x + 0.0025 * z + random.between(-10, 10) / 100 }
    })
  const slopeOf = (points: { x: number; y: number }[]): number => theilSen(points).estimate
  const compiling = pointsOf(0, 800)
  expect(slopeOf(compiling)).toBeGreaterThan(1.5)
  expect(Math.abs(slopeOf(withoutShareOf(compiling)))).toBeLessThan(0.6)
  for (const code of [800, 0, -800]) {
    const leaking = withoutShareOf(pointsOf(5, code))
    expect(slopeOf(leaking)).toBeGreaterThan(4)
    expect(slopeOf(leaking)).toBeLessThan(6)
  }
})

test('a number that never changes, or changes as time does, takes no share', () => {
  const steady = [1, 2, 3, 4].map((x) => ({ x, y: 5 * x, z: 9 }))
  const asTime = [1, 2, 3, 4].map((x) => ({ x, y: 5 * x, z: 2 * x }))
  for (const points of [steady, asTime]) expect(theilSen(withoutShareOf(points)).estimate).toBeCloseTo(5)
})
