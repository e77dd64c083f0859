// The way to PostgreSQL swallows everything: no answer, no close. What was on its way stays lost, and the transactions
// it belonged to keep their locks.
import { createRandom } from '../../oracle/random.ts'
import { pause, type Fault } from '../fault.ts'

const longMs = 30_000

export const postgresHalfOpen: Fault = {
  name: 'postgres-half-open',
  title: 'PostgreSQL half-open for 0.3 to 6 s at a time, and for 30 s',
  longSeconds: 75,
  async disturb(arena, signal) {
    const { postgres } = arena.cluster.proxies!
    const random = createRandom(arena.options.seed)
    let blows = 0
    const blow = async (ms: number): Promise<void> => {
      postgres.blackhole()
      await pause(ms, signal)
      postgres.heal()
      arena.healed()
      blows += 1
      await pause(3_000, signal)
    }
    if (arena.options.isLong) await blow(longMs)
    while (!signal.aborted) await blow(random.between(300, 6_000))
    return blows
  },
}
