// PostgreSQL restarts, in order and by an immediate stop that leaves recovery to the next start.
import { pause, type Fault } from '../fault.ts'

export const postgresRestarted: Fault = {
  name: 'postgres-restarted',
  title: 'PostgreSQL restarted, fast and immediate in turn',
  async disturb(arena, signal) {
    let injected = 0
    while (!signal.aborted) {
      await arena.cluster.postgres.restart(injected % 2 === 0 ? 'fast' : 'immediate')
      injected += 1
      arena.healed()
      await pause(2_500, signal)
    }
    return injected
  },
}
