// The token bucket: a burst of its capacity, then its rate, whatever the time between two takes.
import { expect, test } from 'bun:test'
import { TokenBucket } from '../../src/limits/token-bucket.ts'

test('a bucket starts full, refills at its rate and never above its capacity', () => {
  const bucket = new TokenBucket(40, 20)
  expect(bucket.refill(5_000)).toBe(40)
  bucket.spend(40)
  expect(bucket.refill(5_000)).toBe(0)
  expect(bucket.refill(5_100)).toBeCloseTo(2)
  expect(bucket.refill(5_500)).toBeCloseTo(10)
  expect(bucket.refill(60_000)).toBe(40)
})
