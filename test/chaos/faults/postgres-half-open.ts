// The network to PostgreSQL drops all packets: no answer, no close. Packets in flight stay lost, and their transactions
// keep their locks.
import { createRandom } from '../../oracle/random.ts'
import { pause, type Fault } from '../fault.ts'

const longMs = 30_000

export const postgresHalfOpen: Fault = {
  name: 'postgres-half-open',
  title: 'PostgreSQL half-open for 0.3 to 6 s at a time',
  longTitle: 'PostgreSQL half-open for 0.3 to 6 s at a time, and for 30 s',
  longSeconds: 75,
  async disturb(arena, signal) {
    const { postgres } = arena.cluster.proxies!
    const random = createRandom(arena.options.seed)
    let injected = 0
    const dropPackets = async (ms: number): Promise<void> => {
      postgres.blackhole()
      await Bun.sleep(ms) // not shorter than the title says
      postgres.heal()
      arena.healed()
      injected += 1
      await pause(3_000, signal)
    }
    if (arena.options.isLong) await dropPackets(longMs)
    while (!signal.aborted) await dropPackets(random.between(300, 6_000))
    return injected
  },
}
