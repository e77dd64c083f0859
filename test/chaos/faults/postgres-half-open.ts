// The way to PostgreSQL swallows everything: no answer, no close.
import { pause, type Fault } from '../fault.ts'

const halfOpenMs = 5_000

export const postgresHalfOpen: Fault = {
  name: 'postgres-half-open',
  title: 'PostgreSQL half-open for 5 s at a time',
  recoveryMs: 10_000, // a swallowed statement holds its connection until its own deadline
  async disturb(arena, signal) {
    const { postgres } = arena.cluster.proxies!
    let blows = 0
    while (!signal.aborted) {
      postgres.blackhole()
      await pause(halfOpenMs, signal)
      postgres.heal()
      arena.healed()
      blows += 1
      await pause(3_000, signal)
    }
    return blows
  },
}
