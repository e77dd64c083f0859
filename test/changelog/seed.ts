// One seed a run, printed, so that a run that failed can be repeated: TIDE_SEED=<seed> bun test <file>.

export const seed = Number(process.env['TIDE_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
console.log(`TIDE_SEED=${seed}`)

/** mulberry32: the same numbers in [0, 1) for the same seed. */
export const randomOf = (seed: number): (() => number) => {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
