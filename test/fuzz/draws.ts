// Draws from a seed: whole numbers and choices by a small generator, values by fast-check.
import { sample, type Arbitrary } from 'fast-check'
import { createRandom, type Random } from '../oracle/random.ts'

export interface Draws extends Random {
  /** True with the probability. */
  chance(probability: number): boolean
  /** A value of the arbitrary. */
  value<T>(arbitrary: Arbitrary<T>): T
}

export const createDraws = (seed: number): Draws => {
  const random = createRandom(seed)
  return {
    ...random,
    chance: (probability) => random.next() < probability,
    value: (arbitrary) => sample(arbitrary, { seed: random.between(1, 2 ** 31 - 1), numRuns: 1 })[0]!,
  }
}
