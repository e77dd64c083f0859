// PostgreSQL restarts, in order and by an immediate stop that leaves recovery to the next start.
import { pause, type Fault } from '../fault.ts'

export const postgresRestarted: Fault = {
  name: 'postgres-restarted',
  title: 'PostgreSQL restarted, fast and immediate in turn',
  async disturb(arena, signal) {
    let blows = 0
    while (!signal.aborted) {
      await arena.cluster.postgres.restart(blows % 2 === 0 ? 'fast' : 'immediate')
      blows += 1
      arena.healed()
      await pause(2_500, signal)
    }
    return blows
  },
}
